package pod

import (
	"context"
	"fmt"
	"regexp"
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
	if refusal := refuseAnnotations(pod); refusal != nil {
		return refusal
	}
	errs := append(podsupport.Unsupported(pod, agent), podspec.Unsupported(pod)...)
	if len(errs) > 0 {
		return &refusal{reason: v1beta1.ReasonUnsupportedField, message: errs.ToAggregate().Error()}
	}
	return nil
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

// instanceType is how an instance type's name is written, as in Cell's spec.
var instanceType = regexp.MustCompile(`^[a-z0-9][a-z0-9-]*\.[a-z0-9-]+$`)

// maxInstanceType is the length of its name at most, as in Cell's spec.
const maxInstanceType = 64

// refuseAnnotations says what is wrong about the pod's wishes for its instance.
func refuseAnnotations(pod *corev1.Pod) *refusal {
	wanted := pod.Annotations[v1beta1.AnnotationInstanceType]
	if wanted == "" || len(wanted) <= maxInstanceType && instanceType.MatchString(wanted) {
		return nil
	}
	return &refusal{reason: v1beta1.ReasonInvalidInstanceType,
		message: fmt.Sprintf("annotation %s: %.100q is not the name of an instance type, such as m5.large", v1beta1.AnnotationInstanceType, wanted)}
}

// blame says for the pod's user what keeps the Cell from being ready: an
// instance type that cannot be had was asked for by the pod's annotation.
func blame(cell *v1beta1.Cell, ready *metav1.Condition) *refusal {
	message := ready.Message
	if wanted := cell.Spec.InstanceType; wanted != "" && ready.Reason == v1beta1.ReasonInvalidInstanceType {
		message = fmt.Sprintf("annotation %s=%s: %s; name another instance type, or remove the annotation for the class's default",
			v1beta1.AnnotationInstanceType, wanted, strings.TrimPrefix(message, "spec.instanceType: "))
	}
	return &refusal{reason: ready.Reason, message: message}
}
