package agent

import (
	"bufio"
	"fmt"
	"io"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
)

const (
	maxNameservers = 3
	maxResolvConf  = 64 << 10
)

// dnsFor is the pod's resolv.conf; nil means that of the cell. For the policies
// that mean the cluster's DNS the operator puts that into dnsConfig.
func (a *Agent) dnsFor(pod *corev1.Pod) (*DNS, error) {
	config := pod.Spec.DNSConfig
	if config == nil {
		return nil, nil
	}
	dns := &DNS{}
	if usesCellDNS(pod) {
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

// usesCellDNS says whether dnsConfig is added to the cell's own. ClusterFirst
// means that in the cell's network, as the kubelet has it.
func usesCellDNS(pod *corev1.Pod) bool {
	policy := pod.Spec.DNSPolicy
	return policy == corev1.DNSDefault || policy == corev1.DNSClusterFirst && pod.Spec.HostNetwork
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
