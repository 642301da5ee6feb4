package world

import (
	"time"

	"kip.elotl.co/hack/localaws/awserr"
	"kip.elotl.co/hack/localaws/boot"
)

// Interrupt takes a Spot instance back as EC2 does: its metadata has the notice
// at once, and it ends when the time is over.
func (w *World) Interrupt(id string, notice time.Duration) error {
	s := w.slot(id)
	if s == nil || w.current(s).Market != Spot {
		return awserr.New("InvalidInstanceID.NotFound", "The instance ID '%s' is no Spot instance", id)
	}
	at := w.Clock.Now().Add(notice).UTC().Truncate(time.Second)
	if err := w.Afflict(id, func(t *Trouble) { t.Interruption = at }); err != nil {
		return err
	}
	w.lives.Go(func() {
		if w.wait(at, s.end) {
			w.endWith(id, SpotTermination, "Server initiated")
		}
	})
	return nil
}

// notices are those of an instance, whenever they are asked for.
func (w *World) notices(id string) func() boot.Notices {
	return func() boot.Notices {
		s := w.slot(id)
		if s == nil {
			return boot.Notices{}
		}
		t := w.current(s).Trouble
		told := boot.Notices{Interruption: t.Interruption, Rebalance: t.Rebalance}
		for _, m := range t.Maintenance {
			told.Maintenance = append(told.Maintenance, boot.Maintenance{ID: m.ID, Code: m.Code, Description: m.Description, NotBefore: m.NotBefore, NotAfter: m.NotAfter})
		}
		return told
	}
}
