package selection

import (
	"cmp"
	"math"

	"kip.elotl.co/api/v1beta1"
)

// candidate is a listing whose type fits, and what is found out of it on the
// way to an Offering. Prices are in USD per hour.
type candidate struct {
	listing *listing
	// subnet is nil where none has free addresses; else free is how many.
	subnet *Subnet
	free   int
	// perHour is the instance's price, address that of the public address, if
	// it has one.
	perHour, address float64
	// least is what instance and address would cost in the cheapest of the
	// zone's subnets.
	least     float64
	credits   string
	bareMetal bool
}

// cost is what of the price differs from offering to offering.
func (c *candidate) cost() float64 { return c.perHour + c.address }

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
	if len(subnets) == 0 || q.ask.Zone != "" && zone != q.ask.Zone || !q.termsAllowIn(l.kind, l.zone) {
		return candidate{}, StepZone
	}
	c = candidate{listing: l, bareMetal: kind.BareMetal}
	c.perHour, c.credits = q.price(kind, l.price.PerHour)
	c.least = c.perHour + q.address(!q.rules.private[l.zone])
	if !q.affordable(&c) {
		return c, StepPrice
	}
	q.place(&c, subnets)
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
	if !c.listing.priced() {
		return q.exact && math.IsInf(q.ceiling[c.listing.market], 1)
	}
	return !above(c.least, q.most(c.listing.market))
}

// most is what instance and address may cost at most in a market.
func (q *query) most(market Market) float64 { return min(q.ceiling[market], q.floor[market].bound) }

// address is what the public address costs in a subnet.
func (q *query) address(public bool) float64 {
	if private := q.ask.PrivateIPOnly; private != nil {
		public = !*private
	}
	if !public {
		return 0
	}
	return q.ask.AddressPerHour
}

// place chooses, of the subnets with free addresses in which the candidate can
// be paid for, the one that costs least, then the one with the most free
// addresses; of equal ones the first in the class.
func (q *query) place(c *candidate, subnets []Subnet) {
	for i := range subnets {
		free, address := q.world.Free(subnets[i]), q.address(subnets[i].Public)
		switch {
		case free <= 0, c.listing.priced() && above(c.perHour+address, q.most(c.listing.market)):
			continue
		case c.subnet != nil && (address > c.address || address == c.address && free <= c.free):
			continue
		}
		c.subnet, c.free, c.address = &subnets[i], free, address
	}
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
		cmp.Compare(a.cost(), b.cost()),
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
		Price: l.price, PerHour: c.cost() + q.ask.VolumePerHour,
		InstancePerHour: c.perHour, VolumePerHour: q.ask.VolumePerHour, AddressPerHour: c.address,
	}
}
