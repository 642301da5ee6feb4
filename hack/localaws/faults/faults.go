// Package faults holds what an emulated cloud is told to do wrong: dry
// capacity, quotas, refused calls, lost replies and slowness.
package faults

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"path"
	"slices"
	"sync"
	"time"
)

// Plan is the whole of what goes wrong. Its JSON form is what the admin API
// reads and writes.
type Plan struct {
	// Capacity lists offerings that are dry: launches into them answer
	// InsufficientInstanceCapacity.
	Capacity []Dry `json:"capacity,omitempty"`
	// VCPULimits are the account's quotas of running vCPUs by market
	// (on-demand, spot); a market that is not named has none.
	VCPULimits map[string]int `json:"vcpuLimits,omitempty"`
	// Quotas are those by group of families and market, beside VCPULimits.
	Quotas []Quota `json:"quotas,omitempty"`
	// FullSubnets are patterns of path.Match: what launches into subnets whose
	// id matches answers InsufficientFreeAddressesInSubnet.
	FullSubnets []string `json:"fullSubnets,omitempty"`
	// Errors are answered instead of doing the call.
	Errors []Refusal `json:"errors,omitempty"`
	// LostReplies do the call, then cut the connection without an answer.
	LostReplies []Loss `json:"lostReplies,omitempty"`
	// Delays are waited before the call is done, or after.
	Delays []Delay `json:"delays,omitempty"`
	// Seed decides which calls are among the per cent that are spoilt.
	Seed uint64 `json:"seed,omitempty"`
	// HungBoots are guests that do not come up.
	HungBoots []HungBoot `json:"hungBoots,omitempty"`
	// UnseenFor is how long after its launch no call but the launch shows an
	// instance.
	UnseenFor Duration `json:"unseenFor,omitzero"`
	// MetadataDelay is waited before each answer of the metadata service.
	MetadataDelay Duration `json:"metadataDelay,omitzero"`
}

// Dry is a set of offerings without capacity. Each field is a pattern of
// path.Match; empty means any.
type Dry struct {
	InstanceType string `json:"instanceType,omitempty"`
	Zone         string `json:"zone,omitempty"`
	Market       string `json:"market,omitempty"`
}

// Refusal answers calls of an action with an error code.
type Refusal struct {
	Action  string `json:"action"` // a pattern of path.Match
	Code    string `json:"code"`
	Message string `json:"message,omitempty"`
	// Count is how many calls are refused; 0 means all until the plan changes.
	Count int `json:"count,omitempty"`
	// Percent is of how many in a hundred calls, at random; 0 means of all.
	Percent int `json:"percent,omitempty"`
}

// Loss loses the replies to calls of an action.
type Loss struct {
	Action  string `json:"action"`
	Count   int    `json:"count,omitempty"`   // 0 means all
	Percent int    `json:"percent,omitempty"` // 0 means 100
}

// Delay slows calls of an action down.
type Delay struct {
	Action  string   `json:"action"`
	Delay   Duration `json:"delay"`
	Count   int      `json:"count,omitempty"`   // 0 means all
	Percent int      `json:"percent,omitempty"` // 0 means 100
	// Late has the call done at once, and only its answer wait.
	Late bool `json:"late,omitempty"`
}

// Duration is a time.Duration that JSON spells as time.ParseDuration does.
type Duration time.Duration

// MarshalJSON writes the duration as a string.
func (d Duration) MarshalJSON() ([]byte, error) { return json.Marshal(time.Duration(d).String()) }

// UnmarshalJSON reads what time.ParseDuration reads.
func (d *Duration) UnmarshalJSON(b []byte) error {
	var s string
	if err := json.Unmarshal(b, &s); err != nil {
		return fmt.Errorf("a duration is a string like \"150ms\": %w", err)
	}
	v, err := time.ParseDuration(s)
	if err != nil {
		return err
	}
	*d = Duration(v)
	return nil
}

// Validate finds patterns and counts that can never mean anything.
func (p Plan) Validate() error {
	var patterns []string
	var counts, percents []int
	for _, d := range p.Capacity {
		patterns = append(patterns, d.InstanceType, d.Zone, d.Market)
	}
	for _, e := range p.Errors {
		if e.Action == "" || e.Code == "" {
			return fmt.Errorf("an error needs an action and a code")
		}
		patterns, counts = append(patterns, e.Action), append(counts, e.Count)
		percents = append(percents, e.Percent)
	}
	for _, l := range p.LostReplies {
		patterns, counts = append(patterns, l.Action), append(counts, l.Count)
		percents = append(percents, l.Percent)
	}
	for _, d := range p.Delays {
		patterns, counts = append(patterns, d.Action), append(counts, d.Count)
		percents = append(percents, d.Percent)
	}
	for _, h := range p.HungBoots {
		patterns, counts = append(patterns, h.InstanceType, h.Zone), append(counts, h.Count)
	}
	for _, q := range p.Quotas {
		if err := q.validate(); err != nil {
			return err
		}
	}
	if p.UnseenFor < 0 || p.MetadataDelay < 0 {
		return fmt.Errorf("a duration is negative: %s, %s", time.Duration(p.UnseenFor), time.Duration(p.MetadataDelay))
	}
	if slices.Contains(p.FullSubnets, "") {
		return fmt.Errorf("a full subnet needs an id or a pattern")
	}
	for _, pattern := range append(patterns, p.FullSubnets...) {
		if _, err := path.Match(pattern, ""); err != nil {
			return fmt.Errorf("pattern %q: %w", pattern, err)
		}
	}
	return validateNumbers(counts, percents)
}

