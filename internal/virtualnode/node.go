// Package virtualnode makes the Kubernetes objects that stand for a class: a
// Node that the scheduler binds pods to, its lease, and a RuntimeClass.
package virtualnode

import (
	"cmp"
	"runtime"

	corev1 "k8s.io/api/core/v1"
	nodev1 "k8s.io/api/node/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"kip.elotl.co/api/v1beta1"
)

// Taint keeps pods off the node that do not ask for it.
func Taint() corev1.Taint {
	return corev1.Taint{Key: v1beta1.TaintProvider, Value: v1beta1.Provider, Effect: corev1.TaintEffectNoSchedule}
}

// Labels are the node's labels. There is no kubernetes.io/hostname among
// them: a node stands for many machines, and anti-affinity by host name would
// allow one replica only.
func Labels(class *v1beta1.CellClass) map[string]string {
	labels := map[string]string{
		v1beta1.LabelNodeType:  v1beta1.NodeType,
		v1beta1.LabelCellClass: class.Name,
		corev1.LabelOSStable:   "linux",
	}
	if a := architecture(class); a != "" {
		labels[corev1.LabelArchStable] = a
	}
	zones := map[string]bool{}
	for _, subnet := range class.Status.Subnets {
		zones[subnet.Zone] = true
	}
	if len(zones) == 1 {
		labels[corev1.LabelTopologyZone] = class.Status.Subnets[0].Zone
	}
	return labels
}

// ProviderID is the provider ID of the class's node, by which the node is known
// as ours: it cannot be changed.
func ProviderID(class *v1beta1.CellClass) string { return "kip://" + class.Name }

// annotationMetricsPath is by which metrics-server, from 0.7 on, learns where
// on the node's port its metrics are.
const annotationMetricsPath = "metrics.k8s.io/resource-metrics-path"

// Annotations are the node's annotations: all virtual nodes share an address and
// a port, so that what is asked of one has to name it in the path.
func Annotations(class *v1beta1.CellClass) map[string]string {
	return map[string]string{annotationMetricsPath: "/nodes/" + v1beta1.NodeName(class.Name) + "/metrics/resource"}
}

// Endpoint is where the operator serves the kubelet API of all virtual nodes.
type Endpoint struct {
	// Address is an IP address.
	Address string
	Port    int32
}

// Node is the class's node, with its status as it is when the operator is well.
func Node(class *v1beta1.CellClass, kubelet Endpoint, version string, now metav1.Time) *corev1.Node {
	name := v1beta1.NodeName(class.Name)
	return &corev1.Node{
		ObjectMeta: metav1.ObjectMeta{Name: name, Labels: Labels(class), Annotations: Annotations(class)},
		Spec: corev1.NodeSpec{
			ProviderID: ProviderID(class), Taints: []corev1.Taint{Taint()},
			// No pod comes to a class that is being deleted.
			Unschedulable: !class.DeletionTimestamp.IsZero(),
		},
		Status: corev1.NodeStatus{
			Capacity:    class.Spec.Capacity,
			Allocatable: class.Spec.Capacity,
			Conditions:  conditions(class, now),
			Addresses: []corev1.NodeAddress{
				{Type: corev1.NodeInternalIP, Address: kubelet.Address},
				{Type: corev1.NodeHostName, Address: name},
			},
			DaemonEndpoints: corev1.NodeDaemonEndpoints{KubeletEndpoint: corev1.DaemonEndpoint{Port: kubelet.Port}},
			NodeInfo: corev1.NodeSystemInfo{
				KubeletVersion:  "kip-" + version,
				OperatingSystem: "linux",
				Architecture:    cmp.Or(architecture(class), runtime.GOARCH),
			},
		},
	}
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
	for _, key := range []string{corev1.LabelHostname, corev1.LabelArchStable, corev1.LabelTopologyZone} {
		_, has := is[key]
		if _, wanted := want[key]; has && !wanted {
			keys = append(keys, key)
		}
	}
	return keys
}

// conditions are a node's usual ones. The node is ready as long as the
// operator is: what keeps single cells from starting is said on their pods.
func conditions(_ *v1beta1.CellClass, now metav1.Time) []corev1.NodeCondition {
	condition := func(kind corev1.NodeConditionType, status corev1.ConditionStatus, reason, message string) corev1.NodeCondition {
		return corev1.NodeCondition{Type: kind, Status: status, Reason: reason, Message: message,
			LastHeartbeatTime: now, LastTransitionTime: now}
	}
	return []corev1.NodeCondition{
		condition(corev1.NodeReady, corev1.ConditionTrue, "OperatorReady", "the operator is running"),
		condition(corev1.NodeMemoryPressure, corev1.ConditionFalse, "NotApplicable", "every pod has its own machine"),
		condition(corev1.NodeDiskPressure, corev1.ConditionFalse, "NotApplicable", "every pod has its own machine"),
		condition(corev1.NodePIDPressure, corev1.ConditionFalse, "NotApplicable", "every pod has its own machine"),
		condition(corev1.NodeNetworkUnavailable, corev1.ConditionFalse, "NotApplicable", "every pod has its own machine"),
	}
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
