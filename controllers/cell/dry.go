package cell

import (
	"sync"
	"time"

	"k8s.io/utils/clock"

	"kip.elotl.co/internal/selection"
)

// dryOfferings remembers which offerings had no capacity.
type dryOfferings struct {
	clock clock.PassiveClock
	mu    sync.Mutex
	pools map[string]dryPool
}

type dryPool struct {
	until time.Time
	last  time.Duration
}

func newDryOfferings(c clock.PassiveClock) *dryOfferings {
	return &dryOfferings{clock: c, pools: map[string]dryPool{}}
}

// has says whether the offering's pool or its subnet is left alone for now.
func (d *dryOfferings) has(o selection.Offering) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	now := d.clock.Now()
	return now.Before(d.pools[o.Key()].until) || now.Before(d.pools[o.SubnetID].until)
}

// addPool leaves the offering's type, zone and market alone, each time for
// twice as long; addSubnet its subnet.
func (d *dryOfferings) addPool(o selection.Offering)   { d.add(o.Key()) }
func (d *dryOfferings) addSubnet(o selection.Offering) { d.add(o.SubnetID) }

func (d *dryOfferings) add(key string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	last := d.pools[key].last
	next := min(max(2*last, dryAtFirst), dryAtMost)
	d.pools[key] = dryPool{until: d.clock.Now().Add(next), last: next}
}

// remove: the offering has given an instance.
func (d *dryOfferings) remove(o selection.Offering) {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.pools, o.Key())
	delete(d.pools, o.SubnetID)
}
