package pod

import (
	"context"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"kip.elotl.co/api/v1beta1"
	"kip.elotl.co/internal/admission"
	"kip.elotl.co/internal/itzo"
)

// refusal is why a pod cannot run now; failed: nor ever.
type refusal struct {
	reason  string
	message string
	failed  bool
}

// expectedAgent is what the agents of the operator's own release do.
func expectedAgent() itzo.Info { return admission.ExpectedAgent() }

// refuse says why an agent cannot run the pod as it is written.
func refuse(pod *corev1.Pod, agent itzo.Info) *refusal { return refusalOf(admission.Pod(pod, agent)) }

// refuseDaemon keeps the pods of DaemonSets from getting a machine each.
func refuseDaemon(pod *corev1.Pod, class *v1beta1.CellClass) *refusal {
	return refusalOf(admission.Daemon(pod, class))
}

func refusalOf(r *admission.Refusal) *refusal {
	if r == nil {
		return nil
	}
	return &refusal{reason: r.Reason, message: r.Message, failed: r.Failed}
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

// blame says for the pod's user what keeps the Cell from being ready.
func blame(ready *metav1.Condition) *refusal {
	return &refusal{reason: ready.Reason, message: admission.Blame(ready.Message)}
}
