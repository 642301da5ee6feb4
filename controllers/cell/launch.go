package cell

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"kip.elotl.co/api/v1beta1"
	"kip.elotl.co/internal/bootstrap"
	"kip.elotl.co/internal/cellspec"
	"kip.elotl.co/internal/cloud"
	"kip.elotl.co/internal/cloudinit"
	"kip.elotl.co/internal/crashpoint"
)

// launch makes sure that the Cell has an instance, and says on the Cell what
// the cloud answers instead.
func (c *Controller) launch(ctx context.Context, s *scope) (outcome, error) {
	result, err := c.ensureInstance(ctx, s)
	if answer := (*cloud.Error)(nil); errors.As(err, &answer) {
		notLaunched(s.cell, reasonOf(err), err.Error())
	}
	return result, err
}

// ensureInstance opens an attempt in status, and only then makes the call that
// the attempt describes.
func (c *Controller) ensureInstance(ctx context.Context, s *scope) (outcome, error) {
	if s.cell.Status.InstanceID != "" || gone(s.cell) {
		return proceed(), nil
	}
	attempt := openAttempt(s.cell)
	if attempt == nil {
		if c.hopeless(s) {
			return stopAndLookAfter(bootFailedAgain), nil
		}
		if wait := c.Cloud.LaunchDelay(); wait > 0 {
			return c.waitForTurn(s, wait), nil
		}
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
	crashpoint.Reach(ctx, crashpoint.LaunchBefore, s.cell)
	instance, err := c.Cloud.Launch(ctx, request)
	crashpoint.Reach(ctx, crashpoint.LaunchAfter, s.cell)
	if cloud.KindOf(err) != cloud.KindTokenReused { // such a call launches nothing
		c.calls.note(s.cell.UID)
	}
	if err != nil {
		return c.launchFailed(ctx, s, attempt, err)
	}
	c.launched(s, attempt, instance)
	return proceed(), nil
}

// waitForTurn leaves the worker to other Cells, such as those that end: the
// rate limit lets so few launches through that enough wait already.
func (c *Controller) waitForTurn(s *scope, wait time.Duration) outcome {
	if c.Clock.Since(s.cell.CreationTimestamp.Time) > sayTurnAfter {
		notLaunched(s.cell, v1beta1.ReasonLaunching, "waits for its turn: more cells are to be launched than AWS's rate limits let through")
	}
	return stopAndLookAfter(wait)
}

// openAttempt decides on an offering and writes the attempt ahead.
func (c *Controller) openAttempt(ctx context.Context, s *scope) (outcome, error) {
	chosen, problem := c.choose(s)
	if problem != nil {
		problem = c.orRefused(s, problem)
		notLaunched(s.cell, problem.reason, problem.message)
		return stopAndLookAfter(problem.retry), nil
	}
	attempt := c.attemptFor(s, chosen)
	if err := c.assignRole(ctx, s, &attempt); err != nil {
		c.capacity.Released(s.cell.UID)
		if p := profileProblem(attempt.InstanceProfile, err); p != nil {
			notLaunched(s.cell, p.reason, profileField(s)+": "+p.message)
			return stopAndLookAfter(p.retry), nil
		}
		return outcome{}, err
	}
	request, err := c.request(s, &attempt)
	if err != nil {
		c.capacity.Released(s.cell.UID)
		reason, text := c.unrenderable(s.class, err)
		notLaunched(s.cell, reason, fmt.Sprintf("CellClass %q: %s", s.class.Name, text))
		return stop(), nil
	}
	attempt.Fingerprint = fingerprint(request, s.class, s.document)
	if wait := c.backOff(s.cell, attempt.Fingerprint); wait > 0 {
		c.capacity.Released(s.cell.UID)
		return stopAndLookAfter(wait), nil
	}
	appendAttempt(s.cell, attempt)
	showPrice(s, chosen)
	notLaunched(s.cell, v1beta1.ReasonLaunching,
		fmt.Sprintf("launching %s in %s (attempt %d)", attempt.InstanceType, attempt.SubnetID, attempt.Number))
	if err := c.writeStatus(ctx, s); err != nil {
		c.capacity.Released(s.cell.UID)
		return outcome{}, err
	}
	c.fresh.remove(s.cell.UID)
	c.stores.fresh(s.cell.UID)
	c.sayPlainImage(s, &attempt)
	return proceed(), nil
}

// attemptFor is the next attempt, but for its fingerprint.
func (c *Controller) attemptFor(s *scope, chosen *choice) v1beta1.LaunchAttempt {
	return v1beta1.LaunchAttempt{
		Number:          lastNumber(s.cell) + 1,
		InstanceType:    chosen.InstanceType,
		Zone:            chosen.Zone,
		SubnetID:        chosen.SubnetID,
		ImageID:         chosen.ImageID,
		LaunchType:      chosen.Market.LaunchType(),
		CPUCredits:      chosen.CPUCredits,
		InstanceProfile: profile(s),
		ClassGeneration: s.class.Generation,
		Shape:           cellspec.Shape(&s.cell.Spec, s.class, s.document),
		PricePerHour:    priceOf(chosen.Offering),
		SpotMaxPrice:    spotMaxPrice(s.class, chosen.Offering),
		StartTime:       metav1.NewTime(c.Clock.Now().UTC().Truncate(time.Second)),
		Authority:       c.Authority.Authorities().Current.ID(),
	}
}

// unrenderable is why a launch request cannot be made of the class.
func (c *Controller) unrenderable(class *v1beta1.CellClass, err error) (reason, text string) {
	field := cloudinit.Field(c.Namespace, class)
	if size := (*bootstrap.SizeError)(nil); errors.As(err, &size) {
		return v1beta1.ReasonUserDataTooLarge, field + ": " + size.Error()
	}
	if size := (*bootstrap.ParameterSizeError)(nil); errors.As(err, &size) {
		return v1beta1.ReasonParametersTooLarge, "spec.cellConfig: " + size.Error()
	}
	if missing := (*cloudinit.SourceError)(nil); errors.As(err, &missing) {
		return v1beta1.ReasonCloudInitNotFound, missing.Error()
	}
	if document := (*bootstrap.DocumentError)(nil); errors.As(err, &document) {
		return v1beta1.ReasonInvalidCloudInit, field + ": " + document.Text()
	}
	return v1beta1.ReasonLaunchFailed, err.Error()
}

// launchFailed sorts the answer of a launch call.
func (c *Controller) launchFailed(ctx context.Context, s *scope, attempt *v1beta1.LaunchAttempt, err error) (outcome, error) {
	switch cloud.KindOf(err) {
	case cloud.KindTokenReused:
		return c.resolveByToken(ctx, s, attempt, err)
	case cloud.KindTransient, cloud.KindThrottled:
		return outcome{}, fmt.Errorf("launching attempt %d: %w", attempt.Number, err)
	case cloud.KindCapacity, cloud.KindQuota, cloud.KindSubnetFull, cloud.KindVolume, cloud.KindPrice:
		c.world(s.class).Failed(c.offeringOf(attempt), cloud.KindOf(err), s.cell.UID)
		return c.tryAnother(s, attempt, err), nil
	case cloud.KindConfiguration:
		c.refused(s, attempt, err)
		return c.tryAnother(s, attempt, err), nil
	}
	c.giveUp(s.cell, attempt, err)
	if p := askedFor(s, err); p != nil {
		notLaunched(s.cell, p.reason, p.message)
		return stopAndLookAfter(c.backOff(s.cell, attempt.Fingerprint)), nil
	}
	reason := reasonOf(err)
	if reason == v1beta1.ReasonCloudError {
		reason = v1beta1.ReasonLaunchFailed
	}
	notLaunched(s.cell, reason, fmt.Sprintf("launching %s: %v", attempt.InstanceType, err))
	return stopAndLookAfter(c.backOff(s.cell, attempt.Fingerprint)), nil
}

// tryAnother ends an attempt after which another offering is tried at once.
// What is wrong is said when there is none left: many may be dry.
func (c *Controller) tryAnother(s *scope, attempt *v1beta1.LaunchAttempt, err error) outcome {
	attempt.Fingerprint = "" // it tells nothing of the next
	c.failAttempt(s.cell, attempt, err)
	notLaunched(s.cell, v1beta1.ReasonLaunching, fmt.Sprintf("another offering than that of attempt %d is tried: %v", attempt.Number, err))
	return stopAndLookAfter(atOnce)
}

// askedFor names the field of the Cell that a refused launch is about: what the
// cloud knows nothing of is found out by the launch call alone.
func askedFor(s *scope, err error) *problem {
	answer := (*cloud.Error)(nil)
	if !errors.As(err, &answer) || answer.Subject == "" {
		return nil
	}
	spec, subject := &s.cell.Spec, answer.Subject
	switch {
	case slices.Contains(spec.SecurityGroups, subject) && !slices.Contains(s.class.Status.SecurityGroups, subject):
		return &problem{reason: v1beta1.ReasonGroupNotFound,
			message: fmt.Sprintf("spec.securityGroups: %q: no security group of this ID in VPC %s (%v)", subject, s.class.Status.VPCID, err)}
	case spec.InstanceProfile == subject && answer.Kind == cloud.KindNoRole:
		return &problem{reason: v1beta1.ReasonProfileNotFound, message: "spec.instanceProfile: " + profileProblem(subject, err).message}
	case spec.InstanceProfile == subject:
		return &problem{reason: v1beta1.ReasonProfileNotFound,
			message: fmt.Sprintf("spec.instanceProfile: %q: no instance profile of this name or ARN (%v)", subject, err)}
	}
	return nil
}

// reasonOf is the reason for a condition that an error of the cloud leads to.
func reasonOf(err error) string {
	switch cloud.KindOf(err) {
	case cloud.KindUnauthorized:
		return v1beta1.ReasonNotAuthorized
	case cloud.KindCapacity, cloud.KindSubnetFull, cloud.KindPrice:
		return v1beta1.ReasonNoCapacity
	case cloud.KindVolume:
		return v1beta1.ReasonNoVolumes
	case cloud.KindThrottled:
		return v1beta1.ReasonThrottled
	case cloud.KindQuota, cloud.KindLimit:
		return v1beta1.ReasonQuotaExceeded
	}
	return v1beta1.ReasonCloudError
}

// launched records the attempt's instance.
func (c *Controller) launched(s *scope, attempt *v1beta1.LaunchAttempt, instance cloud.Instance) {
	c.world(s.class).Launched(c.offeringOf(attempt), freeAddresses(s.class, attempt.SubnetID), s.cell.UID)
	c.recordInstance(s.cell, instance)
	c.own.note(s.cell.UID, instance.ID)
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
	status.LaunchType = launchTypeOf(instance)
	if instance.PrivateIP.IsValid() {
		status.IP = instance.PrivateIP.String()
	}
	if instance.PodIP.IsValid() {
		status.PodIP = instance.PodIP.String()
	}
}

// gone says whether the cell had its instance and lost it for good.
func gone(cell *v1beta1.Cell) bool {
	reason := readyReason(cell)
	return reason == v1beta1.ReasonInstanceGone || reason == v1beta1.ReasonAgentLost || reason == v1beta1.ReasonStatusCheckFailed || reason == v1beta1.ReasonPoweredOff
}
