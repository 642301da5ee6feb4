package pod

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"kip.elotl.co/internal/crashpoint"
	"kip.elotl.co/internal/errtext"
	"kip.elotl.co/internal/itzo"
)

// silentAgent is how long after the end of the grace period an agent may not
// have reported the end before the cell is ended without it.
const silentAgent = 15 * time.Second

// stopTimeout bounds one try at telling an agent to stop its pod.
const stopTimeout = 10 * time.Second

// stop ends a pod that is being deleted: its containers first, with their
// grace period, then its cell; then the pod object goes.
func (c *Controller) stop(ctx context.Context, s *scope) (ctrl.Result, error) {
	if cellState(s.cell) != cellReady || terminal(s.pod) {
		return ctrl.Result{}, c.remove(ctx, s)
	}
	agent, err := c.Agents.ForCell(s.cell)
	if err != nil {
		return ctrl.Result{}, err
	}
	seen := c.observers.watch(s.pod, s.cell, agent)
	overdue := c.overdueAt(s.pod).Sub(c.Clock.Now())
	switch {
	case overdue <= 0 || !mayRun(s.pod, seen):
		return ctrl.Result{}, c.remove(ctx, s)
	case seen.reply == nil || seen.reply.PodUID != s.pod.UID:
		return ctrl.Result{RequeueAfter: overdue}, nil
	case ended(seen.reply.Status) || unitsStopped(seen):
		if err := c.copyStatus(ctx, s, seen); err != nil {
			return ctrl.Result{}, err
		}
		return ctrl.Result{}, c.remove(ctx, s)
	}
	again := min(overdue, c.requestStop(ctx, s, agent, seen))
	if left := c.settling(s.pod, seen); left > 0 {
		return ctrl.Result{RequeueAfter: min(again, left)}, nil
	}
	return ctrl.Result{RequeueAfter: again}, c.copyStatus(ctx, s, seen)
}

// mayRun says whether the agent may have the pod: it has said so, or it has
// been given it, by whomever, and has not told otherwise since.
func mayRun(pod *corev1.Pod, seen observation) bool {
	made := seen.calls[callDispatch]
	var unsure *unsureError
	switch {
	case seen.reply != nil && seen.reply.PodUID != "":
		return seen.reply.PodUID == pod.UID
	case made.state == underWay:
		return true
	case made.state == answered:
		return made.err == nil || errors.As(made.err, &unsure)
	}
	return seen.reply == nil && dispatched(pod)
}

// overdueAt is when a cell is ended that has not reported the end of its pod.
// An operator that comes late gives the agent the same time.
func (c *Controller) overdueAt(pod *corev1.Pod) time.Time {
	from := pod.DeletionTimestamp.Time
	if asked := c.observers.endingSince(pod.UID); asked.After(from) {
		from = asked
	}
	return from.Add(silentAgent)
}

// requestStop asks once, and again when the grace period was shortened or the
// agent did not take the order; it answers when to come back for that.
func (c *Controller) requestStop(ctx context.Context, s *scope, agent *itzo.Client, seen observation) time.Duration {
	const never = time.Duration(math.MaxInt64)
	at, made := s.pod.DeletionTimestamp.Time, seen.calls[callStop]
	if made.state == underWay || made.state == answered && made.err == nil && !at.Before(seen.stopAt) {
		return never
	}
	if made.err != nil {
		if left := made.retryAt.Sub(c.Clock.Now()); left > 0 {
			return left
		}
		log.FromContext(ctx).Info("the pod's agent did not take the order to stop", "cell", s.cell.Name, "error", errtext.Of(made.err))
	}
	pod := s.pod.DeepCopy()
	if seen.generation != "" {
		c.observers.startStop(pod.UID, at, time.Duration(c.graceLeft(pod))*time.Second+stopTimeout, func(ctx context.Context) error {
			return c.stopUnits(ctx, pod, agent)
		})
		return never
	}
	c.observers.startStop(pod.UID, at, stopTimeout, func(ctx context.Context) error {
		crashpoint.Reach(ctx, crashpoint.StopBefore, pod)
		err := agent.Stop(ctx, itzo.StopRequest{PodUID: pod.UID, GracePeriodSeconds: c.graceLeft(pod)})
		crashpoint.Reach(ctx, crashpoint.StopAfter, pod)
		return err
	})
	return never
}

// graceLeft is how long the containers have from now on, in seconds: at least
// one, as on a kubelet, so that they always get their SIGTERM, also from an
// operator that comes late. The deletion's time is in whole seconds, cut off.
func (c *Controller) graceLeft(pod *corev1.Pod) int64 {
	left := int64(pod.DeletionTimestamp.Sub(c.Clock.Now()).Seconds() + 1)
	if most := pod.DeletionGracePeriodSeconds; most != nil {
		left = min(left, *most)
	}
	return max(1, left)
}

// ended says whether no container of the pod runs any more.
func ended(status corev1.PodStatus) bool {
	if status.Phase == corev1.PodSucceeded || status.Phase == corev1.PodFailed {
		return true
	}
	for _, container := range slices.Concat(status.InitContainerStatuses, status.EphemeralContainerStatuses) {
		if container.State.Running != nil {
			return false // a sidecar ends after the others, an ephemeral one when it likes
		}
	}
	for _, container := range status.ContainerStatuses {
		if container.State.Terminated == nil {
			return false
		}
	}
	return len(status.ContainerStatuses) > 0
}

// remove ends the cell and takes the pod object away, as a kubelet does when
// nothing of the pod is left on its node.
func (c *Controller) remove(ctx context.Context, s *scope) error {
	if err := c.endCell(ctx, s); err != nil {
		return err
	}
	now := int64(0)
	crashpoint.Reach(ctx, crashpoint.PodRemoveBefore, s.pod)
	err := s.node.CoreV1().Pods(s.pod.Namespace).Delete(ctx, s.pod.Name, metav1.DeleteOptions{
		GracePeriodSeconds: &now, Preconditions: &metav1.Preconditions{UID: &s.pod.UID},
	})
	crashpoint.Reach(ctx, crashpoint.PodRemoveAfter, s.pod)
	if client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("deleting the pod: %w", err)
	}
	c.written.NoteRemoved(s.pod)
	return nil
}
