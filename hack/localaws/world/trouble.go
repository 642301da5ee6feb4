package world

import (
	"fmt"
	"time"

	"kip.elotl.co/hack/localaws/awserr"
)

// Trouble is what an instance has that EC2 tells of.
type Trouble struct {
	// SystemImpaired and InstanceImpaired: the status check has failed.
	SystemImpaired   bool `json:"systemImpaired,omitempty"`
	InstanceImpaired bool `json:"instanceImpaired,omitempty"`
	// Rebalance is when the recommendation to move away came; zero: none has.
	Rebalance time.Time `json:"rebalance,omitzero"`
	// Interruption is when a Spot instance is going to be taken back; zero: it is not.
	Interruption time.Time `json:"interruption,omitzero"`
	// Maintenance are scheduled events.
	Maintenance []Maintenance `json:"maintenance,omitempty"`
}

// Maintenance is a scheduled event.
type Maintenance struct {
	ID          string    `json:"id,omitempty"`
	Code        string    `json:"code"`
	Description string    `json:"description,omitempty"`
	NotBefore   time.Time `json:"notBefore,omitzero"`
	NotAfter    time.Time `json:"notAfter,omitzero"`
}

// Afflict changes the trouble of an instance that lives.
func (w *World) Afflict(id string, change func(*Trouble)) error {
	s := w.slot(id)
	if s == nil || !w.current(s).State.Live() {
		return awserr.New("InvalidInstanceID.NotFound", "The instance ID '%s' is not live", id)
	}
	w.change(s, func(i *Instance) {
		i.Trouble.Maintenance = append([]Maintenance(nil), i.Trouble.Maintenance...)
		change(&i.Trouble)
		for n := range i.Trouble.Maintenance {
			if m := &i.Trouble.Maintenance[n]; m.ID == "" {
				m.ID = fmt.Sprintf("instance-event-%s", randomHex(8))
			}
		}
	})
	return nil
}

// Stop stops an instance behind the caller's back, as somebody else's call
// would: it exists, and its machine does not run.
func (w *World) Stop(id string) error {
	s := w.slot(id)
	if s == nil || !w.current(s).State.Live() {
		return awserr.New("InvalidInstanceID.NotFound", "The instance ID '%s' is not live", id)
	}
	w.change(s, func(i *Instance) {
		if i.State.Live() {
			i.State, i.StateReason = Stopping, UserShutdown
		}
	})
	s.once.Do(func() { close(s.end) })
	return nil
}
