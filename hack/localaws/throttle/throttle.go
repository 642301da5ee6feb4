// Package throttle limits calls as EC2 does: each action has token buckets of
// its own (EC2 developer guide, "Request throttling for the Amazon EC2 API").
package throttle

import (
	"fmt"
	"math"
	"strings"
	"sync"
	"time"

	"k8s.io/utils/clock"
)

// Limit is the size of a token bucket.
type Limit struct {
	Burst     float64 `json:"burst"`
	PerSecond float64 `json:"perSecond"`
}

// Limits are those of one action. A bucket without a burst does not limit.
type Limits struct {
	// Requests gives a token for each call, Resources one for each instance
	// that a call launches or terminates.
	Requests  Limit `json:"requests"`
	Resources Limit `json:"resources,omitzero"`
}

// Call is one call, as far as limits go.
type Call struct {
	// Service is empty for EC2; others have only the limits of actions that
	// Published, or Settings.Limits, name as service:action.
	Service string
	Action  string
	// Unfiltered says that a listing names no ids, filters or page size.
	Unfiltered bool
	// Resources is how many instances the call launches or terminates.
	Resources int
}

// Published are AWS's published limits, by action; those of other services than
// EC2 by service:action. "Describe" stands for
// listings, "Unfiltered" for those that are not narrowed down, "" for what
// changes something.
func Published() map[string]Limits {
	return map[string]Limits{
		"RunInstances":       {Requests: Limit{5, 2}, Resources: Limit{1000, 2}},
		"TerminateInstances": {Requests: Limit{100, 5}, Resources: Limit{1000, 20}},
		"CreateTags":         {Requests: Limit{100, 10}},
		"Describe":           {Requests: Limit{100, 20}},
		"Unfiltered":         {Requests: Limit{50, 10}},
		"":                   {Requests: Limit{50, 5}},

		// AWS General Reference, "Systems Manager service quotas", without
		// high throughput; bursts are not published.
		"ssm:PutParameter":        {Requests: Limit{3, 3}},
		"ssm:DeleteParameter":     {Requests: Limit{5, 5}},
		"ssm:DeleteParameters":    {Requests: Limit{5, 5}},
		"ssm:GetParameter":        {Requests: Limit{40, 40}},
		"ssm:GetParameters":       {Requests: Limit{40, 40}},
		"ssm:GetParametersByPath": {Requests: Limit{40, 40}},
	}
}

// Settings is how calls are limited.
type Settings struct {
	// Scale multiplies all limits: 1 is what EC2 publishes, 0.5 half of it;
	// 0 is no limits.
	Scale float64 `json:"scale"`
	// Limits replaces those of the actions it names; "Describe", "Unfiltered"
	// and "" as in Published.
	Limits map[string]Limits `json:"limits,omitempty"`
}

// Validate finds settings that mean nothing.
func (s Settings) Validate() error {
	if s.Scale < 0 || math.IsNaN(s.Scale) || math.IsInf(s.Scale, 0) {
		return fmt.Errorf("scale: %v is not a number from 0 (no limits) on", s.Scale)
	}
	for action, limits := range s.Limits {
		for _, l := range []Limit{limits.Requests, limits.Resources} {
			if l.Burst < 0 || l.PerSecond < 0 {
				return fmt.Errorf("limits[%q]: %v tokens, %v per second: want none below 0", action, l.Burst, l.PerSecond)
			}
		}
	}
	return nil
}

// Throttle limits calls. It is safe for concurrent use.
type Throttle struct {
	clock clock.PassiveClock

	mu       sync.Mutex
	settings Settings
	buckets  map[bucketName]*bucket
}

type bucketName struct {
	action    string
	resources bool
}

// bucket holds tokens as a share of its size, so that it follows a change of
// the settings.
type bucket struct {
	full  float64 // 0 to 1
	since time.Time
}

// New makes a throttle that limits nothing until it is set to.
func New(c clock.PassiveClock) *Throttle {
	return &Throttle{clock: c, buckets: map[bucketName]*bucket{}}
}

// Set changes how calls are limited from now on.
func (t *Throttle) Set(s Settings) error {
	if err := s.Validate(); err != nil {
		return err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.settings.Scale == 0 {
		t.buckets = map[bucketName]*bucket{}
	}
	t.settings = s
	return nil
}

// Settings are those in force.
func (t *Throttle) Settings() Settings {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.settings
}

// Allow takes the tokens of a call; false, and nothing is taken, when one of
// its buckets has too few.
func (t *Throttle) Allow(c Call) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.settings.Scale == 0 {
		return true
	}
	limits, class := t.of(c)
	requests, enough := t.look(bucketName{class, false}, limits.Requests, 1)
	resources, enoughResources := t.look(bucketName{class, true}, limits.Resources, float64(c.Resources))
	if !enough || !enoughResources {
		return false
	}
	requests()
	resources()
	return true
}

// of finds the limits of a call, and the name of its buckets: each action has
// its own, and its unfiltered calls others.
func (t *Throttle) of(c Call) (limits Limits, bucket string) {
	published := Published()
	if c.Service != "" {
		c.Action, c.Unfiltered = c.Service+":"+c.Action, false
	}
	for _, key := range keys(c) {
		l, ok := t.settings.Limits[key]
		if !ok {
			l, ok = published[key]
		}
		if ok {
			limits = l
			break
		}
	}
	if c.Unfiltered && isListing(c.Action) {
		return limits, c.Action + " unfiltered"
	}
	return limits, c.Action
}

func keys(c Call) []string {
	switch {
	case c.Service != "":
		return []string{c.Action}
	case isListing(c.Action) && c.Unfiltered:
		return []string{c.Action, "Unfiltered"}
	case isListing(c.Action):
		return []string{c.Action, "Describe"}
	}
	return []string{c.Action, ""}
}

func isListing(action string) bool {
	return strings.HasPrefix(action, "Describe") || strings.HasPrefix(action, "Get")
}

// look says whether a bucket has n tokens, and gives what takes them.
func (t *Throttle) look(name bucketName, limit Limit, n float64) (take func(), enough bool) {
	if limit.Burst == 0 || n == 0 {
		return func() {}, true
	}
	burst, rate := max(1, limit.Burst*t.settings.Scale), limit.PerSecond*t.settings.Scale
	now := t.clock.Now()
	b := t.buckets[name]
	if b == nil {
		b = &bucket{full: 1, since: now}
		t.buckets[name] = b
	}
	b.full = min(1, b.full+rate*now.Sub(b.since).Seconds()/burst)
	b.since = now
	// A little less than a token is one: shares are not exact.
	const tolerance = 1e-6
	return func() { b.full = max(0, b.full-n/burst) }, b.full*burst >= n-tolerance
}
