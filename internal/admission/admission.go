// Package admission says of pods, as they are written, whether they get a cell.
// The operator refuses by it, kubectl kip price foretells by it.
package admission

import (
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"kip.elotl.co/api/v1beta1"
	"kip.elotl.co/internal/itzo"
	"kip.elotl.co/internal/podspec"
	"kip.elotl.co/internal/podsupport"
)

// Refusal is why a pod cannot run now; Failed: nor ever.
type Refusal struct {
	Reason  string
	Message string
	Failed  bool
}

// ExpectedAgent is what the agents are known to do that the operator's own
// release installs. The runtime is not known before the cell is up.
func ExpectedAgent() itzo.Info {
	return itzo.Info{
		Agent:    itzo.AgentName,
		Protocol: itzo.ExtensionProtocol,
		Features: []itzo.Feature{itzo.FeaturePod, itzo.FeatureWait, itzo.FeatureStop},
	}
}

// reasonOSNotSupported is the kubelet's reason for the same.
const reasonOSNotSupported = "PodOSNotSupported"

// Pod says why an agent cannot run the pod as it is written. A pod for another
// operating system fails, as it does on a kubelet. One with a field that is not
// honoured stays Pending: its controller would only make another like it, and
// another, if it failed.
func Pod(pod *corev1.Pod, agent itzo.Info) *Refusal {
	if os := pod.Spec.OS; os != nil && os.Name != corev1.Linux {
		return &Refusal{Reason: reasonOSNotSupported, Failed: true,
			Message: "spec.os.name: \"" + string(os.Name) + "\": cells run linux"}
	}
	errs := append(podsupport.Unsupported(pod, agent), podspec.Unsupported(pod)...)
	if len(errs) > 0 {
		return &Refusal{Reason: v1beta1.ReasonUnsupportedField, Message: errs.ToAggregate().Error()}
	}
	return nil
}

// KindDaemonSet is the kind of the controllers that Daemon is about.
const KindDaemonSet = "DaemonSet"

// Daemon keeps the pods of DaemonSets from getting a machine each, unless the
// class, if there is one, says that they shall: what they do for a node, nobody
// needs on a cell. Most tolerate every taint, and so are bound to every virtual
// node.
func Daemon(pod *corev1.Pod, class *v1beta1.CellClass) *Refusal {
	owner := metav1.GetControllerOf(pod)
	if owner == nil || owner.Kind != KindDaemonSet || class != nil && class.Spec.RunDaemonSets {
		return nil
	}
	return &Refusal{Reason: v1beta1.ReasonDaemonSet, Message: fmt.Sprintf(
		"pods of DaemonSets get no cell: exclude nodes with label %s=%s from DaemonSet %s by node affinity, or set spec.runDaemonSets of the CellClass",
		v1beta1.LabelNodeType, v1beta1.NodeType, owner.Name)}
}

// Blame says for the pod's user what keeps its Cell from being ready: where the
// message begins with a field of the Cell, what of the pod that was made from.
func Blame(message string) string {
	for _, from := range []struct{ field, annotation string }{
		{"spec.instanceType: ", v1beta1.AnnotationInstanceType},
		{"spec.securityGroups: ", v1beta1.AnnotationSecurityGroups},
		{"spec.instanceProfile: ", v1beta1.AnnotationInstanceProfile},
		{"spec.volumeSize: ", v1beta1.AnnotationVolumeSize},
	} {
		if rest, ok := strings.CutPrefix(message, from.field); ok {
			return fmt.Sprintf("annotation %s: %s", from.annotation, rest)
		}
	}
	return message
}
