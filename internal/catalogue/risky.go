package catalogue

import (
	"time"

	"kip.elotl.co/internal/selection"
)

// RiskyFor is how long an offering is left alone whose instances are taken back.
const RiskyFor = 10 * time.Minute

// Risky notes that the cloud takes an instance of an offering back, or says that
// it may: others of it would not live long. It is left alone for RiskyFor, as if
// it had no capacity.
func (w World) Risky(o selection.Offering) {
	w.mu.Lock()
	defer w.mu.Unlock()
	p := w.offering(o.InstanceType, o.Zone, o.Market)
	if until := w.clock.Now().Add(RiskyFor); w.dry[p].until.Before(until) {
		w.dry[p] = dryTime{until: until, last: max(w.dry[p].last, DryAtFirst)}
	}
}
