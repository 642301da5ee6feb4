package catalogue

import (
	"cmp"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"
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

// Capacity remembers what had no capacity: offerings, quotas, subnets and
// volumes. Several may use it at once.
type Capacity struct {
	clock clock.PassiveClock

	mu      sync.Mutex
	dry     map[pool]dryTime
	subnets map[string]fill
	// refusals are those of the classes' configurations.
	refusals map[types.UID]refusals
}

// DefaultVolumeType is that of root volumes whose class names none.
const DefaultVolumeType = "gp3"

// Hardware is what cells need of a zone beside the instance type. What is dry
// for one kind of hardware says nothing of another.
type Hardware struct {
	// Tenancy is default or dedicated; default when empty.
	Tenancy string
	// VolumeType is that of the root volume; DefaultVolumeType when empty.
	VolumeType string
	// Class and Generation are the CellClass's: what refuses its configuration,
	// or costs more than it allows, may do for others.
	Class      types.UID
	Generation int64
}

// World is what a Capacity knows for one kind of hardware. It implements
// selection.World.
type World struct {
	*Capacity
	hardware Hardware
}

// poolKind says what a pool is one of.
type poolKind uint8

const (
	offeringPool poolKind = iota
	quotaPool             // vCPUs of a group of types in a market
	subnetPool
	volumePool // volumes of a type in a zone
	// Of a class in one generation:
	configuredPool // instances of a type with the class's configuration
	classPool      // instances of any type with the class's configuration
	pricePool      // an offering at the class's price
)

// pool is what runs dry as one. What does not matter to its kind is zero.
type pool struct {
	kind poolKind
	// name is that of the instance type, the group of types, the subnet or the
	// volume type.
	name, zone string
	market     selection.Market
	tenancy    string
	class      types.UID
	generation int64
}

type dryTime struct {
	until time.Time
	last  time.Duration
	// vCPUs is how many were refused, at the least: a quota that has no room for
	// a large type may have some for a small one. Zero where that does not matter.
	vCPUs int64
	// prober is the cell that tries whether it still is, until then; empty: none.
	prober types.UID
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
	return &Capacity{clock: c, dry: map[pool]dryTime{}, subnets: map[string]fill{}, refusals: map[types.UID]refusals{}}
}

// For gives what is known for one kind of hardware.
func (c *Capacity) For(h Hardware) World {
	h.Tenancy, h.VolumeType = cmp.Or(h.Tenancy, "default"), cmp.Or(h.VolumeType, DefaultVolumeType)
	return World{c, h}
}

func (w World) offering(instanceType, zone string, market selection.Market) pool {
	return pool{kind: offeringPool, name: instanceType, zone: zone, market: market, tenancy: w.hardware.Tenancy}
}

func (w World) volume(zone string) pool {
	return pool{kind: volumePool, name: w.hardware.VolumeType, zone: zone}
}

func quota(instanceType string, market selection.Market) pool {
	return pool{kind: quotaPool, name: quotaOf(instanceType, market), market: market}
}

func subnet(id string) pool { return pool{kind: subnetPool, name: id} }

// pools are all that an offering takes from.
func (w World) pools(o selection.Offering) []pool {
	return []pool{
		w.offering(o.InstanceType, o.Zone, o.Market), w.volume(o.Zone), quota(o.InstanceType, o.Market), subnet(o.SubnetID),
		w.configured(o.InstanceType), w.wholeClass(), w.priced(o.InstanceType, o.Zone, o.Market),
	}
}

// Dry implements selection.World.
func (w World) Dry(kind *selection.Type, zone string, market selection.Market) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.dry) == 0 {
		return false
	}
	vCPUs := kind.VCPUs()
	return w.isDry(w.offering(kind.Name, zone, market), vCPUs) || w.isDry(w.volume(zone), vCPUs) || w.isDry(quota(kind.Name, market), vCPUs) ||
		w.isDry(w.wholeClass(), 0) || w.isDry(w.configured(kind.Name), 0) || w.isDry(w.priced(kind.Name, zone, market), 0)
}

// NoVolumes says whether a zone has no volumes of the hardware's type, for now.
func (w World) NoVolumes(zone string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.isDry(w.volume(zone), 0)
}

