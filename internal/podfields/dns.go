package podfields

import (
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
)

// What of a pod's DNS configuration counts, as the kubelet has it (Kubernetes
// documentation, "DNS for Services and Pods").
const (
	maxNameservers = 3
	maxSearches    = 32
	// maxSearchLine is how many characters the search list has, with blanks between.
	maxSearchLine = 2048
	// maxSearch is how many a domain has: some C libraries abort on longer ones.
	maxSearch = 253
)

// MergeDNS adds what a pod says to what it would have otherwise: servers and
// searches come behind, each once; an option takes the place of those of its name.
func MergeDNS(base, own *corev1.PodDNSConfig) *corev1.PodDNSConfig {
	if own == nil {
		own = &corev1.PodDNSConfig{}
	}
	merged := &corev1.PodDNSConfig{
		Nameservers: unique(base.Nameservers, own.Nameservers),
		Searches:    unique(base.Searches, own.Searches),
		Options:     slices.Clone(base.Options),
	}
	for _, option := range own.Options {
		merged.Options = slices.DeleteFunc(merged.Options, func(old corev1.PodDNSConfigOption) bool { return old.Name == option.Name })
		merged.Options = append(merged.Options, option)
	}
	return merged
}

// LimitDNS cuts a configuration to what counts of it, and says in the kubelet's
// words what was left out; nil: nothing.
func LimitDNS(config *corev1.PodDNSConfig) (limited *corev1.PodDNSConfig, left []string) {
	limited = &corev1.PodDNSConfig{
		Nameservers: config.Nameservers[:min(len(config.Nameservers), maxNameservers)],
		Searches:    limitSearches(config.Searches),
		Options:     config.Options,
	}
	if len(limited.Nameservers) < len(config.Nameservers) {
		left = append(left, "Nameserver limits were exceeded, some nameservers have been omitted, the applied nameserver line is: "+
			strings.Join(limited.Nameservers, " "))
	}
	if len(limited.Searches) < len(config.Searches) {
		left = append(left, "Search Line limits were exceeded, some search paths have been omitted, the applied search line is: "+
			strings.Join(limited.Searches, " "))
	}
	return limited, left
}

func limitSearches(all []string) []string {
	searches := slices.Clone(all[:min(len(all), maxSearches)])
	searches = slices.DeleteFunc(searches, func(search string) bool { return len(search) > maxSearch })
	for len(strings.Join(searches, " ")) > maxSearchLine {
		searches = searches[:len(searches)-1]
	}
	return searches
}

// ClusterSearches are the domains in which a pod finds a cluster's services.
func ClusterSearches(namespace, clusterDomain string) []string {
	services := "svc." + clusterDomain
	return []string{namespace + "." + services, services, clusterDomain}
}

// WithCellSearches is a pod's dnsConfig as it came with the cluster's domains
// first, and with the cell's own behind those, where a kubelet has its host's.
// Without the cluster's it is answered as it is.
func WithCellSearches(pod *corev1.Pod, cells []string) *corev1.PodDNSConfig {
	config, clusters := pod.Spec.DNSConfig, ClusterSearches(pod.Namespace, clusterDomain(pod))
	if len(config.Searches) < len(clusters) || !slices.Equal(config.Searches[:len(clusters)], clusters) {
		return config
	}
	return MergeDNS(&corev1.PodDNSConfig{Searches: slices.Concat(clusters, cells)}, config)
}

// OptionText is an option as it stands in resolv.conf.
func OptionText(option corev1.PodDNSConfigOption) string {
	if option.Value == nil {
		return option.Name
	}
	return option.Name + ":" + *option.Value
}

// unique has the first of equal texts.
func unique(lists ...[]string) []string {
	var result []string
	for _, text := range slices.Concat(lists...) {
		if !slices.Contains(result, text) {
			result = append(result, text)
		}
	}
	return result
}
