package selection

import (
	"cmp"
	"math"

	"kip.elotl.co/api/v1beta1"
)

// candidate is a listing whose type fits, and what is found out of it on the
// way to an Offering.
type candidate struct {
	listing   *listing
	subnet    *Subnet
	free      int // addresses in the subnet
	perHour   float64
	credits   string
	bareMetal bool
}

// noise is by how much sums of prices (USD per hour) may be off, floating point
// being what it is. Prices have at most ten decimals, few more than six.
const noise = 1e-9

// above compares prices.
func above(price, limit float64) bool { return price > limit+noise }

// try makes a candidate of a listing whose type fits, or says at which step the
// listing is turned down.
func (q *query) try(l *listing) (c candidate, refused Step) {
	x := q.rules.index
	kind, zone := &x.types[l.kind], x.zones[l.zone]
	subnets := q.rules.subnets[l.zone]
	if len(subnets) == 0 || !q.termsAllowIn(l.kind, l.zone) {
		return candidate{}, StepZone
	}
	c = candidate{listing: l, bareMetal: kind.BareMetal}
	c.perHour, c.credits = q.price(kind, l.price.PerHour)
	if !q.affordable(&c) {
		return c, StepPrice
	}
	c.subnet, c.free = q.roomiest(subnets)
	if c.subnet == nil || q.world.Dry(kind, zone, l.market) {
		return c, StepCapacity
	}
	return c, ""
}

// price is what an instance that is listed at a price costs with the CPU asked
// for, in USD per hour, and the credit mode that gives it.
func (q *query) price(kind *Type, listed float64) (perHour float64, credits string) {
	if kind.Burst == nil {
		return listed, ""
	}
	surplus := min(q.ask.MilliCPU, kind.MilliCPU) - kind.Burst.BaselineMilliCPU
	mode := q.rules.class.Burstable
	if surplus <= 0 || mode == v1beta1.BurstableStandard || mode == v1beta1.BurstableNever {
		return listed, CreditsStandard
	}
	return listed + float64(surplus)/1000*kind.Burst.SurplusPerVCPUHour, CreditsUnlimited
}

// affordable: what has no known price has to be asked for by name, and there
// must be no limit.
func (q *query) affordable(c *candidate) bool {
	ceiling := q.ceiling[c.listing.market]
	if !c.listing.priced() {
		return q.exact && math.IsInf(ceiling, 1)
	}
	return !above(c.perHour, ceiling)
}

// roomiest is the subnet with the most free addresses, nil when none has any;
// of equal ones the first in the class.
func (q *query) roomiest(subnets []Subnet) (best *Subnet, most int) {
	for i := range subnets {
		if free := q.world.Free(subnets[i]); free > most {
			best, most = &subnets[i], free
		}
	}
	return best, most
}

// insert keeps the n best candidates, n at least 1, in order.
func insert(kept []candidate, c *candidate, n int) []candidate {
	at := len(kept)
	for at > 0 && compare(c, &kept[at-1]) < 0 {
		at--
	}
	if at == n {
		return kept
	}
	if len(kept) < n {
		kept = append(kept, candidate{})
	}
	copy(kept[at+1:], kept[at:])
	kept[at] = *c
	return kept
}

// compare puts the candidate that is to be tried first first. Types and zones
// stand in the index by name.
func compare(a, b *candidate) int {
	return cmp.Or(
		falseFirst(!a.listing.priced(), !b.listing.priced()),
		cmp.Compare(a.perHour, b.perHour),
		falseFirst(a.bareMetal, b.bareMetal),
		cmp.Compare(b.free, a.free),
		cmp.Compare(a.listing.kind, b.listing.kind),
		cmp.Compare(a.listing.zone, b.listing.zone),
	)
}

func (q *query) offering(c *candidate) Offering {
	x, l := q.rules.index, c.listing
	image := &q.rules.class.Images[q.rules.kinds[l.kind].image]
	return Offering{
		InstanceType: x.types[l.kind].Name, Zone: x.zones[l.zone], SubnetID: c.subnet.ID, Market: l.market, VCPUs: x.types[l.kind].VCPUs(),
		ImageID: image.ID, Architecture: image.Architecture, CPUCredits: c.credits,
		Price: l.price, InstancePerHour: c.perHour, PerHour: c.perHour + q.ask.ExtraPerHour,
	}
}
