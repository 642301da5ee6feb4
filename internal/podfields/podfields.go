// Package podfields reads of a pod what its own containers may be told: the
// downward API (kubernetes.io/docs/concepts/workloads/pods/downward-api). It is
// pure, and used by both ends: the operator puts values into volumes, the agent
// into environments.
package podfields

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
)

// Addresses are what a pod's status will show of its network.
type Addresses struct{ Pod, Host netip.Addr }

// InVolume is the value of a field for a file of a volume.
func InVolume(pod *corev1.Pod, path string) (string, error) {
	switch path {
	case "metadata.labels":
		return formatMap(pod.Labels), nil
	case "metadata.annotations":
		return formatMap(pod.Annotations), nil
	}
	if value, ok := metadata(pod, path); ok {
		return value, nil
	}
	return "", fmt.Errorf("%q cannot be put into a volume", path)
}

// InEnvironment is the value of a field for a variable.
func InEnvironment(pod *corev1.Pod, path string, addresses Addresses) (string, error) {
	if value, ok := metadata(pod, path); ok {
		return value, nil
	}
	switch path {
	case "spec.nodeName", "spec.host":
		return pod.Spec.NodeName, nil
	case "spec.serviceAccountName":
		return pod.Spec.ServiceAccountName, nil
	case "status.podIP", "status.podIPs":
		return text(addresses.Pod), nil
	case "status.hostIP", "status.hostIPs":
		return text(addresses.Host), nil
	}
	return "", fmt.Errorf("%q cannot be put into a variable", path)
}

func text(address netip.Addr) string {
	if !address.IsValid() {
		return ""
	}
	return address.String()
}

func metadata(pod *corev1.Pod, path string) (value string, ok bool) {
	if key, ok := subscript(path, "metadata.labels"); ok {
		return pod.Labels[key], true
	}
	if key, ok := subscript(path, "metadata.annotations"); ok {
		return pod.Annotations[key], true
	}
	switch path {
	case "metadata.name":
		return pod.Name, true
	case "metadata.namespace":
		return pod.Namespace, true
	case "metadata.uid":
		return string(pod.UID), true
	}
	return "", false
}

func subscript(path, name string) (key string, ok bool) {
	rest, ok := strings.CutPrefix(path, name+"['")
	if !ok {
		return "", false
	}
	return strings.CutSuffix(rest, "']")
}

// formatMap writes key="value" lines in the order of the keys.
func formatMap(m map[string]string) string {
	lines := make([]string, 0, len(m))
	for _, key := range slices.Sorted(maps.Keys(m)) {
		lines = append(lines, fmt.Sprintf("%s=%q", key, m[key]))
	}
	return strings.Join(lines, "\n")
}