// isDry says whether a pool is to be left alone by a type with so many vCPUs;
// c.mu is held.
func (c *Capacity) isDry(p pool, vCPUs int64) bool {
	d, ok := c.dry[p]
	return ok && vCPUs >= d.vCPUs && c.clock.Now().Before(d.until)
}

// Free implements selection.World.
func (c *Capacity) Free(subnet selection.Subnet) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.isDry(pool{kind: subnetPool, name: subnet.ID}, 0) {
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

// Claim takes an offering for a launch of a cell. It is false where the offering
// has run dry meanwhile, or another cell is trying for the first time whether it
// still is: then another has to be selected.
func (w World) Claim(o selection.Offering, cell types.UID) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	pools := w.pools(o)
	for _, p := range pools {
		if w.isDry(p, o.VCPUs) {
			return false
		}
	}
	now := w.clock.Now()
	for _, p := range pools {
		d, ok := w.dry[p]
		switch {
		case !ok || o.VCPUs < d.vCPUs:
		case now.Sub(d.until) > forgetAfter:
			delete(w.dry, p)
		default:
			d.until, d.prober = now.Add(probeTime), cell
			w.dry[p] = d
		}
	}
	return true
}

// Failed notes that an offering that a cell has claimed gave no instance for
// want of what an error of that kind says: capacity, quota, addresses, volumes or
// a lower price. Each time it is tried again and fails, it is left alone for twice as
// long.
func (w World) Failed(o selection.Offering, kind cloud.Kind, cell types.UID) {
	w.mu.Lock()
	defer w.mu.Unlock()
	switch kind {
	case cloud.KindCapacity:
		w.runDry(w.offering(o.InstanceType, o.Zone, o.Market), 0, cell)
	case cloud.KindQuota:
		w.runDry(quota(o.InstanceType, o.Market), o.VCPUs, cell)
	case cloud.KindSubnetFull:
		w.runDry(subnet(o.SubnetID), 0, cell)
	case cloud.KindVolume:
		w.runDry(w.volume(o.Zone), 0, cell)
	case cloud.KindPrice:
		w.runDry(w.priced(o.InstanceType, o.Zone, o.Market), 0, cell)
	}
	w.release(cell)
}

// runDry leaves a pool alone for what has so many vCPUs, or more; c.mu is held.
// Failures of launches that were under way at once, of which only one was to
// find out, count once.
func (c *Capacity) runDry(p pool, vCPUs int64, cell types.UID) {
	d, now := c.dry[p], c.clock.Now()
	if now.Before(d.until) && d.prober != cell {
		if vCPUs < d.vCPUs {
			c.dry[p] = d.less(vCPUs, now)
		}
		return
	}
	if now.Sub(d.until) > forgetAfter {
		d.last = 0
	}
	next := min(max(2*d.last, p.dryAtFirst()), dryAtMost)
	c.dry[p] = dryTime{until: now.Add(next), last: next, vCPUs: vCPUs}
}

// less is the dry time of a pool that has not even room for so many vCPUs. A
// probe goes on.
func (d dryTime) less(vCPUs int64, now time.Time) dryTime {
	d.vCPUs = vCPUs
	if d.prober == "" {
		d.until = now.Add(d.last)
	}
	return d
}

// Released notes that a launch of what a cell has claimed came to nothing for
// another reason.
func (c *Capacity) Released(cell types.UID) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.release(cell)
}

// release ends the probes of a cell, so that others may try; c.mu is held.
func (c *Capacity) release(cell types.UID) {
	now := c.clock.Now()
	for p, d := range c.dry {
		if d.prober == cell {
			d.until, d.prober = now, ""
			c.dry[p] = d
		}
	}
}

// Launched notes that an offering that a cell has claimed gave an instance, in
// a subnet that was counted to have so many free addresses.
func (w World) Launched(o selection.Offering, free int, cell types.UID) {
	w.mu.Lock()
	defer w.mu.Unlock()
	now := w.clock.Now()
	for _, p := range w.pools(o) {
		d := w.dry[p]
		probed := d.prober != "" && d.prober != cell && now.Before(d.until)
		if !probed && o.VCPUs >= d.vCPUs {
			delete(w.dry, p)
		}
	}
	w.release(cell)
	delete(w.refusals, w.hardware.Class)
	f := w.subnets[o.SubnetID]
	if !f.holds(free, now) {
		f = fill{counted: free, since: now}
	}
	f.launched++
	w.subnets[o.SubnetID] = f
}
