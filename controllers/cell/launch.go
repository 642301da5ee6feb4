package cell

import (
	"context"
	"errors"
	"fmt"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"kip.elotl.co/api/v1beta1"
	"kip.elotl.co/internal/bootstrap"
	"kip.elotl.co/internal/cloud"
)

const (
	// launchVisible is how long after a launch call the cloud may not show its
	// instance. EC2 gives no figure; its guide speaks of seconds to minutes.
	launchVisible = 2 * time.Minute
	// lookAgain is when to ask again for what the cloud does not show yet.
	lookAgain = 2 * time.Second
	// noCapacityRetry is when to try again after every offering was dry.
	noCapacityRetry = 30 * time.Second
)

// launch makes sure that the Cell has an instance: it opens an attempt in
// status, and only then makes the call that the attempt describes.
func (c *Controller) launch(ctx context.Context, s *scope) (outcome, error) {
	if s.cell.Status.InstanceID != "" || gone(s.cell) {
		return proceed(), nil
	}
	attempt := openAttempt(s.cell)
	if attempt == nil {
		adopted, err := c.adoptByTags(ctx, s)
		if err != nil || adopted {
			return stop(), err
		}
		result, err := c.openAttempt(ctx, s)
		if err != nil || result.done {
			return result, err
		}
		attempt = openAttempt(s.cell)
	}
	request, err := c.request(s, attempt)
	if err != nil {
		return c.resolveByToken(ctx, s, attempt, err)
	}
	instance, err := c.Cloud.Launch(ctx, request)
	c.calls.note(s.cell.UID)
	if err != nil {
		return c.launchFailed(ctx, s, attempt, err)
	}
	c.launched(s, attempt, instance)
	return proceed(), nil
}

// openAttempt decides on an offering and writes the attempt ahead.
func (c *Controller) openAttempt(ctx context.Context, s *scope) (outcome, error) {
	offering, problem, err := c.chooseOffering(ctx, s)
	if err != nil {
		return outcome{}, err
	}
	if problem != nil {
		notLaunched(s.cell, problem.reason, problem.message)
		return stopAndLookAfter(problem.retry), nil
	}
	attempt := v1beta1.LaunchAttempt{
		Number:       lastNumber(s.cell) + 1,
		InstanceType: offering.InstanceType,
		Zone:         offering.Zone,
		SubnetID:     offering.SubnetID,
		ImageID:      offering.Image.ID,
		StartTime:    metav1.NewTime(c.Clock.Now().UTC().Truncate(time.Second)),
	}
	request, err := c.request(s, &attempt)
	if err != nil {
		reason := v1beta1.ReasonInvalidCloudInit
		if size := (*bootstrap.SizeError)(nil); errors.As(err, &size) {
			reason = v1beta1.ReasonUserDataTooLarge
		}
		notLaunched(s.cell, reason, fmt.Sprintf("CellClass %q: spec.cloudInit: %v", s.class.Name, err))
		return stop(), nil
	}
	attempt.Fingerprint = fingerprint(request, s.class)
	if wait := c.backOff(s.cell, attempt.Fingerprint); wait > 0 {
		return stopAndLookAfter(wait), nil
	}
	appendAttempt(s.cell, attempt)
	notLaunched(s.cell, v1beta1.ReasonLaunching,
		fmt.Sprintf("launching %s in %s (attempt %d)", attempt.InstanceType, attempt.SubnetID, attempt.Number))
	if err := c.writeStatus(ctx, s); err != nil {
		return outcome{}, err
	}
	c.fresh.remove(s.cell.UID)
	return proceed(), nil
}

