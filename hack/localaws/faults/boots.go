package faults

import "time"

// HungBoot is a set of launches whose guests never get to the end of their boot:
// the instance runs, and nothing in it answers. Each field is a pattern of
// path.Match; empty means any.
type HungBoot struct {
	InstanceType string `json:"instanceType,omitempty"`
	Zone         string `json:"zone,omitempty"`
	// Count is how many boots hang; 0 means all until the plan changes.
	Count int `json:"count,omitempty"`
}

// HangBoot decides whether one boot never gets to its end, and takes it off the
// count.
func (s *Set) HangBoot(instanceType, zone string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range s.plan.HungBoots {
		h := &s.plan.HungBoots[i]
		if !Matches(h.InstanceType, instanceType) || !Matches(h.Zone, zone) {
			continue
		}
		switch h.Count {
		case 0:
		case 1:
			s.plan.HungBoots = append(s.plan.HungBoots[:i:i], s.plan.HungBoots[i+1:]...)
		default:
			h.Count--
		}
		return true
	}
	return false
}

// UnseenFor is how long after its launch no call but the launch shows an instance.
func (s *Set) UnseenFor() time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	return time.Duration(s.plan.UnseenFor)
}

// MetadataDelay is how long each answer of the metadata service takes.
func (s *Set) MetadataDelay() time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	return time.Duration(s.plan.MetadataDelay)
}
