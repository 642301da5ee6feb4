package agent

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
)

// Power is what the agent needs of a cell that powers itself off.
type Power interface {
	// Uptime is for how long the cell has run since it booted, without the time
	// that it was suspended. No setting of a clock changes it.
	Uptime() time.Duration
	// LoadSilence reads what SaveSilence wrote last; nil when there is nothing.
	LoadSilence() ([]byte, error)
	// SaveSilence survives a crash right after.
	SaveSilence(note []byte) error
	// Off has the cell power off, and returns when that has begun.
	Off(ctx context.Context) error
}

const (
	// The silence is written down after each twentieth of what is allowed, but as
	// often as noteSilence: for so long a reboot may make it shorter, and a word of
	// the operator that came just before the agent died may be forgotten.
	noteSilence = 5 * time.Minute
	notesIn     = 20
	// leastListened is how long an agent listens at least before it powers its
	// cell off: the operator may have called while no agent ran.
	leastListened = 2 * time.Minute
	// powerOffRetry is when a cell that has not gone off is told again.
	powerOffRetry = time.Minute
	// endMargin is how long containers may take to end beyond their grace period.
	endMargin = 30 * time.Second
)

// silence is for how long the operator has not been heard. It is counted in
// the cell's uptime, so that clocks that jump do not matter.
type silence struct {
	power  Power
	bootID string
	// noteEvery is how often it is written down.
	noteEvery time.Duration
	// begun is when this agent began to listen.
	begun time.Duration
	// spoke wakes who waits for the silence to last.
	spoke chan struct{}

	mu sync.Mutex
	// since is when the operator was heard last, before the boot where negative.
	since time.Duration
	// noted is how long the silence was when it was written down last.
	noted time.Duration
}

// silenceNote is what of it is written down.
type silenceNote struct {
	BootID string `json:"bootID"`
	// Uptime was the cell's when it was written, Silence how long it had lasted.
	Uptime  time.Duration `json:"uptime"`
	Silence time.Duration `json:"silence"`
}

// newSilence, of which so much is allowed, goes on with the silence that an earlier agent of the cell noted.
// Within one boot the time without an agent counts too.
func newSilence(allowed time.Duration, power Power, bootID string) (*silence, error) {
	now := power.Uptime()
	s := &silence{
		power: power, bootID: bootID, noteEvery: min(allowed/notesIn, noteSilence), begun: now, since: now, spoke: make(chan struct{}, 1),
	}
	data, err := power.LoadSilence()
	if err != nil {
		return nil, fmt.Errorf("loading how long the operator has been silent: %w", err)
	}
	if note, ok := readNote(data); ok {
		s.noted = note.Silence
		s.since = now - note.Silence
		if note.BootID == bootID && note.Uptime <= now {
			s.since = note.Uptime - note.Silence
		}
	}
	return s, nil
}

// readNote takes a note that cannot be read for none: the silence begins anew.
func readNote(data []byte) (note silenceNote, ok bool) {
	err := json.Unmarshal(data, &note)
	return note, err == nil && note.Silence >= 0 && note.Uptime >= 0
}

// heard ends the silence.
func (s *silence) heard() {
	s.mu.Lock()
	s.since = s.power.Uptime()
	long := s.noted >= s.noteEvery
	s.mu.Unlock()
	if long { // what is written down is to be corrected soon
		select {
		case s.spoke <- struct{}{}:
		default:
		}
	}
}

// lasted is how long it is.
func (s *silence) lasted() time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.power.Uptime() - s.since
}

// listened is how long this agent has listened.
func (s *silence) listened() time.Duration { return s.power.Uptime() - s.begun }

// note writes the silence down.
func (s *silence) note() error {
	s.mu.Lock()
	now := s.power.Uptime()
	note := silenceNote{BootID: s.bootID, Uptime: now, Silence: now - s.since}
	s.noted = note.Silence
	s.mu.Unlock()
	data, err := json.Marshal(note)
	if err != nil {
		return fmt.Errorf("encoding how long the operator has been silent: %w", err)
	}
	return s.power.SaveSilence(data)
}

// listening counts each request, which the operator alone can make, as its sign
// of life.
func (a *Agent) listening(next http.Handler) http.Handler {
	if a.silence == nil {
		return next
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		a.silence.heard()
		next.ServeHTTP(w, r)
	})
}

// endInSilence powers the cell off when the operator has been silent for as long
// as it may.
func (a *Agent) endInSilence(ctx context.Context) {
	if a.silence == nil {
		return
	}
	log := logr.FromContextOrDiscard(ctx)
	for ctx.Err() == nil {
		if err := a.silence.note(); err != nil {
			log.Error(err, "Cannot write down how long the operator has been silent")
		}
		wait := max(a.config.PowerOffAfter-a.silence.lasted(), leastListened-a.silence.listened())
		if wait > 0 {
			a.await(ctx, a.silence.spoke, min(wait, a.silence.noteEvery))
			continue
		}
		log.Info("Nothing has been heard of the operator for too long: this cell powers off", "silence", a.silence.lasted().String())
		a.abandonPod(ctx)
		if a.silence.lasted() < a.config.PowerOffAfter {
			log.Info("The operator is heard again: this cell stays on")
			continue
		}
		if err := a.config.Power.Off(ctx); err != nil {
			log.Error(err, "This cell does not power off")
		}
		a.await(ctx, a.silence.spoke, powerOffRetry)
	}
}

// await returns when something comes, when the time is over, or with ctx.
func (a *Agent) await(ctx context.Context, something <-chan struct{}, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-something:
	case <-timer.C:
	}
}

// abandonPod has the pod's containers ended within their grace period, and waits
// for that.
func (a *Agent) abandonPod(ctx context.Context) {
	deadline, ok := a.beginAbandoning(ctx)
	if !ok {
		return
	}
	ctx, cancel := context.WithDeadline(ctx, deadline.Add(endMargin))
	defer cancel()
	for ctx.Err() == nil {
		reply, changed := a.hub.current()
		if phase := reply.Status.Phase; phase == corev1.PodSucceeded || phase == corev1.PodFailed {
			return
		}
		select {
		case <-changed:
		case <-ctx.Done():
		}
	}
}

// beginAbandoning answers when the last container will have been killed; ok is
// false where there is no pod, or nothing left of it.
func (a *Agent) beginAbandoning(ctx context.Context) (deadline time.Time, ok bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.machine == nil || a.machine.terminal() {
		return time.Time{}, false
	}
	rec := a.machine.rec
	rec.SilentFor = a.silence.lasted().Truncate(time.Second)
	a.machine.stop(time.Now().Add(gracePeriod(rec.Pod)))
	if err := a.save(); err != nil {
		logr.FromContextOrDiscard(ctx).Error(err, "Cannot save the agent's state")
	}
	a.poke()
	return rec.StopBy, true
}

// ReasonPoweredOff is why a pod failed whose cell ends itself.
const ReasonPoweredOff = "CellPoweredOff"

// noteSilent makes the end of a pod a failure whose cell was about to power off.
func (m *machine) noteSilent(status *corev1.PodStatus) {
	if m.rec.SilentFor == 0 || status.Phase != corev1.PodSucceeded && status.Phase != corev1.PodFailed {
		return
	}
	status.Phase, status.Reason = corev1.PodFailed, ReasonPoweredOff
	status.Message = fmt.Sprintf("The cell heard nothing of the operator for %s and ended the pod, to power itself off", m.rec.SilentFor)
}
