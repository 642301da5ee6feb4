package pod

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"kip.elotl.co/api/v1beta1"
	"kip.elotl.co/internal/crashpoint"
	"kip.elotl.co/internal/itzo"
)

// maxNotices is how much of an agent's notices is written down, in bytes.
const maxNotices = 16 << 10

// tellNotices says on the Cell, for whoever launches cells, and in events of
// the pod what the agent was told of the end of its instance. The agent itself
// ends the pod: it may be that nobody hears it in time.
func (c *Controller) tellNotices(ctx context.Context, s *scope, notices *itzo.Notices) error {
	written, noted := s.cell.Annotations[v1beta1.AnnotationNotices]
	if notices == nil || !noted && notices.Empty() {
		return nil
	}
	text, err := json.Marshal(notices)
	if err != nil {
		return fmt.Errorf("writing down what the agent of Cell %s was told: %w", s.cell.Name, err)
	}
	if len(text) > maxNotices {
		return nil // no agent of ours says so much
	}
	var known itzo.Notices
	// What cannot be read is written anew.
	if err := json.Unmarshal([]byte(written), &known); err == nil && known.Equal(*notices) {
		return nil
	}
	before := s.cell.DeepCopy()
	metav1.SetMetaDataAnnotation(&s.cell.ObjectMeta, v1beta1.AnnotationNotices, string(text))
	before.UID = "" // so that the patch holds it
	crashpoint.Reach(ctx, crashpoint.PodPatchBefore, s.cell)
	err = c.Client.Patch(ctx, s.cell, client.MergeFrom(before))
	crashpoint.Reach(ctx, crashpoint.PodPatchAfter, s.cell)
	if err != nil {
		return client.IgnoreNotFound(fmt.Errorf("noting on Cell %s what its agent was told: %w", s.cell.Name, err))
	}
	c.warnOf(s.pod, &known, notices)
	return nil
}

// warnOf makes events of what was not known of the notices.
func (c *Controller) warnOf(pod *corev1.Pod, known, told *itzo.Notices) {
	if told.Interruption != nil && known.Interruption == nil {
		c.warn(pod, v1beta1.ReasonInterrupted, fmt.Sprintf("EC2 takes the instance back: %.64s at %s", told.Interruption.Action, told.Interruption.Time.UTC().Format(time.RFC3339)))
	}
	if told.Rebalance != nil && known.Rebalance == nil {
		c.warn(pod, v1beta1.ReasonRebalance, "EC2 says that the instance is more likely than usual to be taken back, since "+told.Rebalance.UTC().Format(time.RFC3339))
	}
	for i, event := range told.Maintenance {
		if i >= len(known.Maintenance) || !known.Maintenance[i].Equal(event) {
			c.warn(pod, v1beta1.ReasonMaintenance, fmt.Sprintf("EC2 has scheduled %.64s of the instance, not before %s", event.Code, event.NotBefore.UTC().Format(time.RFC3339)))
		}
	}
}

// beforeIt gives a pod that has not been given to its cell another one, where
// the cloud takes this one back: once the Cell says so, the offering is known to
// be risky.
func (c *Controller) beforeIt(ctx context.Context, s *scope, notices *itzo.Notices) (ctrl.Result, error) {
	if err := c.tellNotices(ctx, s, notices); err != nil {
		return ctrl.Result{}, err
	}
	if !meta.IsStatusConditionTrue(s.cell.Status.Conditions, v1beta1.ConditionInterruption) {
		return ctrl.Result{}, nil
	}
	return ctrl.Result{}, c.endCell(ctx, s)
}

// disrupted marks a pod whose end is no fault of its own, as podFailurePolicy
// knows such.
func disrupted(status *corev1.PodStatus, pod *corev1.Pod, message string, now time.Time) {
	if findCondition(status.Conditions, corev1.DisruptionTarget) != nil {
		return
	}
	status.Conditions = append(status.Conditions, corev1.PodCondition{
		Type: corev1.DisruptionTarget, Status: corev1.ConditionTrue, Reason: corev1.PodReasonTerminationByKubelet, Message: message,
		LastTransitionTime: metav1.NewTime(now), ObservedGeneration: pod.Generation,
	})
}
