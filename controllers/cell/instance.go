package cell

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"

	"kip.elotl.co/api/v1beta1"
	"kip.elotl.co/internal/cloud"
)

// watchInstance notices an instance that ends without our asking.
func (c *Controller) watchInstance(ctx context.Context, s *scope) (outcome, error) {
	if s.cell.Status.InstanceID == "" || gone(s.cell) {
		return stop(), nil
	}
	every := bootCheckEvery
	if reached(s.cell, v1beta1.CellReady) {
		every = readyCheckEvery
	}
	if wait := c.checks.due(s.cell.UID); wait > 0 {
		return outcome{after: wait}, nil
	}
	instance, err := c.Cloud.Instance(ctx, s.cell.Status.InstanceID)
	if wrong, err := c.misnamed(ctx, s.cell, instance, err); err != nil || wrong {
		if err != nil {
			return outcome{}, fmt.Errorf("looking for the Cell's own instance: %w", err)
		}
		return c.forgetName(s), nil
	}
	switch {
	case cloud.IsNotFound(err):
		if c.mayBeHidden(s.cell) {
			return outcome{after: c.checks.later(s.cell.UID, every)}, nil
		}
		return c.lost(ctx, s, cloud.Instance{ID: s.cell.Status.InstanceID, State: cloud.StateTerminated, StateReason: stateForgotten})
	case err != nil:
		c.checks.later(s.cell.UID, every)
		return outcome{}, fmt.Errorf("looking at instance %s: %w", s.cell.Status.InstanceID, err)
	case instance.State == cloud.StatePending, instance.State == cloud.StateRunning:
		if instance.State == cloud.StateRunning && !isReady(s.cell) {
			c.running.note(s.cell, c.Clock.Now())
		}
		return outcome{after: c.checks.later(s.cell.UID, every)}, nil
	}
	return c.lost(ctx, s, instance)
}

// lost ends the attempt of an instance that ended, or stopped, by itself.
func (c *Controller) lost(ctx context.Context, s *scope, instance cloud.Instance) (outcome, error) {
	message := fmt.Sprintf("instance %s is %s", instance.ID, instance.State)
	if instance.StateReason != "" {
		message += ": " + instance.StateReason
	}
	reason, more := whyEnded(s, instance)
	return c.abandon(ctx, s, instance, reason, message+more)
}

// abandon gives the instance up, and ends what is left of it. A cell that has
// run its pod is not launched again: the pod's controller decides what comes
// next.
func (c *Controller) abandon(ctx context.Context, s *scope, instance cloud.Instance, reason, message string) (outcome, error) {
	if err := errors.Join(c.end(ctx, s.cell, instance), c.removeRoutes(ctx, s.cell)); err != nil {
		return outcome{}, err
	}
	c.sayLeft(s, c.endParameters(ctx, s.cell, instance.ID))
	c.probes.forget(s.cell.UID)
	c.stores.forget(s.cell.UID)
	c.statuses.forget(s.cell.UID)
	for _, kind := range []string{v1beta1.ConditionImpaired, v1beta1.ConditionMaintenance} {
		meta.RemoveStatusCondition(&s.cell.Status.Conditions, kind)
	}
	if reached(s.cell, v1beta1.CellReady) && s.cell.Spec.PodRef != nil {
		notReady(s.cell, reason, message)
		return stop(), nil
	}
	if attempt := openAttempt(s.cell); attempt != nil {
		c.failAttempt(s.cell, attempt, &cloud.Error{Code: codeOf(reason), Message: message})
	}
	notLaunched(s.cell, v1beta1.ReasonLaunchFailed, message)
	return stopAndLookAfter(atOnce), nil
}

func codeOf(reason string) string {
	if reason == v1beta1.ReasonInstanceGone || reason == v1beta1.ReasonPoweredOff {
		return codeInstanceTerminated
	}
	return reason
}

// checks remembers when the instance of each Cell is to be looked at again.
type checks struct {
	clock clock.PassiveClock
	mu    sync.Mutex
	next  map[types.UID]time.Time
}

func newChecks(c clock.PassiveClock) *checks {
	return &checks{clock: c, next: map[types.UID]time.Time{}}
}

// known says whether a look has been planned.
func (c *checks) known(uid types.UID) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	_, ok := c.next[uid]
	return ok
}

// due is how long the next look has time; zero: it is due.
func (c *checks) due(uid types.UID) time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	return max(0, c.next[uid].Sub(c.clock.Now()))
}

// later puts the next look at a multiple of every, at least every/2 from now,
// and gives the time until then.
func (c *checks) later(uid types.UID, every time.Duration) time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := c.clock.Now()
	next := now.Add(every / 2).Truncate(every).Add(every)
	c.next[uid] = next
	return next.Sub(now)
}

func (c *checks) forget(uid types.UID) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.next, uid)
}

// launchCalls remembers when the last call was made for each Cell that may have
// launched something. An earlier process may have made one until just before
// this one came to see the Cell.
type launchCalls struct {
	clock clock.PassiveClock
	mu    sync.Mutex
	last  map[types.UID]time.Time
}

func newLaunchCalls(c clock.PassiveClock) *launchCalls {
	return &launchCalls{clock: c, last: map[types.UID]time.Time{}}
}

func (l *launchCalls) note(uid types.UID) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.last[uid] = l.clock.Now()
}

// since is how long ago the last call was made, at the least.
func (l *launchCalls) since(uid types.UID) time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	if _, known := l.last[uid]; !known {
		l.last[uid] = l.clock.Now()
	}
	return l.clock.Since(l.last[uid])
}

func (l *launchCalls) forget(uid types.UID) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.last, uid)
}

// mayBeHidden says whether the cloud may not show the open attempt's instance
// yet. It counts from the last call, which may have come long after the first.
func (c *Controller) mayBeHidden(cell *v1beta1.Cell) bool {
	return openAttempt(cell) != nil && c.calls.since(cell.UID) < launchVisible
}