// launchFailed sorts the answer of a launch call.
func (c *Controller) launchFailed(ctx context.Context, s *scope, attempt *v1beta1.LaunchAttempt, err error) (outcome, error) {
	offering := offeringOf(attempt)
	switch cloud.KindOf(err) {
	case cloud.KindTokenReused:
		return c.resolveByToken(ctx, s, attempt, err)
	case cloud.KindTransient, cloud.KindThrottled:
		notLaunched(s.cell, v1beta1.ReasonCloudError, "launching: "+err.Error())
		return outcome{}, fmt.Errorf("launching attempt %d: %w", attempt.Number, err)
	case cloud.KindCapacity:
		c.dry.addPool(offering)
		c.failAttempt(s.cell, attempt, err)
		notLaunched(s.cell, v1beta1.ReasonNoCapacity, err.Error())
		return stopAndLookAfter(time.Millisecond), nil
	case cloud.KindSubnetFull:
		c.dry.addSubnet(offering)
		c.failAttempt(s.cell, attempt, err)
		notLaunched(s.cell, v1beta1.ReasonNoCapacity, err.Error())
		return stopAndLookAfter(time.Millisecond), nil
	}
	c.failAttempt(s.cell, attempt, err)
	reason := v1beta1.ReasonLaunchFailed
	if cloud.KindOf(err) == cloud.KindUnauthorized {
		reason = v1beta1.ReasonNotAuthorized
	}
	notLaunched(s.cell, reason, fmt.Sprintf("launching %s: %v", attempt.InstanceType, err))
	return stopAndLookAfter(c.backOff(s.cell, attempt.Fingerprint)), nil
}

// launched records the attempt's instance.
func (c *Controller) launched(s *scope, attempt *v1beta1.LaunchAttempt, instance cloud.Instance) {
	c.dry.remove(offeringOf(attempt))
	c.recordInstance(s.cell, instance)
	setCondition(s.cell, v1beta1.ConditionLaunched, metav1.ConditionTrue, v1beta1.ReasonLaunched,
		fmt.Sprintf("launched %s as %s", instance.InstanceType, instance.ID))
	notReady(s.cell, v1beta1.ReasonWaitingForAgent,
		fmt.Sprintf("instance %s is launched, its agent has not answered yet", instance.ID))
	c.checks.later(s.cell.UID, bootCheckEvery)
}

func (c *Controller) recordInstance(cell *v1beta1.Cell, instance cloud.Instance) {
	status := &cell.Status
	status.InstanceID = instance.ID
	status.InstanceType = instance.InstanceType
	status.Zone = instance.Zone
	status.ImageID = instance.ImageID
	status.LaunchType = v1beta1.LaunchOnDemand
	if instance.Market == cloud.Spot {
		status.LaunchType = v1beta1.LaunchSpot
	}
	if instance.PrivateIP.IsValid() {
		status.IP = instance.PrivateIP.String()
	}
	if instance.PodIP.IsValid() {
		status.PodIP = instance.PodIP.String()
	}
}

// resolveByToken finds out what became of an attempt whose call cannot be
// repeated as it was: because its inputs have changed since.
func (c *Controller) resolveByToken(ctx context.Context, s *scope, attempt *v1beta1.LaunchAttempt, cause error) (outcome, error) {
	instance, err := c.Cloud.FindByToken(ctx, clientToken(s.cell, attempt.Number))
	switch {
	case err == nil && instance.State.Live():
		c.launched(s, attempt, instance)
		return proceed(), nil
	case err == nil:
		c.failAttempt(s.cell, attempt, &cloud.Error{Code: codeInstanceTerminated, Message: instance.ID + " is " + string(instance.State) + " " + instance.StateReason})
		return stopAndLookAfter(time.Millisecond), nil
	case !cloud.IsNotFound(err):
		return outcome{}, fmt.Errorf("finding the instance of attempt %d: %w", attempt.Number, err)
	case cloud.KindOf(cause) == cloud.KindTokenReused:
		notLaunched(s.cell, v1beta1.ReasonCloudError,
			fmt.Sprintf("attempt %d has launched an instance that the cloud does not show (yet)", attempt.Number))
		return stopAndLookAfter(lookAgain), nil
	case c.mayBeHidden(s.cell, attempt):
		return stopAndLookAfter(lookAgain), nil
	}
	c.failAttempt(s.cell, attempt, &cloud.Error{Code: codeAbandoned, Message: "no instance came of it: " + cause.Error()})
	return stopAndLookAfter(time.Millisecond), nil
}

// adoptByTags looks for an instance of this Cell whose attempt is not in
// status, because the status was lost.
func (c *Controller) adoptByTags(ctx context.Context, s *scope) (bool, error) {
	if len(s.cell.Status.Attempts) > 0 || c.fresh.has(s.cell.UID) {
		return false, nil
	}
	instances, err := c.Cloud.FindByTags(ctx, c.identityTags(s.cell))
	if err != nil {
		return false, fmt.Errorf("looking for an instance of this Cell: %w", err)
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

// gone says whether the cell had its instance and lost it for good.
func gone(cell *v1beta1.Cell) bool { return readyReason(cell) == v1beta1.ReasonInstanceGone }
