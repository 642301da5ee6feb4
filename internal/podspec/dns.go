package podspec

import (
	"slices"

	corev1 "k8s.io/api/core/v1"

	"kip.elotl.co/internal/podfields"
)

// ClusterDNS is where a cluster's names are resolved.
type ClusterDNS struct {
	// Servers are IP addresses as cells reach them.
	Servers []string
	Domain  string
}

// ndots makes of names with fewer dots ones of the cluster first, as the kubelet does.
const ndots = "5"

// WithDNS answers the pod as its agent is to have it: where its dnsPolicy means
// the cluster's DNS, that is in its dnsConfig before what the pod adds. Without
// one to mean, as with a kubelet that knows none, it is policy Default: the
// cell's own name servers. A pod that needs no change is answered as it is. What
// is more than counts is left out by whoever writes resolv.conf.
func WithDNS(pod *corev1.Pod, cluster *ClusterDNS) *corev1.Pod {
	policy := pod.Spec.DNSPolicy
	switch {
	case policy == corev1.DNSNone, policy == corev1.DNSDefault:
		return pod
	case cluster == nil, policy != corev1.DNSClusterFirstWithHostNet && pod.Spec.HostNetwork:
		if pod.Spec.DNSConfig == nil {
			return pod // to an agent that means the cell's, whatever the policy
		}
		pod = pod.DeepCopy()
		pod.Spec.DNSPolicy = corev1.DNSDefault
		return pod
	}
	dots := ndots
	pod = pod.DeepCopy()
	pod.Spec.DNSConfig = podfields.MergeDNS(&corev1.PodDNSConfig{
		Nameservers: slices.Clone(cluster.Servers),
		Searches:    podfields.ClusterSearches(pod.Namespace, cluster.Domain),
		Options:     []corev1.PodDNSConfigOption{{Name: "ndots", Value: &dots}},
	}, pod.Spec.DNSConfig)
	return pod
}
