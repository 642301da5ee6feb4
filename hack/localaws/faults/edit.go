package faults

import (
	"cmp"
	"fmt"
	"maps"
	"path"
	"slices"
)

// Quota limits the running vCPUs of a group of families in a market.
type Quota struct {
	// Group is standard, g, p, inf, trn, x or high-memory, as EC2 groups
	// families.
	Group  string `json:"group"`
	Market string `json:"market"` // on-demand or spot
	VCPUs  int    `json:"vcpus"`
}

// The markets and the groups that quotas know.
func markets() []string { return []string{"on-demand", "spot"} }

func groups() []string { return []string{"standard", "g", "p", "inf", "trn", "x", "high-memory"} }

func (q Quota) validate() error {
	if !slices.Contains(groups(), q.Group) {
		return fmt.Errorf("quota: group %q is not one of %v", q.Group, groups())
	}
	if !slices.Contains(markets(), q.Market) {
		return fmt.Errorf("quota: market %q is not one of %v", q.Market, markets())
	}
	if q.VCPUs < 0 {
		return fmt.Errorf("quota: %d vCPUs are fewer than none", q.VCPUs)
	}
	return nil
}

// GroupLimit is the quota of a group of families in a market; ok is false
// where there is none.
func (s *Set) GroupLimit(group, market string) (limit int, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, q := range s.plan.Quotas {
		if q.Group == group && q.Market == market {
			return q.VCPUs, true
		}
	}
	return 0, false
}

// Full says whether a subnet is to have no free addresses.
func (s *Set) Full(subnet string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.ContainsFunc(s.plan.FullSubnets, func(pattern string) bool { return Matches(pattern, subnet) })
}

// Add puts more over what goes wrong: a quota takes the place of the one of
// the same group and market, and a duration of that before, all else is added.
func (s *Set) Add(more Plan) error {
	if err := more.Validate(); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.plan.clone()
	for _, q := range more.Quotas {
		p.Quotas = slices.DeleteFunc(p.Quotas, func(have Quota) bool { return have.Group == q.Group && have.Market == q.Market })
		p.Quotas = append(p.Quotas, q)
	}
	maps.Copy(p.VCPULimits, more.VCPULimits)
	p.Capacity = append(p.Capacity, more.Capacity...)
	p.FullSubnets = append(p.FullSubnets, more.FullSubnets...)
	p.Errors = append(p.Errors, more.Errors...)
	p.LostReplies = append(p.LostReplies, more.LostReplies...)
	p.Delays = append(p.Delays, more.Delays...)
	p.HungBoots = append(p.HungBoots, more.HungBoots...)
	p.UnseenFor, p.MetadataDelay = cmp.Or(more.UnseenFor, p.UnseenFor), cmp.Or(more.MetadataDelay, p.MetadataDelay)
	s.plan = p
	return nil
}

// Wet takes away what is dry, as far as it was made so by patterns that match
// those of d; empty ones match all. It says how many entries that were.
func (s *Set) Wet(d Dry) (int, error) {
	for _, pattern := range []string{d.InstanceType, d.Zone, d.Market} {
		if _, err := path.Match(pattern, ""); err != nil {
			return 0, fmt.Errorf("pattern %q: %w", pattern, err)
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	before := len(s.plan.Capacity)
	same := func(pattern, made string) bool { return pattern == "" || pattern == made || Matches(pattern, made) }
	s.plan.Capacity = slices.DeleteFunc(slices.Clone(s.plan.Capacity), func(have Dry) bool {
		return same(d.InstanceType, have.InstanceType) && same(d.Zone, have.Zone) && same(d.Market, have.Market)
	})
	return before - len(s.plan.Capacity), nil
}

// Unlimit takes the quotas of a group and a market away; "" is all of them. It
// says how many quotas that were.
func (s *Set) Unlimit(group, market string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	before := len(s.plan.Quotas)
	s.plan.Quotas = slices.DeleteFunc(slices.Clone(s.plan.Quotas), func(q Quota) bool {
		return (group == "" || q.Group == group) && (market == "" || q.Market == market)
	})
	return before - len(s.plan.Quotas)
}
