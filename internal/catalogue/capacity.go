package catalogue

import (
	"sync"
	"time"

	"k8s.io/utils/clock"

	"kip.elotl.co/internal/cloud"
	"kip.elotl.co/internal/selection"
)

// How long what had no capacity is left alone: the first time, and at most
// after it has failed again and again; and how long a cell that tries it
// afterwards keeps all others from it.
const (
	// DryAtFirst is for the first time.
	DryAtFirst = time.Minute
	dryAtMost  = 30 * time.Minute
	probeTime  = time.Minute
	// forgetAfter is how long after its end a dry time still makes the next
	// one longer.
	forgetAfter = time.Hour
	// countAge is how long cells that were put into a subnet are taken off its
	// count of free addresses: classes are looked up anew that often.
	countAge = 10 * time.Minute
)

// Capacity remembers what had no capacity: offerings, quotas and subnets. It
// implements selection.World. Several may use it at once.
type Capacity struct {
	clock clock.PassiveClock

	mu      sync.Mutex
	dry     map[pool]dryTime
	subnets map[string]fill
}

// pool is what runs dry as one: an offering, a quota for a group of types in a
// market, or a subnet.
type pool struct {
	instanceType, zone string
	market             selection.Market
	quota, subnet      string
}

type dryTime struct {
	until time.Time
	last  time.Duration
	// probing: somebody tries whether it still is.
	probing bool
}

// fill is how many cells were put into a subnet since its free addresses were
// counted.
type fill struct {
	counted, launched int
	since             time.Time
}

func (f fill) holds(counted int, now time.Time) bool {
	return f.counted == counted && now.Sub(f.since) < countAge
}

// NewCapacity makes a Capacity that takes everything to be there.
func NewCapacity(c clock.PassiveClock) *Capacity {
	return &Capacity{clock: c, dry: map[pool]dryTime{}, subnets: map[string]fill{}}
}

func offeringPool(instanceType, zone string, market selection.Market) pool {
	return pool{instanceType: instanceType, zone: zone, market: market}
}

func quotaPool(instanceType string, market selection.Market) pool {
	return pool{quota: quotaOf(instanceType, market), market: market}
}

func subnetPool(id string) pool { return pool{subnet: id} }

// Dry implements selection.World.
func (c *Capacity) Dry(instanceType, zone string, market selection.Market) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.dry) == 0 {
		return false
	}
	return c.isDry(offeringPool(instanceType, zone, market)) || c.isDry(quotaPool(instanceType, market))
}

// isDry says whether a pool is to be left alone; c.mu is held.
func (c *Capacity) isDry(p pool) bool {
	d, ok := c.dry[p]
	return ok && c.clock.Now().Before(d.until)
}

// Free implements selection.World.
func (c *Capacity) Free(subnet selection.Subnet) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.isDry(subnetPool(subnet.ID)) {
		return 0
	}
	f := c.subnets[subnet.ID]
	if !f.holds(subnet.Free, c.clock.Now()) {
		return subnet.Free
	}
	// The count is some minutes old: only the cloud knows that it is full.
	return min(subnet.Free, max(addressesPerCell, subnet.Free-addressesPerCell*f.launched))
}

// addressesPerCell: the agent's address and the pod's.
const addressesPerCell = 2

// Claim takes an offering for a launch. It is false where the offering has run
// dry meanwhile, or somebody else is trying for the first time whether it still
// is: then another has to be selected.
func (c *Capacity) Claim(o selection.Offering) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	pools := poolsOf(o)
	for _, p := range pools {
		if c.isDry(p) {
			return false
		}
	}
	now := c.clock.Now()
	for _, p := range pools {
		d, ok := c.dry[p]
		switch {
		case ok && now.Sub(d.until) > forgetAfter:
			delete(c.dry, p)
		case ok:
			c.dry[p] = dryTime{until: now.Add(probeTime), last: d.last, probing: true}
		}
	}
	return true
}

func poolsOf(o selection.Offering) []pool {
	return []pool{offeringPool(o.InstanceType, o.Zone, o.Market), quotaPool(o.InstanceType, o.Market), subnetPool(o.SubnetID)}
}

// Failed notes that an offering gave no instance for want of what an error of
// that kind says: capacity, quota, or addresses. Each time it is tried again
// and fails, it is left alone for twice as long.
func (c *Capacity) Failed(o selection.Offering, kind cloud.Kind) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch kind {
	case cloud.KindCapacity:
		c.runDry(offeringPool(o.InstanceType, o.Zone, o.Market))
	case cloud.KindQuota:
		c.runDry(quotaPool(o.InstanceType, o.Market))
	case cloud.KindSubnetFull:
		c.runDry(subnetPool(o.SubnetID))
	}
	c.release(o)
}

// release gives back what Claim took, so that others may try; c.mu is held.
func (c *Capacity) release(o selection.Offering) {
	now := c.clock.Now()
	for _, p := range poolsOf(o) {
		if d := c.dry[p]; d.probing {
			c.dry[p] = dryTime{until: now, last: d.last}
		}
	}
}

// runDry leaves a pool alone; c.mu is held. Failures of launches that were
// under way at once, of which only one was to find out, count once.
func (c *Capacity) runDry(p pool) {
	d, now := c.dry[p], c.clock.Now()
	switch {
	case c.isDry(p) && !d.probing:
		return
	case now.Sub(d.until) > forgetAfter:
		d.last = 0
	}
	next := min(max(2*d.last, DryAtFirst), dryAtMost)
	c.dry[p] = dryTime{until: now.Add(next), last: next}
}

// Released notes that a launch of a claimed offering came to nothing for
// another reason.
func (c *Capacity) Released(o selection.Offering) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.release(o)
}

// Launched notes that an offering gave an instance, in a subnet that was
// counted to have so many free addresses.
func (c *Capacity) Launched(o selection.Offering, free int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, p := range poolsOf(o) {
		delete(c.dry, p)
	}
	f, now := c.subnets[o.SubnetID], c.clock.Now()
	if !f.holds(free, now) {
		f = fill{counted: free, since: now}
	}
	f.launched++
	c.subnets[o.SubnetID] = f
}
