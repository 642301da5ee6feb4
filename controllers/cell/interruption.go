package cell

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"kip.elotl.co/api/v1beta1"
	"kip.elotl.co/internal/cloud"
	"kip.elotl.co/internal/itzo"
)

// noticesOf is what the Cell's agent was told; nothing where that cannot be read.
func noticesOf(cell *v1beta1.Cell) (notices itzo.Notices, any bool) {
	text, any := cell.Annotations[v1beta1.AnnotationNotices]
	if !any || json.Unmarshal([]byte(text), &notices) != nil {
		return itzo.Notices{}, false
	}
	return notices, true
}

// heedNotices says on the Cell what its agent was told of the end of its
// instance, and leaves the offering alone for a while.
func (c *Controller) heedNotices(_ context.Context, s *scope) (outcome, error) {
	cell, attempt := s.cell, openAttempt(s.cell)
	notices, any := noticesOf(cell)
	if !any || attempt == nil {
		return proceed(), nil
	}
	if meta.FindStatusCondition(cell.Status.Conditions, v1beta1.ConditionMaintenance) == nil {
		c.sayScheduled(cell, nil)
	}
	reason, message := interruption(cell, notices)
	known := meta.FindStatusCondition(cell.Status.Conditions, v1beta1.ConditionInterruption)
	switch {
	case reason == "":
		meta.RemoveStatusCondition(&cell.Status.Conditions, v1beta1.ConditionInterruption)
	case known == nil || known.Message != message:
		setCondition(cell, v1beta1.ConditionInterruption, metav1.ConditionTrue, reason, message)
		c.world(s.class).Risky(c.offeringOf(attempt))
	}
	return proceed(), nil
}

// heedLast leaves the offering alone of a Cell that was deleted before anybody
// had heeded what its agent was told.
func (c *Controller) heedLast(ctx context.Context, cell *v1beta1.Cell) error {
	notices, any := noticesOf(cell)
	if attempt := openAttempt(cell); !any || attempt == nil || notices.Interruption == nil && notices.Rebalance == nil ||
		meta.FindStatusCondition(cell.Status.Conditions, v1beta1.ConditionInterruption) != nil {
		return nil
	}
	s := &scope{cell: cell.DeepCopy(), before: cell} // whose status nobody writes
	if err := c.readClass(ctx, s); err != nil {
		return err
	}
	_, err := c.heedNotices(ctx, s)
	return err
}

// interruption is the graver of what was told; empty for nothing.
func interruption(cell *v1beta1.Cell, notices itzo.Notices) (reason, message string) {
	switch {
	case notices.Interruption != nil:
		return v1beta1.ReasonInterrupted, short(fmt.Sprintf("EC2 takes instance %s back: %s at %s",
			cell.Status.InstanceID, notices.Interruption.Action, notices.Interruption.Time.UTC().Format(time.RFC3339)))
	case notices.Rebalance != nil:
		return v1beta1.ReasonRebalance, short(fmt.Sprintf("EC2 says that instance %s is more likely than usual to be taken back, since %s",
			cell.Status.InstanceID, notices.Rebalance.UTC().Format(time.RFC3339)))
	}
	return "", ""
}

// scheduledByAgent is what the agent was told of maintenance.
func scheduledByAgent(cell *v1beta1.Cell) []cloud.ScheduledEvent {
	notices, _ := noticesOf(cell)
	var events []cloud.ScheduledEvent
	for _, m := range notices.Maintenance {
		events = append(events, cloud.ScheduledEvent{Code: m.Code, Description: m.Description, NotBefore: m.NotBefore, NotAfter: m.NotAfter})
	}
	return events
}
