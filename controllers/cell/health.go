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
	patience := agentPatience(s)
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

// agentPatience is how long the agent may be silent; zero: for ever.
func agentPatience(s *scope) time.Duration {
	if byCloud(s.class) {
		return 0
	}
	return healthyTimeout(s)
}

// byCloud says whether the class's cells are given up by what the cloud says.
func byCloud(class *v1beta1.CellClass) bool {
	return class != nil && class.Spec.HealthCheck != nil && class.Spec.HealthCheck.CloudAPI != nil
}

// healthyTimeout is the Cell's, else the class's; zero: for ever.
func healthyTimeout(s *scope) time.Duration {
	seconds := s.cell.Spec.HealthyTimeoutSeconds
	if seconds == nil && s.class != nil && s.class.Spec.HealthCheck != nil {
		switch check := s.class.Spec.HealthCheck; {
		case check.Status != nil:
			seconds = &check.Status.HealthyTimeout
		case check.CloudAPI != nil:
			seconds = &check.CloudAPI.HealthyTimeout
		}
	}
	if seconds == nil {
		return 0
	}
	return time.Duration(*seconds) * time.Second
}
