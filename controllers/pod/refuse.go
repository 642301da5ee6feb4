package pod

import (
	"context"
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"kip.elotl.co/api/v1beta1"
	"kip.elotl.co/internal/itzo"
	"kip.elotl.co/internal/podspec"
	"kip.elotl.co/internal/podsupport"
)

// refusal is why a pod cannot run now; failed: nor ever.
type refusal struct {
	reason  string
	message string
	failed  bool
}

// expectedAgent is what the agents are known to do that the operator's own
// release installs. The runtime is not known before the cell is up.
func expectedAgent() itzo.Info {
	return itzo.Info{
		Agent:    itzo.AgentName,
		Protocol: itzo.ExtensionProtocol,
		Features: []itzo.Feature{itzo.FeaturePod, itzo.FeatureWait, itzo.FeatureStop},
	}
}

// reasonOSNotSupported is the kubelet's reason for the same.
const reasonOSNotSupported = "PodOSNotSupported"

// refuse says why an agent cannot run the pod as it is written. A pod for
// another operating system fails, as it does on a kubelet. One with a field
// that is not honoured stays Pending: its controller would only make another
// like it, and another, if it failed.
func refuse(pod *corev1.Pod, agent itzo.Info) *refusal {
	if os := pod.Spec.OS; os != nil && os.Name != corev1.Linux {
		return &refusal{reason: reasonOSNotSupported, failed: true,
			message: "spec.os.name: \"" + string(os.Name) + "\": cells run linux"}
	}
	errs := append(podsupport.Unsupported(pod, agent), podspec.Unsupported(pod)...)
	if len(errs) > 0 {
		return &refusal{reason: v1beta1.ReasonUnsupportedField, message: errs.ToAggregate().Error()}
	}
	return nil
}

// refuseDaemon keeps the pods of DaemonSets from getting a machine each, unless
// the class says that they shall: what they do for a node, nobody needs on a
// cell. Most tolerate every taint, and so are bound to every virtual node.
func refuseDaemon(pod *corev1.Pod, class *v1beta1.CellClass) *refusal {
	owner := metav1.GetControllerOf(pod)
	if owner == nil || owner.Kind != "DaemonSet" || class != nil && class.Spec.RunDaemonSets {
		return nil
	}
	return &refusal{reason: v1beta1.ReasonDaemonSet, message: fmt.Sprintf(
		"pods of DaemonSets get no cell: exclude nodes with label %s=%s from DaemonSet %s by node affinity, or set spec.runDaemonSets of the CellClass",
		v1beta1.LabelNodeType, v1beta1.NodeType, owner.Name)}
}

// refused says on the pod why it does not run, or, of one that has been given
// to an agent, why nothing is known of it.
func (c *Controller) refused(ctx context.Context, s *scope, r *refusal) error {
	status := s.pod.Status.DeepCopy()
	if !dispatched(s.pod) {
		status.Phase = corev1.PodPending
	}
	if r.failed {
		status.Phase = corev1.PodFailed
	}
	status.Reason, status.Message = r.reason, r.message
	notReadyConditions(status, s.pod, r.reason, r.message, c.Clock.Now())
	return c.writeProblem(ctx, s, status)
}

// blame says for the pod's user what keeps the Cell from being ready: where it
// is a field of the Cell, what of the pod it was made from.
func blame(pod *corev1.Pod, ready *metav1.Condition) *refusal {
	message := ready.Message
	for _, from := range []struct{ field, annotation string }{
		{"spec.instanceType: ", v1beta1.AnnotationInstanceType},
		{"spec.securityGroups: ", v1beta1.AnnotationSecurityGroups},
		{"spec.instanceProfile: ", v1beta1.AnnotationInstanceProfile},
	} {
		if rest, ok := strings.CutPrefix(message, from.field); ok {
			message = fmt.Sprintf("annotation %s: %s", from.annotation, rest)
		}
	}
	if rest, ok := strings.CutPrefix(message, "spec.volumeSize: "); ok {
		if _, asked := pod.Annotations[v1beta1.AnnotationVolumeSize]; asked {
			message = fmt.Sprintf("annotation %s: %s", v1beta1.AnnotationVolumeSize, rest)
		} else {
			message = fmt.Sprintf("the volume for the pod's ephemeral-storage: %s; annotation %s gives another", rest, v1beta1.AnnotationVolumeSize)
		}
	}
	return &refusal{reason: ready.Reason, message: message}
}
