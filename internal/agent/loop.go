package agent

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
)

// How often a runtime without events is looked at: fast as long as something
// is expected to happen or has just happened, else slower.
const (
	pollFast   = 100 * time.Millisecond
	pollSteady = 500 * time.Millisecond
	activeFor  = 10 * time.Second

	retryRuntime = time.Second
)

// Run runs the pod until ctx ends, without serving; the pod's containers then
// go on alone.
func (a *Agent) Run(ctx context.Context) {
	a.work.Go(func() { a.watch(ctx) })
	a.work.Go(func() { a.upkeep(ctx) })
	a.work.Go(func() { a.endInSilence(ctx) })
	a.work.Go(func() { a.watchNotices(ctx) })
	for ctx.Err() == nil {
		a.sleep(ctx, a.sync(ctx))
	}
	a.work.Wait()
}

// watch listens to the runtime's events for as long as it tells any.
func (a *Agent) watch(ctx context.Context) {
	for ctx.Err() == nil {
		a.learnRuntime(ctx)
		a.setEvents(true)
		err := a.config.Runtime.Watch(ctx, a.poke)
		a.setEvents(false)
		a.poke()
		if errors.Is(err, ErrNoEvents) {
			return
		}
		a.pause(ctx, retryRuntime)
	}
}

// learnRuntime waits for the runtime to say what it is.
func (a *Agent) learnRuntime(ctx context.Context) {
	for ctx.Err() == nil {
		info, err := a.config.Runtime.Info(ctx)
		if err == nil {
			a.mu.Lock()
			a.info = info
			a.mu.Unlock()
			return
		}
		a.noteRuntimeProblem(err)
		logr.FromContextOrDiscard(ctx).V(1).Info("Waiting for the container runtime", "error", err.Error())
		a.pause(ctx, retryRuntime)
	}
}

func (a *Agent) noteRuntimeProblem(err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.info.Problem = err.Error()
}

func (a *Agent) setEvents(events bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.events = events
}

func (a *Agent) pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}

// sleep until something happened or it is time to look again; zero: no time is set.
func (a *Agent) sleep(ctx context.Context, until time.Time) {
	var timeout <-chan time.Time
	if !until.IsZero() {
		timer := time.NewTimer(time.Until(until))
		defer timer.Stop()
		timeout = timer.C
	}
	select {
	case <-ctx.Done():
	case <-a.wake:
	case <-timeout:
	}
}

// sync looks at the runtime once, starts what is to be done, and answers when
// to look again at the latest.
func (a *Agent) sync(ctx context.Context) time.Time {
	pod := a.applyEnded(ctx)
	if pod == nil {
		return time.Time{}
	}
	// The ends of actions have been noted before: what they made is in the list.
	obs, err := a.config.Runtime.List(ctx, pod.UID)
	now := time.Now()
	if err != nil {
		if ctx.Err() == nil {
			logr.FromContextOrDiscard(ctx).Error(err, "Cannot look at the container runtime")
		}
		return now.Add(retryRuntime)
	}
	a.readMessages(ctx, pod, &obs)
	return a.advance(ctx, now, obs)
}

// applyEnded tells the machine which actions have ended, and answers the pod.
func (a *Agent) applyEnded(ctx context.Context) *corev1.Pod {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.machine == nil {
		return nil
	}
	for _, e := range a.ended {
		if e.result.err != nil {
			logr.FromContextOrDiscard(ctx).Info("Action failed", "action", e.action.kind,
				"container", e.action.container, "error", e.result.err.Error())
		}
		a.machine.done(time.Now(), e.action, e.result)
	}
	a.ended = nil
	return a.machine.rec.Pod
}

// advance lets the machine decide, publishes the status and starts actions.
func (a *Agent) advance(ctx context.Context, now time.Time, obs Observation) time.Time {
	a.mu.Lock()
	defer a.mu.Unlock()
	actions := a.machine.step(now, obs)
	rec := a.machine.rec
	status, events := a.hub.news(rec)
	if status {
		a.active = now
	}
	if status || events || a.unsaved {
		// First to disk: an event's number must never be another's later.
		if err := a.save(); err != nil {
			logr.FromContextOrDiscard(ctx).Error(err, "Cannot save the agent's state")
		}
		a.unsaved = false
	}
	if status || events {
		a.hub.publish(rec)
	}
	for _, act := range actions {
		a.launch(ctx, act)
	}
	return a.nextLook(now)
}

// save writes the record. The caller holds the lock.
func (a *Agent) save() error {
	data, err := json.Marshal(a.machine.rec)
	if err != nil {
		return fmt.Errorf("encoding the agent's state: %w", err)
	}
	return a.config.Host.Save(data)
}

// nextLook answers when to look again. The caller holds the lock.
func (a *Agent) nextLook(now time.Time) time.Time {
	next := a.machine.wake
	sooner := func(at time.Time) {
		if next.IsZero() || at.Before(next) {
			next = at
		}
	}
	switch {
	case a.events && a.config.Resync > 0:
		sooner(now.Add(a.config.Resync))
	case a.events:
	case !a.machine.steady() && !a.machine.terminal() || now.Sub(a.active) < activeFor:
		sooner(now.Add(pollFast))
	default:
		sooner(now.Add(pollSteady))
	}
	return next
}