func validateNumbers(counts, percents []int) error {
	for _, n := range counts {
		if n < 0 {
			return fmt.Errorf("a count is negative: %d", n)
		}
	}
	for _, n := range percents {
		if n < 0 || n > 100 {
			return fmt.Errorf("percent: %d is not from 0 to 100", n)
		}
	}
	return nil
}

// Set is a plan in use: counts go down as calls are spoilt. The zero value
// spoils nothing. It is safe for concurrent use.
type Set struct {
	mu     sync.Mutex
	plan   Plan
	random *rand.Rand // of the plan's seed; nil: not used yet
}

// Replace puts a new plan in place of the old one.
func (s *Set) Replace(p Plan) error {
	if err := p.Validate(); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.plan, s.random = p.clone(), nil
	return nil
}

// Plan is what is still to go wrong: used-up entries are gone.
func (s *Set) Plan() Plan {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.plan.clone()
}

func (p Plan) clone() Plan {
	p.Capacity = append([]Dry(nil), p.Capacity...)
	p.Quotas = append([]Quota(nil), p.Quotas...)
	p.FullSubnets = append([]string(nil), p.FullSubnets...)
	p.Errors = append([]Refusal(nil), p.Errors...)
	p.LostReplies = append([]Loss(nil), p.LostReplies...)
	p.Delays = append([]Delay(nil), p.Delays...)
	p.HungBoots = append([]HungBoot(nil), p.HungBoots...)
	limits := make(map[string]int, len(p.VCPULimits))
	for k, v := range p.VCPULimits {
		limits[k] = v
	}
	p.VCPULimits = limits
	return p
}

// Dry says whether an offering has no capacity.
func (s *Set) Dry(instanceType, zone, market string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, d := range s.plan.Capacity {
		if Matches(d.InstanceType, instanceType) && Matches(d.Zone, zone) && Matches(d.Market, market) {
			return true
		}
	}
	return false
}

// VCPULimit is the quota of a market; ok is false where there is none.
func (s *Set) VCPULimit(market string) (limit int, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	limit, ok = s.plan.VCPULimits[market]
	return limit, ok
}

// Verdict is what is to be done wrong with one call.
type Verdict struct {
	// Delay is waited before the call is done, Late after it.
	Delay, Late time.Duration
	Refusal     *Refusal
	LoseReply   bool
}

// Judge decides about one call of an action and takes it off the counts. A
// refused call's reply is not lost as well.
func (s *Set) Judge(action string) Verdict {
	s.mu.Lock()
	defer s.mu.Unlock()
	var v Verdict
	if s.random == nil {
		s.random = rand.New(rand.NewPCG(s.plan.Seed, 0))
	}
	if d, ok := take(s.random, &s.plan.Delays, action, func(d *Delay) (string, int, *int) { return d.Action, d.Percent, &d.Count }); ok {
		v.Delay = time.Duration(d.Delay)
		if d.Late {
			v.Delay, v.Late = 0, v.Delay
		}
	}
	if r, ok := take(s.random, &s.plan.Errors, action, func(r *Refusal) (string, int, *int) { return r.Action, r.Percent, &r.Count }); ok {
		v.Refusal = &r
		return v
	}
	_, v.LoseReply = take(s.random, &s.plan.LostReplies, action, func(l *Loss) (string, int, *int) { return l.Action, l.Percent, &l.Count })
	return v
}

// take finds the first entry for the action that chance lets pass, and removes
// it when this was the last call it counts.
func take[T any](random *rand.Rand, list *[]T, action string, fields func(*T) (pattern string, percent int, count *int)) (T, bool) {
	for i := range *list {
		found := (*list)[i]
		pattern, percent, count := fields(&(*list)[i])
		if !Matches(pattern, action) || percent > 0 && random.IntN(100) >= percent {
			continue
		}
		if *count == 1 {
			*list = append((*list)[:i:i], (*list)[i+1:]...)
		} else if *count > 1 {
			*count--
		}
		return found, true
	}
	var none T
	return none, false
}

// Matches says whether s matches a pattern of path.Match; an empty one matches
// all.
func Matches(pattern, s string) bool {
	if pattern == "" {
		return true
	}
	ok, err := path.Match(pattern, s)
	return err == nil && ok
}
