package cell

import (
	"context"
	"fmt"
	"slices"

	"kip.elotl.co/api/v1beta1"
	"kip.elotl.co/internal/cloud"
)

// resolveByToken finds out what became of an attempt whose call cannot be
// repeated as it was: because its inputs have changed since.
func (c *Controller) resolveByToken(ctx context.Context, s *scope, attempt *v1beta1.LaunchAttempt, cause error) (outcome, error) {
	instance, err := c.Cloud.FindByToken(ctx, clientToken(s.cell, attempt.Number))
	switch {
	case err == nil && instance.State.Live():
		c.launched(s, attempt, instance)
		return proceed(), nil
	case err == nil:
		c.giveUp(s.cell, attempt, &cloud.Error{Code: codeInstanceTerminated, Message: instance.ID + " is " + string(instance.State) + " " + instance.StateReason})
		return stopAndLookAfter(atOnce), nil
	case !cloud.IsNotFound(err):
		return outcome{}, fmt.Errorf("finding the instance of attempt %d: %w", attempt.Number, err)
	}
	return c.lookOrAbandon(s, attempt, cause), nil
}

// lookOrAbandon looks again for an attempt's instance, less and less often, for
// as long as the cloud may not show it; then it gives the attempt up. Should the
// instance show after that, it is ended with the Cell: see doubtful.
func (c *Controller) lookOrAbandon(s *scope, attempt *v1beta1.LaunchAttempt, cause error) outcome {
	visible := launchVisible
	if cloud.KindOf(cause) == cloud.KindTokenReused {
		visible = reusedVisible
		notLaunched(s.cell, v1beta1.ReasonCloudError, fmt.Sprintf(
			"attempt %d: the client token was used already, and the cloud shows no instance of it (yet); it is looked for for %s", attempt.Number, visible))
	}
	if waited := c.calls.since(s.cell.UID); waited < visible {
		return stopAndLookAfter(min(longerEach(waited, lookAgainFirst, lookAgainMost), visible-waited))
	}
	c.giveUp(s.cell, attempt, &cloud.Error{Code: codeAbandoned, Message: "no instance came of it: " + cause.Error()})
	return stopAndLookAfter(atOnce)
}

// doubtful says whether an attempt was given up, which may have launched an
// instance nevertheless: one that shows late, or one whose call was refused only
// when it was repeated. Of many attempts the first are no longer in status.
func doubtful(cell *v1beta1.Cell) bool {
	attempts := cell.Status.Attempts
	return len(attempts) > 0 && (attempts[0].Number > 1 || attempts[0].EndTime != nil)
}

// adoptByTags looks for an instance of this Cell whose attempt is not in
// status, because the status was lost.
func (c *Controller) adoptByTags(ctx context.Context, s *scope) (bool, error) {
	if len(s.cell.Status.Attempts) > 0 || c.fresh.has(s.cell.UID) {
		return false, nil
	}
	instances, err := c.findByTags(ctx, s.cell)
	if err != nil {
		return false, err
	}
	for _, instance := range instances {
		attempt, ok := attemptFromTags(instance)
		if !instance.State.Live() || !ok {
			continue
		}
		appendAttempt(s.cell, attempt)
		c.launched(s, &attempt, instance)
		return true, nil
	}
	return false, nil
}

// findByTags finds the Cell's instances by its tags. What carries them and was
// not launched for the Cell, as its client token shows, is somebody else's: tags
// can be copied.
func (c *Controller) findByTags(ctx context.Context, cell *v1beta1.Cell) ([]cloud.Instance, error) {
	found, err := c.Cloud.FindByTags(ctx, c.identityTags(cell))
	if err != nil {
		return nil, fmt.Errorf("looking for instances of this Cell: %w", err)
	}
	return slices.DeleteFunc(found, func(instance cloud.Instance) bool { return !launchedFor(cell, instance) }), nil
}
