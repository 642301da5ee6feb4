package selection

import (
	"math"
	"slices"

	"kip.elotl.co/api/v1beta1"
)

// World tells what changes from one moment to the next. It may be asked by
// many at once.
type World interface {
	// Dry says whether an offering is to be left alone for now.
	Dry(kind *Type, zone string, market Market) bool
	// Free is how many addresses a subnet has left, as far as is known; it is
	// left alone without any.
	Free(subnet Subnet) int
}

// Select gives the n cheapest offerings that do, in the order in which to try
// them. Of equally cheap ones virtual machines go before bare metal, then
// subnets with more free addresses; names decide at last.
//
// Spot-preferred gives Spot offerings first, but none that costs more than the
// cheapest On-demand one. None costs more than Class.MaxFactor allows.
func Select(rules *Rules, ask *Ask, world World, n int) []Offering {
	q := newQuery(rules, ask, world)
	chosen := q.choose(n)
	offerings := make([]Offering, len(chosen))
	for i := range chosen {
		offerings[i] = q.offering(&chosen[i])
	}
	return offerings
}

// query is an Ask put to Rules. It is used once.
type query struct {
	rules *Rules
	ask   *Ask
	world World
	// exact: the ask names one type, whose resources do not matter.
	exact bool
	terms []term
	// unnamed are the architectures for whoever names none.
	unnamed Architectures
	// ceiling is the most that instance and address may cost, in USD per hour.
	ceiling [markets]float64
	// floor is the cheapest offering of each market, so far as it is known.
	floor [markets]floor
	// known is what the query has found out of each type.
	known []verdict
}

// floor is the cheapest offering of a market that does, or would with capacity.
type floor struct {
	listing *listing // nil: none is known
	// cost is that of its instance and address, bound the most that those of
	// another may cost for that reason, in USD per hour.
	cost, bound float64
}

// verdict says whether the class and the ask allow a type.
type verdict uint8

const (
	unknown verdict = iota
	fits
	unfit
)

func newQuery(rules *Rules, ask *Ask, world World) *query {
	q := &query{
		rules: rules, ask: ask, world: world,
		exact: ask.Type != "" && !isPattern(ask.Type),
		terms: compileTerms(rules.index, ask.Terms),
		known: make([]verdict, len(rules.index.types)),
	}
	q.unnamed = q.unnamedArchitectures()
	for market := range q.ceiling {
		q.ceiling[market] = math.Inf(1)
		q.floor[market] = floor{cost: math.Inf(1), bound: math.Inf(1)}
		if limit := rules.class.MaxPerHour; limit > 0 {
			q.ceiling[market] = limit - ask.VolumePerHour
		}
	}
	return q
}

// choose gives the n best candidates.
func (q *query) choose(n int) []candidate {
	switch q.ask.LaunchType {
	case v1beta1.LaunchSpot:
		return q.cheapest(Spot, n)
	case v1beta1.LaunchSpotPreferred:
		onDemand := q.cheapest(OnDemand, n)
		if len(onDemand) > 0 && onDemand[0].listing.priced() {
			q.ceiling[Spot] = min(q.ceiling[Spot], onDemand[0].cost())
		}
		both := append(q.cheapest(Spot, n), onDemand...)
		return both[:min(n, len(both))]
	}
	return q.cheapest(OnDemand, n)
}

// cheapest gives the n cheapest candidates of a market, and learns its floor.
// Listings are sorted by price, and CPU above a baseline and a public address
// only add to that: beyond the price of the last one kept, or what the floor
// allows, nothing can be cheaper.
func (q *query) cheapest(market Market, n int) []candidate {
	listings := q.listings(market)
	n = min(n, len(listings))
	if n <= 0 {
		return nil
	}
	address := q.address(!q.rules.anyPrivate)
	kept := make([]candidate, 0, n)
	for i := range listings {
		l := &listings[i]
		most := q.most(market)
		if len(kept) == n {
			most = min(most, kept[n-1].cost())
		}
		if l.priced() && above(l.price.PerHour+address, most) {
			break
		}
		if !q.typeFits(l.kind) {
			continue
		}
		c, refused := q.try(l)
		if refused == "" || refused == StepCapacity {
			q.lower(&c)
		}
		if refused == "" {
			kept = insert(kept, &c, n)
		}
	}
	return q.within(kept)
}

// lower makes a candidate the floor of its market where it is cheaper.
func (q *query) lower(c *candidate) {
	at := &q.floor[c.listing.market]
	if !c.listing.priced() || c.least >= at.cost {
		return
	}
	at.listing, at.cost = c.listing, c.least
	if factor, volume := q.rules.class.MaxFactor, q.ask.VolumePerHour; factor > 0 {
		at.bound = factor*(c.least+volume) - volume
	}
}

// within drops, of candidates in order, those that cost more than the floor
// allows, which was not known when they were kept.
func (q *query) within(kept []candidate) []candidate {
	return slices.DeleteFunc(kept, func(c candidate) bool {
		return c.listing.priced() && above(c.cost(), q.floor[c.listing.market].bound)
	})
}

// listings are those of a market that can come into question, the cheapest first.
func (q *query) listings(market Market) []listing {
	x := q.rules.index
	if !q.exact {
		return x.listings[market]
	}
	kind, found := x.find(q.ask.Type)
	if !found {
		return nil
	}
	return x.byType[market][kind]
}

func (q *query) kind(place int32) *Type { return &q.rules.index.types[place] }

func (q *query) typeFits(kind int32) bool {
	if q.known[kind] == unknown {
		q.known[kind] = unfit
		if q.rules.kinds[kind].failed == nil && q.failedStep(kind) == nil {
			q.known[kind] = fits
		}
	}
	return q.known[kind] == fits
}

// failedStep is the first step of the ask that turns a type down.
func (q *query) failedStep(kind int32) *askStep {
	for i := range q.rules.steps {
		if step := &q.rules.steps[i]; !step.fits(q, kind) {
			return step
		}
	}
	return nil
}
