package podfields

import (
	"fmt"
	"net/netip"
	"strings"

	corev1 "k8s.io/api/core/v1"
)

// maxHostname is how many characters a DNS label has, maxNodename how many the
// kernel's host name.
const (
	maxHostname = 63
	maxNodename = 64
)

// Hostname is the pod's host name: as given, or the pod's name cut to what
// a DNS label allows.
func Hostname(pod *corev1.Pod) string {
	if override := pod.Spec.HostnameOverride; override != nil {
		return *override
	}
	name := pod.Spec.Hostname
	if name == "" {
		name = pod.Name
	}
	if len(name) > maxHostname {
		name = strings.TrimRight(name[:maxHostname], "-.")
	}
	return name
}

// Nodename is the host name that the pod's processes see: with setHostnameAsFQDN
// the full one. The error is the kubelet's about one that Linux cannot hold.
func Nodename(pod *corev1.Pod) (string, error) {
	name, domain := Hostname(pod), domain(pod)
	if asFQDN := pod.Spec.SetHostnameAsFQDN; asFQDN == nil || !*asFQDN || domain == "" {
		return name, nil
	}
	full := name + "." + domain
	if len(full) > maxNodename {
		return "", fmt.Errorf("failed to construct FQDN from pod hostname and cluster domain, FQDN %s is too long (%d characters is the max, %d characters requested)",
			full, maxNodename, len(full))
	}
	return full, nil
}

// domain is what the pod's full name has behind its host name; empty: it has none.
func domain(pod *corev1.Pod) string {
	if pod.Spec.Subdomain == "" || pod.Spec.HostnameOverride != nil {
		return ""
	}
	return pod.Spec.Subdomain + "." + pod.Namespace + ".svc." + clusterDomain(pod)
}

// HostsFile is /etc/hosts of the pod's containers, as the kubelet writes it.
func HostsFile(pod *corev1.Pod, ip netip.Addr) string {
	var out strings.Builder
	out.WriteString("# Kubernetes-managed hosts file.\n" +
		"127.0.0.1\tlocalhost\n" +
		"::1\tlocalhost ip6-localhost ip6-loopback\n" +
		"fe00::0\tip6-localnet\n" +
		"fe00::0\tip6-mcastprefix\n" +
		"fe00::1\tip6-allnodes\n" +
		"fe00::2\tip6-allrouters\n")
	name := Hostname(pod)
	if domain := domain(pod); domain != "" {
		fmt.Fprintf(&out, "%s\t%s.%s\t%s\n", ip, name, domain, name)
	} else {
		fmt.Fprintf(&out, "%s\t%s\n", ip, name)
	}
	out.WriteString(HostAliases(pod))
	return out.String()
}

// HostAliases is what a pod's hostAliases add to /etc/hosts.
func HostAliases(pod *corev1.Pod) string {
	if len(pod.Spec.HostAliases) == 0 {
		return ""
	}
	var out strings.Builder
	out.WriteString("\n# Entries added by HostAliases.\n")
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
