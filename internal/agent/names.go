package agent

import (
	"bufio"
	"fmt"
	"io"
	"net/netip"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
)

const (
	maxHostname    = 63
	maxNameservers = 3
	maxResolvConf  = 64 << 10
)

// hostname is the pod's host name: as given, or the pod's name cut to what
// Linux allows.
func hostname(pod *corev1.Pod) string {
	name := pod.Spec.Hostname
	if name == "" {
		name = pod.Name
	}
	if len(name) > maxHostname {
		name = strings.TrimRight(name[:maxHostname], "-.")
	}
	return name
}

// hostsFile is /etc/hosts of the pod's containers, as the kubelet writes it.
func hostsFile(pod *corev1.Pod, ip netip.Addr) string {
	var out strings.Builder
	out.WriteString("# Kubernetes-managed hosts file.\n" +
		"127.0.0.1\tlocalhost\n" +
		"::1\tlocalhost ip6-localhost ip6-loopback\n" +
		"fe00::0\tip6-localnet\n" +
		"fe00::0\tip6-mcastprefix\n" +
		"fe00::1\tip6-allnodes\n" +
		"fe00::2\tip6-allrouters\n")
	name := hostname(pod)
	if pod.Spec.Subdomain != "" {
		fmt.Fprintf(&out, "%s\t%s.%s.%s.svc.%s\t%s\n", ip, name, pod.Spec.Subdomain, pod.Namespace, clusterDomain(pod), name)
	} else {
		fmt.Fprintf(&out, "%s\t%s\n", ip, name)
	}
	if len(pod.Spec.HostAliases) > 0 {
		out.WriteString("\n# Entries added by HostAliases.\n")
	}
	for _, alias := range pod.Spec.HostAliases {
		fmt.Fprintf(&out, "%s\t%s\n", alias.IP, strings.Join(alias.Hostnames, "\t"))
	}
	return out.String()
}

// clusterDomain is read from the search list that the operator gives; nothing
// else tells a cell.
func clusterDomain(pod *corev1.Pod) string {
	if pod.Spec.DNSConfig != nil {
		for _, search := range pod.Spec.DNSConfig.Searches {
			if domain, found := strings.CutPrefix(search, "svc."); found {
				return domain
			}
		}
	}
	return "cluster.local"
}

// dnsFor is the pod's resolv.conf; nil means that of the cell. For the policies
// that mean the cluster's DNS the operator puts that into dnsConfig.
func (a *Agent) dnsFor(pod *corev1.Pod) (*DNS, error) {
	config := pod.Spec.DNSConfig
	if config == nil {
		return nil, nil
	}
	dns := &DNS{}
	if pod.Spec.DNSPolicy == corev1.DNSDefault {
		var err error
		if dns, err = a.cellDNS(); err != nil {
			return nil, err
		}
	}
	dns.Servers = unique(append(dns.Servers, config.Nameservers...))
	dns.Servers = dns.Servers[:min(len(dns.Servers), maxNameservers)]
	dns.Searches = unique(append(dns.Searches, config.Searches...))
	for _, option := range config.Options {
		dns.Options = slices.DeleteFunc(dns.Options, func(old string) bool {
			name, _, _ := strings.Cut(old, ":")
			return name == option.Name
		})
		if option.Value != nil {
			dns.Options = append(dns.Options, option.Name+":"+*option.Value)
		} else {
			dns.Options = append(dns.Options, option.Name)
		}
	}
	return dns, nil
}

func (a *Agent) cellDNS() (*DNS, error) {
	file, err := a.config.Host.OpenFile("/etc/resolv.conf")
	if err != nil {
		return nil, fmt.Errorf("reading the cell's resolv.conf: %w", err)
	}
	defer file.Close()
	return parseResolvConf(io.LimitReader(file, maxResolvConf))
}

func parseResolvConf(r io.Reader) (*DNS, error) {
	dns := &DNS{}
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		fields := strings.Fields(lines.Text())
		if len(fields) < 2 {
			continue
		}
		switch fields[0] {
		case "nameserver":
			dns.Servers = append(dns.Servers, fields[1])
		case "search", "domain":
			dns.Searches = fields[1:]
		case "options":
			dns.Options = append(dns.Options, fields[1:]...)
		}
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("reading the cell's resolv.conf: %w", err)
	}
	return dns, nil
}

// unique keeps the first of equal texts.
func unique(texts []string) []string {
	var result []string
	for _, text := range texts {
		if !slices.Contains(result, text) {
			result = append(result, text)
		}
	}
	return result
}
