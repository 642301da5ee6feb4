package pod

import (
	"context"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"

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
	return c.writeStatus(ctx, s, status, corev1.EventTypeWarning)
}

// pending copies to the pod what keeps its cell from being ready, unless that
// is only the time it takes.
func (c *Controller) pending(ctx context.Context, s *scope) error {
	ready := meta.FindStatusCondition(s.cell.Status.Conditions, v1beta1.ConditionReady)
	if ready == nil || usual(ready.Reason) {
		if s.pod.Status.Reason == "" {
			return nil
		}
		status := s.pod.Status.DeepCopy()
		status.Reason, status.Message = "", ""
		notReadyConditions(status, s.pod, "", "", c.Clock.Now())
		return c.writeStatus(ctx, s, status, corev1.EventTypeNormal)
	}
	return c.refused(ctx, s, &refusal{reason: ready.Reason, message: ready.Message})
}

func usual(reason string) bool {
	switch reason {
	case v1beta1.ReasonLaunching, v1beta1.ReasonWaitingForAgent:
		return true
	}
	return false
}
