package cell

import (
	"context"
	"fmt"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	logf "sigs.k8s.io/controller-runtime/pkg/log"

	"kip.elotl.co/api/v1beta1"
	"kip.elotl.co/internal/cloud"
)

// watchStatus says on a ready cell what the cloud says of it, and gives it up
// where its class says so. A cloud that does not answer tells nothing.
func (c *Controller) watchStatus(ctx context.Context, s *scope) (outcome, error) {
	cell := s.cell
	if !isReady(cell) || cell.Status.InstanceID == "" {
		return proceed(), nil
	}
	every := scheduledEvery
	if byCloud(s.class) && healthyTimeout(s) > 0 {
		every = statusEvery
	}
	if !c.statuses.known(cell.UID) { // it is too young for a check to have been made
		return outcome{after: c.statuses.later(cell.UID, every)}, nil
	}
	// What was planned before the class asked for more does not count.
	if wait := c.statuses.due(cell.UID); wait > 0 && wait <= 2*every {
		return outcome{after: wait}, nil
	}
	after := c.statuses.later(cell.UID, every)
	status, err := c.Cloud.Status(ctx, cell.Status.InstanceID)
	if err != nil {
		logf.FromContext(ctx).Info("The cloud does not tell how it sees a cell", "instanceID", cell.Status.InstanceID, "error", err.Error())
		return outcome{after: after}, nil
	}
	c.sayScheduled(cell, status.Events)
	return c.judge(ctx, s, status, after)
}

// judge counts for how long the status checks have failed by the condition that
// says so, which outlives this process.
func (c *Controller) judge(ctx context.Context, s *scope, status cloud.Status, after time.Duration) (outcome, error) {
	cell := s.cell
	failed := failedChecks(status)
	if failed == "" {
		meta.RemoveStatusCondition(&cell.Status.Conditions, v1beta1.ConditionImpaired)
		return outcome{after: after}, nil
	}
	message := fmt.Sprintf("the %s of instance %s fails", failed, cell.Status.InstanceID)
	meta.SetStatusCondition(&cell.Status.Conditions, metav1.Condition{
		Type: v1beta1.ConditionImpaired, Status: metav1.ConditionTrue, Reason: v1beta1.ReasonStatusCheckFailed, Message: message,
		ObservedGeneration: cell.Generation, LastTransitionTime: metav1.NewTime(c.Clock.Now()),
	})
	patience := healthyTimeout(s)
	if !byCloud(s.class) || patience == 0 {
		return outcome{after: after}, nil
	}
	since := meta.FindStatusCondition(cell.Status.Conditions, v1beta1.ConditionImpaired).LastTransitionTime.Time
	if left := patience - c.Clock.Since(since); left > 0 {
		return outcome{after: min(after, left)}, nil
	}
	return c.abandon(ctx, s, cloud.Instance{ID: cell.Status.InstanceID, State: cloud.StateRunning}, v1beta1.ReasonStatusCheckFailed,
		fmt.Sprintf("%s, and has for %s, so the instance is ended", message, patience))
}

func failedChecks(status cloud.Status) string {
	switch {
	case status.SystemImpaired && status.InstanceImpaired:
		return "system and the instance status check"
	case status.SystemImpaired:
		return "system status check"
	case status.InstanceImpaired:
		return "instance status check"
	}
	return ""
}

// sayScheduled says what the cloud is going to do to the instance; where it has
// not told that, what it has told the agent.
func (c *Controller) sayScheduled(cell *v1beta1.Cell, events []cloud.ScheduledEvent) {
	if len(events) == 0 {
		events = scheduledByAgent(cell)
	}
	if len(events) == 0 {
		meta.RemoveStatusCondition(&cell.Status.Conditions, v1beta1.ConditionMaintenance)
		return
	}
	var said []string
	for _, e := range events {
		text := e.Code
		if !e.NotBefore.IsZero() {
			text += " not before " + e.NotBefore.UTC().Format(time.RFC3339)
		}
		if !e.NotAfter.IsZero() {
			text += " and not after " + e.NotAfter.UTC().Format(time.RFC3339)
		}
		if e.Description != "" {
			text += ": " + e.Description
		}
		said = append(said, text)
	}
	setCondition(cell, v1beta1.ConditionMaintenance, metav1.ConditionTrue, v1beta1.ReasonMaintenance,
		short(fmt.Sprintf("EC2 has scheduled for instance %s: %s", cell.Status.InstanceID, strings.Join(said, "; "))))
}

// announceTrouble makes an event of what the cloud says of a cell.
func (c *Controller) announceTrouble(s *scope, about *corev1.ObjectReference) {
	for _, kind := range []string{v1beta1.ConditionImpaired, v1beta1.ConditionMaintenance, v1beta1.ConditionInterruption} {
		was, is := meta.FindStatusCondition(s.before.Status.Conditions, kind), meta.FindStatusCondition(s.cell.Status.Conditions, kind)
		if is != nil && (was == nil || was.Message != is.Message) {
			c.Events.Eventf(about, nil, corev1.EventTypeWarning, is.Reason, "Health", "%s", short(is.Message))
		}
	}
}
