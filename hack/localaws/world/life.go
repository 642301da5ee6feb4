package world

import (
	"context"
	"errors"
	"net/netip"
	"time"

	"kip.elotl.co/hack/localaws/awserr"
	"kip.elotl.co/hack/localaws/boot"
)

// stopRetry is the pause between attempts to stop a machine.
const stopRetry = time.Second

// start begins the life of a launched instance.
func (w *World) start(id string) {
	s := w.slot(id)
	w.lives.Go(func() {
		m, err := w.boot(s)
		w.live(s, m, err)
	})
}

// boot brings the machine up. An instance that is ended meanwhile need not
// boot to the end.
func (w *World) boot(s *slot) (boot.Machine, error) {
	ctx, cancel := context.WithCancel(w.background)
	defer cancel()
	go func() {
		select {
		case <-s.end:
			cancel()
		case <-ctx.Done():
		}
	}()
	return w.Backend.Start(ctx, w.bootSpec(w.current(s)))
}

func (w *World) slot(id string) *slot {
	w.mu.RLock()
	defer w.mu.RUnlock()
	return w.slots[id]
}

func (w *World) current(s *slot) *Instance {
	w.mu.RLock()
	defer w.mu.RUnlock()
	return s.instance
}

// recover takes up an instance of an earlier process.
func (w *World) recover(ctx context.Context, s *slot) {
	m, err := w.Backend.Recover(ctx, w.spec(s.instance))
	if err != nil && !errors.Is(err, boot.ErrGone) {
		w.Log.Error(err, "machine not recovered", "instanceID", s.id)
	}
	switch s.instance.State {
	case ShuttingDown, Stopping:
		s.once.Do(func() { close(s.end) })
	}
	w.lives.Go(func() { w.live(s, m, err) })
}

// live follows an instance from the moment its machine is up, or has failed to
// come up, until it ends.
func (w *World) live(s *slot, m boot.Machine, err error) {
	if err != nil {
		w.failed(s, err)
		return
	}
	w.mu.Lock()
	s.machine = m
	launched := s.instance.LaunchTime
	w.mu.Unlock()
	if w.wait(launched.Add(w.PendingDelay), s.end) {
		w.change(s, func(i *Instance) {
			if i.State == Pending {
				i.State, i.StateReason = Running, StateReason{}
			}
		})
	}
	w.watch(s, m)
}

// watch waits for the end of an instance: by a call, by its own guest, or by
// the end of this process (then the machine goes on).
func (w *World) watch(s *slot, m boot.Machine) {
	done := m.Done()
	for {
		select {
		case <-w.background.Done():
			return
		case <-done:
			done = nil
			w.mu.RLock()
			unnoticed := s.unnoticed
			w.mu.RUnlock()
			if !unnoticed {
				w.guestEnded(s)
			}
		case <-s.end:
			w.takeDown(s, m)
			return
		}
	}
}

// guestEnded acts as the launch asked for when the guest shuts itself down.
func (w *World) guestEnded(s *slot) {
	w.beginEnd(s, InstanceShutdown, "")
}

// failed ends an instance that has no machine.
func (w *World) failed(s *slot, err error) {
	if w.background.Err() != nil {
		// The process ends; the next one will find nothing to recover.
		return
	}
	w.Log.Error(err, "instance has no machine", "instanceID", s.id)
	w.beginEnd(s, InternalError, "Server initiated")
	w.takeDown(s, nil)
}

// beginEnd moves an instance towards its end, for the first reason that comes.
// It says what the state was and is.
func (w *World) beginEnd(s *slot, reason StateReason, transition string) (before, after State) {
	now := w.Clock.Now().UTC()
	w.change(s, func(i *Instance) {
		before, after = i.State, i.State
		switch i.State {
		case Pending, Running:
			i.State = ShuttingDown
			if reason == InstanceShutdown && i.OnShutdown == "stop" {
				i.State = Stopping
			}
		case Stopping, Stopped:
			if reason == InstanceShutdown {
				return
			}
			i.State = ShuttingDown
		default:
			return
		}
		after = i.State
		i.StateReason = reason
		i.TransitionReason = ""
		if transition != "" {
			i.TransitionReason = transition + " (" + now.Format("2006-01-02 15:04:05 MST") + ")"
		}
	})
	s.once.Do(func() { close(s.end) })
	return before, after
}

// takeDown stops the machine, if there is one, and ends the instance when the
// shutdown delay has passed too.
func (w *World) takeDown(s *slot, m boot.Machine) {
	until := w.Clock.Now().Add(w.ShutdownDelay)
	if m != nil && !w.stop(s, m) {
		return
	}
	w.mu.Lock()
	s.machine = nil
	w.mu.Unlock()
	if w.wait(until, nil) {
		w.finish(s)
	}
}

