package cell

import (
	"context"
	"fmt"

	logf "sigs.k8s.io/controller-runtime/pkg/log"

	"kip.elotl.co/api/v1beta1"
	"kip.elotl.co/internal/cellagent"
	"kip.elotl.co/internal/cloud"
)

const (
	// stateSelf is EC2's reason of an instance whose own system shut down
	// (docs.aws.amazon.com/AWSEC2/latest/APIReference/API_StateReason.html).
	stateSelf = "Client.InstanceInitiatedShutdown"
	// stateForgotten is ours of one that the cloud shows no more, as it does an
	// hour after the end.
	stateForgotten = "unknown to the cloud"
)

// whyEnded is the reason of an instance's end, and what there is to say of it
// beside the cloud's words.
func whyEnded(s *scope, instance cloud.Instance) (reason, more string) {
	reason = v1beta1.ReasonInstanceGone
	if s.class == nil || powerOffAfter(s.class) == 0 {
		return reason, ""
	}
	after := powerOffAfter(s.class)
	switch instance.StateReason {
	case stateSelf:
		return v1beta1.ReasonPoweredOff,
			fmt.Sprintf(": it powered itself off, as a cell does that hears nothing of the operator for %s (spec.powerOffAfter of its class)", after)
	case stateForgotten:
		more = fmt.Sprintf("; a cell that hears nothing of the operator for %s (spec.powerOffAfter of its class) powers itself off", after)
	}
	return reason, more
}

// signOfLife lets the agent of a ready cell hear of the operator, which powers
// its cell off when it does not for too long. Whose health is watched hears
// enough; whether this one answers does not matter here.
func (c *Controller) signOfLife(ctx context.Context, s *scope) (outcome, error) {
	cell, attempt := s.cell, openAttempt(s.cell)
	if attempt == nil || !isReady(cell) || agentPatience(s) > 0 {
		return proceed(), nil
	}
	if wait := c.signs.due(cell.UID); wait > 0 {
		return outcome{after: wait}, nil
	}
	agent, err := c.Agents.Client(cellagent.Address(cell), cellagent.ID(cell, attempt))
	if err != nil {
		return outcome{}, err
	}
	log := logf.FromContext(ctx)
	go func() {
		ctx, cancel := context.WithTimeout(c.probes.base, probeTimeout)
		defer cancel()
		if err := agent.Ping(ctx); err != nil {
			log.V(1).Info("The cell's agent cannot be given a sign of life", "error", err.Error())
		}
	}()
	return outcome{after: c.signs.later(cell.UID, signEvery)}, nil
}
