package agent

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/netip"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"kip.elotl.co/internal/podfields"
)

const (
	maxResolvConf = 64 << 10
	resolvConf    = "/etc/resolv.conf"
	// resolvedConf is where systemd-resolved has the servers that it asks itself.
	resolvedConf = "/run/systemd/resolve/resolv.conf"
)

// dnsFor is the pod's resolv.conf, and what of it is left out since it is too
// much; nil means that of the cell. For the policies that mean the cluster's DNS
// the operator puts that into dnsConfig.
func (a *Agent) dnsFor(pod *corev1.Pod) (dns *DNS, left []string, err error) {
	config, asItIs := pod.Spec.DNSConfig, false
	if config == nil || pod.Spec.DNSPolicy != corev1.DNSNone {
		own, same, err := a.cellDNS(pod.Spec.HostNetwork)
		switch {
		case err != nil:
			return nil, nil, err
		case config == nil || usesCellDNS(pod):
			asItIs, config = same && config == nil, podfields.MergeDNS(own, config)
		default:
			config = podfields.WithCellSearches(pod, own.Searches)
		}
	}
	config, left = podfields.LimitDNS(config)
	if asItIs && len(left) == 0 {
		return nil, nil, nil
	}
	dns = &DNS{Servers: config.Nameservers, Searches: config.Searches}
	for _, option := range config.Options {
		dns.Options = append(dns.Options, podfields.OptionText(option))
	}
	return dns, left, nil
}

// usesCellDNS says whether dnsConfig is added to the cell's own. ClusterFirst
// means that in the cell's network, as the kubelet has it.
func usesCellDNS(pod *corev1.Pod) bool {
	policy := pod.Spec.DNSPolicy
	return policy == corev1.DNSDefault || policy == corev1.DNSClusterFirst && pod.Spec.HostNetwork
}

// cellDNS is what the cell itself asks. Where that is a server of the cell's own,
// which no other network namespace reaches, it is what systemd-resolved asks.
// asItIs: the cell's file says the same.
func (a *Agent) cellDNS(hostNetwork bool) (own *corev1.PodDNSConfig, asItIs bool, err error) {
	own, err = a.readResolvConf(resolvConf)
	if errors.Is(err, fs.ErrNotExist) {
		return &corev1.PodDNSConfig{}, true, nil
	}
	if err != nil || hostNetwork || !allLoopback(own.Nameservers) {
		return own, true, err
	}
	asked, err := a.readResolvConf(resolvedConf)
	if errors.Is(err, fs.ErrNotExist) {
		return own, true, nil
	}
	return asked, false, err
}

func (a *Agent) readResolvConf(path string) (*corev1.PodDNSConfig, error) {
	file, err := a.config.Host.OpenFile(path)
	if err != nil {
		return nil, fmt.Errorf("reading the cell's %s: %w", path, err)
	}
	defer file.Close()
	config, err := parseResolvConf(io.LimitReader(file, maxResolvConf))
	if err != nil {
		return nil, fmt.Errorf("reading the cell's %s: %w", path, err)
	}
	return config, nil
}

func allLoopback(servers []string) bool {
	return len(servers) > 0 && !slices.ContainsFunc(servers, func(server string) bool {
		address, err := netip.ParseAddr(server)
		return err != nil || !address.IsLoopback()
	})
}

// parseResolvConf reads resolv.conf(5) and leaves out what it does not know.
func parseResolvConf(r io.Reader) (*corev1.PodDNSConfig, error) {
	config := &corev1.PodDNSConfig{}
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		fields := strings.Fields(lines.Text())
		if len(fields) < 2 {
			continue
		}
		switch fields[0] {
		case "nameserver":
			config.Nameservers = append(config.Nameservers, fields[1])
		case "search", "domain":
			config.Searches = searchesOf(fields[1:])
		case "options":
			for _, field := range fields[1:] {
				config.Options = append(config.Options, optionOf(field))
			}
		}
	}
	return config, lines.Err()
}

// searchesOf leaves out the dot at the end, so that a domain counts once, and
// the root, which stands for no search.
func searchesOf(domains []string) []string {
	var searches []string
	for _, domain := range domains {
		if domain = strings.TrimSuffix(domain, "."); domain != "" {
			searches = append(searches, domain)
		}
	}
	return searches
}

func optionOf(text string) corev1.PodDNSConfigOption {
	name, value, valued := strings.Cut(text, ":")
	if !valued {
		return corev1.PodDNSConfigOption{Name: name}
	}
	return corev1.PodDNSConfigOption{Name: name, Value: &value}
}
