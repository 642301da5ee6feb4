package cell

import (
	"context"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"

	"kip.elotl.co/api/v1beta1"
	"kip.elotl.co/internal/cellagent"
	"kip.elotl.co/internal/cloud"
	"kip.elotl.co/internal/errtext"
)

// watchHealth gives a ready cell up whose agent has not answered for as long
// as its spec allows: its instance may run and do nothing.
func (c *Controller) watchHealth(ctx context.Context, s *scope) (outcome, error) {
	cell, attempt := s.cell, openAttempt(s.cell)
	patience := healthyTimeout(cell)
	if patience == 0 || attempt == nil || !isReady(cell) {
		return proceed(), nil
	}
	found := c.probes.probe(cell, question{address: cellagent.Address(cell), id: cellagent.ID(cell, attempt), patience: patience})
	if found.kept {
		c.Events.Eventf(cell, nil, corev1.EventTypeWarning, v1beta1.ReasonAgentSilent, "Health",
			"the agent of instance %s has not answered for %s, and neither have most others, so none is given up until they answer: is this operator cut off from its cells? %s",
			cell.Status.InstanceID, patience, errtext.Of(found.err))
	}
	if !found.lost {
		return proceed(), nil
	}
	message := fmt.Sprintf("the agent of instance %s has not answered for %s, so the instance is ended: %s",
		cell.Status.InstanceID, patience, errtext.Of(found.err))
	return c.abandon(ctx, s, cloud.Instance{ID: cell.Status.InstanceID, State: cloud.StateRunning}, v1beta1.ReasonAgentLost, message)
}

// healthyTimeout is how long the agent may be silent; zero: for ever.
func healthyTimeout(cell *v1beta1.Cell) time.Duration {
	if cell.Spec.HealthyTimeoutSeconds == nil {
		return 0
	}
	return time.Duration(*cell.Spec.HealthyTimeoutSeconds) * time.Second
}
