package pod

import (
	"context"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"kip.elotl.co/api/v1beta1"
	"kip.elotl.co/internal/itzo"
)

// tellNotices says on the Cell, for whoever launches cells, and in an event of
// the pod what the agent was told of the end of its instance. The agent itself
// ends the pod: it may be that nobody hears it in time.
func (c *Controller) tellNotices(ctx context.Context, s *scope, notices *itzo.Notices) error {
	reason, message := noticeOf(notices)
	if reason == "" || s.cell.Annotations[v1beta1.AnnotationNotice] == reason+" "+message {
		return nil
	}
	before := s.cell.DeepCopy()
	metav1.SetMetaDataAnnotation(&s.cell.ObjectMeta, v1beta1.AnnotationNotice, reason+" "+message)
	before.UID = "" // so that the patch holds it
	if err := c.Client.Patch(ctx, s.cell, client.MergeFrom(before)); err != nil {
		return client.IgnoreNotFound(fmt.Errorf("noting on Cell %s what its agent was told: %w", s.cell.Name, err))
	}
	c.warn(s.pod, reason, message)
	return nil
}

// noticeOf is the graver of what was told; empty for nothing.
func noticeOf(notices *itzo.Notices) (reason, message string) {
	switch {
	case notices == nil:
		return "", ""
	case notices.Interruption != nil:
		return v1beta1.ReasonInterrupted, fmt.Sprintf("EC2 takes the instance back: %.32q at %s", notices.Interruption.Action, notices.Interruption.Time.UTC().Format(time.RFC3339))
	case notices.Rebalance != nil:
		return v1beta1.ReasonRebalance, "EC2 says that the instance is more likely than usual to be taken back, since " + notices.Rebalance.UTC().Format(time.RFC3339)
	}
	return "", ""
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