// stop stops a machine, however often that has to be tried; false when the
// process ends first.
func (w *World) stop(s *slot, m boot.Machine) bool {
	for {
		// The process's end does not cut a Stop short: half-stopped machines leak.
		err := m.Stop(context.WithoutCancel(w.background))
		if err == nil {
			return true
		}
		w.Log.Error(err, "machine not stopped", "instanceID", s.id)
		if !w.wait(w.Clock.Now().Add(stopRetry), nil) {
			return false
		}
	}
}

// finish puts an instance whose machine is gone into its last state.
func (w *World) finish(s *slot) {
	now := w.Clock.Now().UTC()
	left := false
	w.change(s, func(i *Instance) {
		if i.State == Stopping {
			i.State = Stopped
			return
		}
		left = w.leave(i)
		if i.KeepInterface {
			i.PrivateIPs = nil
		}
		w.releaseAddresses(i)
		i.State, i.EndedAt = Terminated, now
		i.PrivateIPs, i.PublicIP = nil, netip.Addr{}
	})
	if !left {
		return
	}
	if err := w.saveLeft(); err != nil {
		w.Log.Error(err, "what is left of an instance is not saved", "instanceID", s.id)
	}
}

// wait waits until a time; false when the process ends or stop closes first.
func (w *World) wait(until time.Time, stop <-chan struct{}) bool {
	d := until.Sub(w.Clock.Now())
	if d <= 0 {
		return true
	}
	t := w.Clock.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C():
		return true
	case <-stop:
		return false
	case <-w.background.Done():
		return false
	}
}

// StateChange is one line of TerminateInstances' answer.
type StateChange struct {
	ID            string
	Before, After State
}

// Terminate ends all the instances, or none when one of them is unknown. When
// one is protected the call fails too, but saves only those named that are in
// the same zone. Those that have ended already are no error.
func (w *World) Terminate(ids []string) ([]StateChange, error) {
	var named []*Instance
	for _, id := range ids {
		i, ok := w.Instance(id)
		if !ok {
			return nil, UnknownInstances(w, ids)
		}
		named = append(named, i)
	}
	spared := map[string]bool{} // by zone
	var err error
	for _, i := range named {
		if i.DisableAPITermination && i.State != Terminated {
			spared[i.Zone] = true
			err = awserr.New("OperationNotPermitted", "The instance '%s' may not be terminated. Modify its 'disableApiTermination' instance attribute and try again.", i.ID)
		}
	}
	var out []StateChange
	for _, i := range named {
		if !spared[i.Zone] {
			before, after, ok := w.endWith(i.ID, UserShutdown, "User initiated")
			if !ok {
				// Terminated, and forgotten since it was looked up.
				before, after = Terminated, Terminated
			}
			out = append(out, StateChange{ID: i.ID, Before: before, After: after})
		}
	}
	return out, err
}

// UnknownInstances is the error that names those of ids that w does not know.
func UnknownInstances(w *World, ids []string) error {
	var missing []string
	for _, id := range ids {
		if _, ok := w.Instance(id); !ok {
			missing = append(missing, id)
		}
	}
	return NotFound("InvalidInstanceID", "instance", missing)
}

// Kill ends an instance behind the caller's back, for a reason of the cloud's.
// With unnoticed the machine dies and EC2 goes on calling it running.
func (w *World) Kill(ctx context.Context, id string, reason StateReason, unnoticed bool) error {
	w.mu.Lock()
	s := w.slots[id]
	if s == nil || !s.instance.State.Live() {
		w.mu.Unlock()
		return awserr.New("InvalidInstanceID.NotFound", "The instance ID '%s' is not live", id)
	}
	m := s.machine
	if unnoticed && m == nil {
		w.mu.Unlock()
		return awserr.New("IncorrectInstanceState", "The machine of '%s' is not up yet", id)
	}
	s.unnoticed = s.unnoticed || unnoticed
	w.mu.Unlock()
	if unnoticed {
		return m.Stop(ctx)
	}
	w.endWith(id, reason, "Server initiated")
	return nil
}

// endWith begins the end of an instance; ok is false when there is none of that
// id any more.
func (w *World) endWith(id string, reason StateReason, transition string) (before, after State, ok bool) {
	s := w.slot(id)
	if s == nil {
		return before, after, false
	}
	before, after = w.beginEnd(s, reason, transition)
	if before == Stopped {
		// Nothing follows a stopped instance any more.
		w.finish(s)
	}
	return before, after, true
}
