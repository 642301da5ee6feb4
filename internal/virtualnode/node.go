// Package virtualnode makes the Kubernetes objects that stand for a class: a
// Node that the scheduler binds pods to, its lease, and a RuntimeClass.
package virtualnode

import (
	"cmp"
	"runtime"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	nodev1 "k8s.io/api/node/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"kip.elotl.co/api/v1beta1"
)

// Taint keeps pods off the node that do not ask for it.
func Taint() corev1.Taint {
	return corev1.Taint{Key: v1beta1.TaintProvider, Value: v1beta1.Provider, Effect: corev1.TaintEffectNoSchedule}
}

// About is what a node says of the operator and of its cells, besides what its
// class says.
type About struct {
	// Kubelet is where the operator serves the node's kubelet API.
	Kubelet Endpoint
	// KubeletVersion is what KubeletVersion gives.
	KubeletVersion string
	// Runtime is the container runtime and its version that all of the node's
	// cells have, such as "containerd 2.1.3"; empty: they differ, or there are none.
	Runtime string
	// Region is where all cells are; empty: not known.
	Region string
}

// Labels are the node's labels. There is no kubernetes.io/hostname among
// them: a node stands for many machines, and anti-affinity by host name would
// allow one replica only. The region's is there where it is not empty.
func Labels(class *v1beta1.CellClass, id Identity, region string) map[string]string {
	labels := map[string]string{
		v1beta1.LabelNodeType:  v1beta1.NodeType,
		v1beta1.LabelCellClass: class.Name,
		corev1.LabelOSStable:   "linux",
	}
	if a := architecture(class); a != "" {
		labels[corev1.LabelArchStable] = a
	}
	if region != "" {
		labels[corev1.LabelTopologyRegion] = region
	}
	if zone := cmp.Or(id.Zone, onlyZone(class)); zone != "" {
		labels[corev1.LabelTopologyZone] = zone
	}
	return labels
}

// onlyZone is the zone of a class with one zone.
func onlyZone(class *v1beta1.CellClass) string {
	if zones := Zones(class); len(zones) == 1 {
		return zones[0]
	}
	return ""
}

// Zones are those of the class's subnets as they were found, in alphabetical
// order.
func Zones(class *v1beta1.CellClass) []string {
	var zones []string
	for _, subnet := range class.Status.Subnets {
		zones = append(zones, subnet.Zone)
	}
	slices.Sort(zones)
	return slices.Compact(zones)
}

// Endpoint is where the operator serves the kubelet API of a virtual node.
type Endpoint struct {
	// Address is an IP address, the same for all nodes.
	Address string
	// Port is one of the node's own.
	Port int32
}

// FormerAnnotation led metrics-server to a path that is not served any more; it
// is on nodes that an earlier operator has made.
func FormerAnnotation(node string) (key, value string) {
	return "metrics.k8s.io/resource-metrics-path", "/nodes/" + node + "/metrics/resource"
}

// Set has a node tell that its kubelet API is served there.
func (e Endpoint) Set(node *corev1.Node) {
	node.Status.Addresses, node.Status.DaemonEndpoints = e.Addresses(node.Name), e.DaemonEndpoints()
}

// Addresses are those of a node.
func (e Endpoint) Addresses(node string) []corev1.NodeAddress {
	return []corev1.NodeAddress{{Type: corev1.NodeInternalIP, Address: e.Address}, {Type: corev1.NodeHostName, Address: node}}
}

// DaemonEndpoints are those of a node.
func (e Endpoint) DaemonEndpoints() corev1.NodeDaemonEndpoints {
	return corev1.NodeDaemonEndpoints{KubeletEndpoint: corev1.DaemonEndpoint{Port: e.Port}}
}

