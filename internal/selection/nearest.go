package selection

import (
	"fmt"
	"strings"
)

// Nearest says of an Ask that no offering does what came nearest, in one
// sentence, and at which step that was turned down. StepCapacity means that it
// may do later; all others need another ask, class or account.
func Nearest(rules *Rules, ask *Ask, world World) (Step, string) {
	q := newQuery(rules, ask, world)
	if q.nearly() == nil { // which finds out the floors, too
		if step, sentence := q.lifted(); step != "" {
			return step, sentence
		}
	}
	if q.exact {
		return q.nearestByName()
	}
	if len(rules.index.types) == 0 {
		return StepRequested, "no instance types are known"
	}
	matching := q.keep(q.all(), (*query).requested)
	if len(matching) == 0 {
		return StepRequested, fmt.Sprintf("no instance type of this region matches %q", ask.Type)
	}
	near := q.keep(matching, (*query).termsAllow)
	if len(near) == 0 {
		return StepAffinity, fmt.Sprintf("node selector or affinity excludes every %s", q.kindOfType("instance type"))
	}
	step, rejected := q.furthest(near)
	return step, q.sentence(step, rejected)
}

func (q *query) nearestByName() (Step, string) {
	kind, found := q.rules.index.find(q.ask.Type)
	if !found {
		return StepRequested, fmt.Sprintf("%q is not an instance type of this region", q.ask.Type)
	}
	step, reason := q.whyNot(int32(kind))
	if step == StepCapacity {
		return step, q.capacitySentence()
	}
	return step, q.ask.Type + " " + reason
}

func (q *query) all() []int32 {
	kinds := make([]int32, len(q.rules.index.types))
	for i := range kinds {
		kinds[i] = int32(i)
	}
	return kinds
}

func (q *query) keep(kinds []int32, will func(*query, int32) bool) []int32 {
	var kept []int32
	for _, kind := range kinds {
		if will(q, kind) {
			kept = append(kept, kind)
		}
	}
	return kept
}

// furthest gives those of at least one type that came furthest in the chain,
// and the step that turned them down.
func (q *query) furthest(kinds []int32) (Step, []int32) {
	var furthest Step
	var rejected []int32
	for _, kind := range kinds {
		step := q.refusedAt(kind)
		if step.order() > furthest.order() {
			furthest, rejected = step, rejected[:0]
		}
		if step == furthest {
			rejected = append(rejected, kind)
		}
	}
	return furthest, rejected
}

// sentence tells what the types lack that a step turned down, by the one that
// comes nearest.
func (q *query) sentence(step Step, rejected []int32) string {
	switch step {
	case StepAccelerator:
		return q.acceleratorSentence(rejected)
	case StepMemory:
		t := q.largest(rejected, func(t *Type) int64 { return t.Memory })
		usable, needed := distinct(t.Memory, q.ask.Memory)
		return fmt.Sprintf("needs %s memory; the largest %s, %s, has %s, of which a pod can use %s",
			needed, q.kindOfType("allowed type"), t.Name, Bytes(t.NominalMemory), usable)
	case StepCPU:
		t := q.largest(rejected, func(t *Type) int64 { return t.MilliCPU })
		return fmt.Sprintf("needs %s CPUs; the largest %s with the memory, %s, has %s",
			cpus(q.ask.MilliCPU), q.kindOfType("allowed type"), t.Name, cpus(t.MilliCPU))
	}
	kind := rejected[0]
	switch step {
	case StepCapacity:
		return q.capacitySentence()
	case StepPrice:
		kind = q.cheapestOf(rejected)
	}
	_, reason := q.whyNot(kind)
	name := q.kind(kind).Name
	switch {
	case len(rejected) == 1:
		return name + " " + reason
	case step == StepPrice:
		return fmt.Sprintf("the cheapest of %d types that would do, %s, %s", len(rejected), name, reason)
	}
	return fmt.Sprintf("none of %d types that come nearest will do: %s, for one, %s", len(rejected), name, reason)
}

// capacitySentence counts the offerings that lack nothing but capacity, and
// names the cheapest of these.
func (q *query) capacitySentence() string {
	const lack = "capacity or free addresses for now"
	dry, best, beyond := 0, candidate{}, false
	for _, market := range q.markets() {
		listings := q.listings(market)
		for i := range listings {
			if !q.typeFits(listings[i].kind) {
				continue
			}
			c, refused := q.tryAnywhere(&listings[i])
			beyond = beyond || refused == StepPrice && c.listing.priced() && !above(c.least, q.ceiling[market])
			if refused != StepCapacity {
				continue
			}
			if dry++; dry == 1 || compare(&c, &best) < 0 {
				best = c
			}
		}
	}
	sentence := fmt.Sprintf("none of %d offerings that would do has %s; the cheapest is %s", dry, lack, q.priced(&best))
	if dry == 1 {
		sentence = fmt.Sprintf("the only offering that would do, %s, has no %s", q.priced(&best), lack)
	}
	if beyond {
		sentence += fmt.Sprintf("; dearer ones cost more than %s times as much, the class's maxPriceFactor", q.factor())
	}
	return sentence
}

// priced names a candidate, its market and its price, if that is known.
func (q *query) priced(c *candidate) string {
	name := fmt.Sprintf("%s as %s", q.where(c.listing), c.listing.market.LaunchType())
	if !c.listing.priced() {
		return name
	}
	return fmt.Sprintf("%s at %s USD/h", name, dollars(c.least+q.ask.VolumePerHour))
}

// kindOfType says which types are in question, beginning with what they are.
func (q *query) kindOfType(noun string) string {
	if q.ask.Type != "" {
		return fmt.Sprintf("%s that matches %q", noun, q.ask.Type)
	}
	return noun
}

func (q *query) acceleratorSentence(rejected []int32) string {
	var lacks []string
	for _, device := range []struct {
		name  string
		asked int64
		has   func(*Type) int64
	}{
		{"NVIDIA GPUs", q.ask.GPUs, func(t *Type) int64 { return t.GPUs }},
		{"Neuron devices", q.ask.Neurons, func(t *Type) int64 { return t.Neurons }},
	} {
		if device.asked == 0 {
			continue
		}
		t := q.largest(rejected, device.has)
		most := fmt.Sprintf("the %s with the most, %s, has %d", q.kindOfType("allowed type"), t.Name, device.has(t))
		if device.has(t) == 0 {
			most = fmt.Sprintf("no %s has any", q.kindOfType("allowed type"))
		}
		lacks = append(lacks, fmt.Sprintf("needs %d %s; %s", device.asked, device.name, most))
	}
	return strings.Join(lacks, "; ")
}

// largest is the first of the types of the greatest size.
func (q *query) largest(kinds []int32, size func(*Type) int64) *Type {
	best := q.kind(kinds[0])
	for _, kind := range kinds {
		if t := q.kind(kind); size(t) > size(best) {
			best = t
		}
	}
	return best
}

// cheapestOf is, of types turned down for their price, the one that costs
// least; one whose price is not known where that is so of all.
func (q *query) cheapestOf(kinds []int32) int32 {
	cheapest, least := kinds[0], candidate{}
	for _, kind := range kinds {
		_, c := q.bestListing(kind)
		if least.listing == nil || compare(&c, &least) < 0 {
			cheapest, least = kind, c
		}
	}
	return cheapest
}
