package cell

import (
	"context"
	"strings"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"kip.elotl.co/api/v1beta1"
)

// heedNotice says on the Cell what its agent was told of the end of its
// instance, and leaves the offering alone for a while.
func (c *Controller) heedNotice(_ context.Context, s *scope) (outcome, error) {
	cell, attempt := s.cell, openAttempt(s.cell)
	reason, message, told := strings.Cut(cell.Annotations[v1beta1.AnnotationNotice], " ")
	if !told || attempt == nil || reason != v1beta1.ReasonInterrupted && reason != v1beta1.ReasonRebalance {
		return proceed(), nil
	}
	known := meta.FindStatusCondition(cell.Status.Conditions, v1beta1.ConditionInterruption)
	if known != nil && known.Message == message {
		return proceed(), nil
	}
	setCondition(cell, v1beta1.ConditionInterruption, metav1.ConditionTrue, reason, short(message))
	c.world(s.class).Risky(c.offeringOf(attempt))
	return proceed(), nil
}