// Node is a node of the class, with its status as it is when the operator is well.
func Node(class *v1beta1.CellClass, id Identity, about About, now metav1.Time) *corev1.Node {
	name := id.Name()
	return &corev1.Node{
		ObjectMeta: metav1.ObjectMeta{Name: name, Labels: Labels(class, id, about.Region)},
		Spec: corev1.NodeSpec{
			ProviderID: id.ProviderID(), Taints: []corev1.Taint{Taint()},
			// No pod comes to a class that is being deleted.
			Unschedulable: !class.DeletionTimestamp.IsZero(),
		},
		Status: corev1.NodeStatus{
			Capacity:        class.Spec.Capacity,
			Allocatable:     class.Spec.Capacity,
			Conditions:      conditions(now),
			Addresses:       about.Kubelet.Addresses(name),
			DaemonEndpoints: about.Kubelet.DaemonEndpoints(),
			NodeInfo: corev1.NodeSystemInfo{
				KubeletVersion:          about.KubeletVersion,
				OperatingSystem:         "linux",
				Architecture:            cmp.Or(architecture(class), runtime.GOARCH),
				OSImage:                 onlyImage(class),
				ContainerRuntimeVersion: runtimeVersion(about.Runtime),
			},
		},
	}
}

// onlyImage names the image of a class with one image.
func onlyImage(class *v1beta1.CellClass) string {
	if images := class.Status.Images; len(images) == 1 {
		return cmp.Or(images[0].Name, images[0].ID)
	}
	return ""
}

// UnknownRuntime is the container runtime of a node whose cells do not have one
// and the same. Who reads the field expects a name and a version.
const UnknownRuntime = "kip://unknown"

// runtimeVersion puts "containerd 2.1.3" as kubelets do.
func runtimeVersion(text string) string {
	name, version, ok := strings.Cut(text, " ")
	if !ok || name == "" || version == "" {
		return UnknownRuntime
	}
	return name + "://" + strings.TrimPrefix(version, "v")
}

// architecture is that of the cells of pods that name no instance type; empty
// where it is not known. A node can say one only.
func architecture(class *v1beta1.CellClass) string {
	if class.Status.Architecture != "" {
		return class.Status.Architecture
	}
	if images := class.Status.Images; len(images) == 1 {
		return images[0].Architecture
	}
	return ""
}

// LabelsToRemove are the keys of those labels of a node that Labels decides
// about and does not want any more.
func LabelsToRemove(is, want map[string]string) []string {
	var keys []string
	for _, key := range []string{corev1.LabelHostname, corev1.LabelArchStable, corev1.LabelTopologyRegion, corev1.LabelTopologyZone} {
		_, has := is[key]
		if _, wanted := want[key]; has && !wanted {
			keys = append(keys, key)
		}
	}
	return keys
}

// RuntimeClass lets a pod ask for the class's node by runtimeClassName alone.
// An outage of the operator, which makes the node look unreachable, evicts none
// of these pods: their tolerations of that, which the API server would limit to
// 300 s (admission plugin DefaultTolerationSeconds), have no time limit.
func RuntimeClass(class *v1beta1.CellClass) *nodev1.RuntimeClass {
	taint := Taint()
	return &nodev1.RuntimeClass{
		ObjectMeta: metav1.ObjectMeta{
			Name:   v1beta1.NodeName(class.Name),
			Labels: map[string]string{v1beta1.LabelCellClass: class.Name},
		},
		Handler: v1beta1.Provider,
		Scheduling: &nodev1.Scheduling{
			NodeSelector: map[string]string{v1beta1.LabelCellClass: class.Name},
			Tolerations: []corev1.Toleration{
				{Key: taint.Key, Operator: corev1.TolerationOpEqual, Value: taint.Value, Effect: taint.Effect},
				{Key: corev1.TaintNodeNotReady, Operator: corev1.TolerationOpExists, Effect: corev1.TaintEffectNoExecute},
				{Key: corev1.TaintNodeUnreachable, Operator: corev1.TolerationOpExists, Effect: corev1.TaintEffectNoExecute},
			},
		},
	}
}
