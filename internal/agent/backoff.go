package agent

import "time"

// The kubelet's delays: between restarts of a container, and between pulls.
const (
	backoffInitial = 10 * time.Second
	backoffMax     = 5 * time.Minute
	// backoffReset: a run this long makes the next delay the first again.
	backoffReset = 2 * backoffMax
)

// backoff is a delay that doubles from one try to the next.
type backoff struct {
	// Delay before the next try, counted from the event that calls for it.
	Delay time.Duration `json:"delay"`
	// Tried is when the last try was made.
	Tried time.Time `json:"tried"`
}

// wait answers when the next try may be made after an event, e.g. the end of a
// container; the first one at once.
func (b backoff) wait(event time.Time) time.Time {
	if b.expired(event) {
		return event
	}
	return event.Add(b.Delay)
}

// next is the backoff after a try made now because of that event.
func (b backoff) next(event, now time.Time) backoff {
	delay := backoffInitial
	if !b.expired(event) {
		delay = min(2*b.Delay, backoffMax)
	}
	return backoff{Delay: delay, Tried: now}
}

func (b backoff) expired(event time.Time) bool {
	return b.Delay == 0 || event.Sub(b.Tried) > backoffReset
}
