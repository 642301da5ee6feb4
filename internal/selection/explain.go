package selection

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"kip.elotl.co/api/v1beta1"
)

// Rejection says why a type was turned down. The reason goes on where the name
// of the type leaves off.
type Rejection struct {
	Type   string
	Step   Step
	Reason string
}

// Explanation is the whole answer to an Ask.
type Explanation struct {
	// Candidates are all offerings that do, in the order in which to try them.
	Candidates []Offering
	// Rejections are the other types, by name.
	Rejections []Rejection
}

// Explain answers an Ask in full, for people: it takes milliseconds.
func Explain(rules *Rules, ask *Ask, world World) Explanation {
	q := newQuery(rules, ask, world)
	var out Explanation
	chosen := make([]bool, len(rules.index.types))
	for _, c := range q.choose(math.MaxInt) {
		out.Candidates = append(out.Candidates, q.offering(&c))
		chosen[c.listing.kind] = true
	}
	for i := range rules.index.types {
		if !chosen[i] {
			step, reason := q.whyNot(int32(i))
			out.Rejections = append(out.Rejections, Rejection{rules.index.types[i].Name, step, reason})
		}
	}
	return out
}

// refusedAt is the first step that turns a type down.
func (q *query) refusedAt(kind int32) Step {
	if failed := q.rules.kinds[kind].failed; failed != nil {
		return failed.name
	}
	if failed := q.failedStep(kind); failed != nil {
		return failed.name
	}
	step, _ := q.bestListing(kind)
	return step
}

// whyNot is refusedAt with the reason.
func (q *query) whyNot(kind int32) (Step, string) {
	t := q.kind(kind)
	if failed := q.rules.kinds[kind].failed; failed != nil {
		return failed.name, failed.reason(&q.rules.class, t)
	}
	if failed := q.failedStep(kind); failed != nil {
		return failed.name, failed.reason(q, t)
	}
	step, best := q.bestListing(kind)
	switch step {
	case StepMarket:
		return step, fmt.Sprintf("is not sold as %s", q.launchType())
	case StepZone:
		return step, q.whyNotZone(kind)
	case StepPrice:
		return step, q.whyNotPrice(&best)
	}
	return step, "has no capacity or free addresses in the zones that will do, for now"
}

// bestListing gives, for a type that fits, the listing that comes furthest,
// the cheapest of such, and the step that turns it down. That is StepCapacity
// also for one that is not turned down: the world has changed since it was. The
// floors have to be known.
func (q *query) bestListing(kind int32) (Step, candidate) {
	step, best := StepMarket, candidate{}
	for _, market := range q.markets() {
		listings := q.rules.index.byType[market][kind]
		for i := range listings {
			c, refused := q.tryAnywhere(&listings[i])
			if refused.order() > step.order() || refused == step && step.order() >= StepPrice.order() && compare(&c, &best) < 0 {
				step, best = refused, c
			}
		}
	}
	return step, best
}

// tryAnywhere is try for a listing that is turned down, StepCapacity the last
// reason for that. It takes the candidate to be in the cheapest subnet.
func (q *query) tryAnywhere(l *listing) (candidate, Step) {
	c, refused := q.try(l)
	c.subnet, c.free, c.address = nil, 0, q.address(!q.rules.private[l.zone])
	if refused == "" {
		refused = StepCapacity
	}
	return c, refused
}

func (q *query) markets() []Market {
	switch q.ask.LaunchType {
	case v1beta1.LaunchSpot:
		return []Market{Spot}
	case v1beta1.LaunchSpotPreferred:
		return []Market{Spot, OnDemand}
	}
	return []Market{OnDemand}
}

func (q *query) launchType() v1beta1.LaunchType {
	if q.ask.LaunchType == "" {
		return v1beta1.LaunchOnDemand
	}
	return q.ask.LaunchType
}

// whyNotZone: either the class has subnets in none of the type's zones, or
// the zone that is asked for is none of them, or affinity excludes them.
func (q *query) whyNotZone(kind int32) string {
	offered, own := q.zonesOf(kind), q.classZones()
	common := slices.DeleteFunc(slices.Clone(offered), func(zone string) bool { return !slices.Contains(own, zone) })
	switch {
	case len(own) == 0:
		return "cannot be launched: the class has no subnets"
	case len(common) == 0:
		return fmt.Sprintf("is offered in %s, the class's subnets are in %s", strings.Join(offered, ", "), strings.Join(own, ", "))
	}
	switch zone := q.ask.Zone; {
	case zone == "":
	case !slices.Contains(own, zone):
		return fmt.Sprintf("cannot be launched in %s, the zone of the pod's node: the class has no subnet there any more", zone)
	case !slices.Contains(offered, zone):
		return fmt.Sprintf("is offered in %s, not in %s, the zone of the pod's node", strings.Join(offered, ", "), zone)
	default:
		common = []string{zone}
	}
	return fmt.Sprintf("is excluded in %s by node selector or affinity", strings.Join(common, ", "))
}

func (q *query) zonesOf(kind int32) []string {
	var zones []string
	for _, market := range q.markets() {
		for _, l := range q.rules.index.byType[market][kind] {
			zones = append(zones, q.rules.index.zones[l.zone])
		}
	}
	slices.Sort(zones)
	return slices.Compact(zones)
}

func (q *query) classZones() []string {
	var zones []string
	for _, s := range q.rules.class.Subnets {
		zones = append(zones, s.Zone)
	}
	slices.Sort(zones)
	return slices.Compact(zones)
}

func (q *query) whyNotPrice(c *candidate) string {
	market, limit, cost := c.listing.market, q.rules.class.MaxPerHour, c.least+q.ask.VolumePerHour
	switch {
	case !c.listing.priced():
		return "has no known price, so it must be asked for by its name, and the class must not set maxPricePerHour"
	case limit > 0 && above(cost, limit):
		return fmt.Sprintf("costs %s USD/h%s, the class's maxPricePerHour is %s", dollars(cost), q.parts(c, limit), dollars(limit))
	case above(c.least, q.ceiling[market]):
		return fmt.Sprintf("costs %s USD/h as Spot, the cheapest On-demand offering %s",
			dollars(cost), dollars(q.ceiling[Spot]+q.ask.VolumePerHour))
	}
	least := &q.floor[market]
	return fmt.Sprintf("costs %s USD/h, more than %s times the cheapest that would do, %s at %s",
		dollars(cost), q.factor(), q.where(least.listing), dollars(least.cost+q.ask.VolumePerHour))
}

// parts tells what a price is made of where the instance alone is within a limit.
func (q *query) parts(c *candidate, limit float64) string {
	if above(c.perHour, limit) {
		return ""
	}
	of := []string{"instance " + dollars(c.perHour)}
	if q.ask.VolumePerHour > 0 {
		of = append(of, "root volume "+dollars(q.ask.VolumePerHour))
	}
	if c.address > 0 {
		of = append(of, "public address "+dollars(c.address))
	}
	return " (" + strings.Join(of, ", ") + ")"
}

// factor is Class.MaxFactor as it is written.
func (q *query) factor() string { return strconv.FormatFloat(q.rules.class.MaxFactor, 'f', -1, 64) }

// where names a listing's type and zone.
func (q *query) where(l *listing) string {
	return q.kind(l.kind).Name + " in " + q.rules.index.zones[l.zone]
}

// dollars formats an amount with as many decimals as it takes, at least two.
func dollars(amount float64) string {
	s := strings.TrimRight(fmt.Sprintf("%.6f", amount), "0")
	for len(s)-strings.IndexByte(s, '.') <= 2 {
		s += "0"
	}
	return s
}
