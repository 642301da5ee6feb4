// Package market holds the Spot prices of an emulated region: each type has a
// price in each zone that offers it, which follows from its name and changes
// only when told to.
package market

import (
	"cmp"
	"fmt"
	"hash/fnv"
	"math"
	"path"
	"slices"
	"sync"
	"time"

	"k8s.io/utils/clock"

	"kip.elotl.co/hack/localaws/catalog"
)

// The lowest and the highest a Spot price is without being told, as shares of
// the price on demand.
const lowest, highest = 0.25, 0.90

// least is the smallest price there is, in USD per hour.
const least = 0.0001

// history is how far back the first prices lie.
const history = 24 * time.Hour

// Price is a Spot price of Linux, from a time on.
type Price struct {
	InstanceType string
	Zone         string
	PerHour      float64 // USD
	Since        time.Time
}

// Change sets the prices of offerings.
type Change struct {
	// InstanceType and Zone are patterns of path.Match; empty means any.
	InstanceType string `json:"instanceType,omitempty"`
	Zone         string `json:"zone,omitempty"`
	// PerHour is the new price in USD; 0 goes back to the first price.
	PerHour float64 `json:"perHour,omitempty"`
	// Percent is the new price relative to the one on demand, in place of
	// PerHour.
	Percent float64 `json:"percent,omitempty"`
}

type offering struct{ instanceType, zone string }

// Market is safe for concurrent use.
type Market struct {
	catalog *catalog.Catalog
	clock   clock.PassiveClock
	opened  time.Time

	mu      sync.RWMutex
	changes map[offering][]Price // oldest first
}

// New opens the market of a region.
func New(c *catalog.Catalog, k clock.PassiveClock) *Market {
	return &Market{catalog: c, clock: k, opened: k.Now().UTC().Truncate(time.Second).Add(-history), changes: map[offering][]Price{}}
}

// sold says whether there is a Spot price for a type in a zone.
func (m *Market) sold(t catalog.InstanceType, zone string) bool {
	return !t.NoSpot && m.catalog.Offered(t, zone)
}

// first is the price before any change: the same in every process.
func (m *Market) first(t catalog.InstanceType, zone string) Price {
	h := fnv.New32a()
	_, _ = h.Write([]byte(t.Name + " " + zone))
	sum := h.Sum32()
	share := lowest + (highest-lowest)*float64(sum%1000)/999
	// Prices of different types did not change all at once.
	age := time.Duration(sum%3600) * time.Second
	return Price{InstanceType: t.Name, Zone: zone, PerHour: rounded(share * t.PricePerHour()), Since: m.opened.Add(-age)}
}

func rounded(price float64) float64 { return max(least, math.Round(price*1e4)/1e4) }

// Now is the price in force of a type in a zone; ok is false where there is
// none.
func (m *Market) Now(instanceType, zone string) (price float64, ok bool) {
	t, known := m.catalog.Type(instanceType)
	if !known || !m.sold(t, zone) {
		return 0, false
	}
	m.mu.RLock()
	defer m.mu.RUnlock()
	changes := m.changes[offering{instanceType, zone}]
	if len(changes) == 0 {
		return m.first(t, zone).PerHour, true
	}
	return changes[len(changes)-1].PerHour, true
}

// History are the prices that began in a span of time, and of each offering
// the one that was in force when the span began; sorted by type, zone, newest
// first. A zero from has all prices, a zero to ends now.
func (m *Market) History(from, to time.Time) []Price {
	if to.IsZero() {
		to = m.clock.Now()
	}
	m.mu.RLock()
	defer m.mu.RUnlock()
	var out []Price
	for _, t := range m.catalog.Types {
		for _, z := range m.catalog.Zones {
			if !m.sold(t, z.Name) {
				continue
			}
			all := append([]Price{m.first(t, z.Name)}, m.changes[offering{t.Name, z.Name}]...)
			out = append(out, between(all, from, to)...)
		}
	}
	return out
}

// between picks from the prices of one offering, oldest first, and turns them
// round.
func between(prices []Price, from, to time.Time) []Price {
	var out []Price
	for _, p := range slices.Backward(prices) {
		if p.Since.After(to) {
			continue
		}
		out = append(out, p)
		if !p.Since.After(from) {
			break
		}
	}
	return out
}

// Set changes prices from now on, and says of how many offerings.
func (m *Market) Set(c Change) (int, error) {
	if c.PerHour < 0 || c.Percent < 0 || c.PerHour > 0 && c.Percent > 0 {
		return 0, fmt.Errorf("perHour %v, percent %v: want one of them, above 0, or neither", c.PerHour, c.Percent)
	}
	for _, pattern := range []string{c.InstanceType, c.Zone} {
		if _, err := path.Match(pattern, ""); err != nil {
			return 0, fmt.Errorf("pattern %q: %w", pattern, err)
		}
	}
	now := m.clock.Now().UTC()
	m.mu.Lock()
	defer m.mu.Unlock()
	changed := 0
	for _, t := range m.catalog.Types {
		for _, z := range m.catalog.Zones {
			if !m.sold(t, z.Name) || !matches(c.InstanceType, t.Name) || !matches(c.Zone, z.Name) {
				continue
			}
			key := offering{t.Name, z.Name}
			perHour := cmp.Or(c.PerHour, c.Percent/100*t.PricePerHour(), m.first(t, z.Name).PerHour)
			m.changes[key] = append(m.changes[key], Price{InstanceType: t.Name, Zone: z.Name, PerHour: rounded(perHour), Since: now})
			changed++
		}
	}
	if changed == 0 {
		return 0, fmt.Errorf("no type %q is sold as Spot in a zone %q", cmp.Or(c.InstanceType, "*"), cmp.Or(c.Zone, "*"))
	}
	return changed, nil
}

func matches(pattern, s string) bool {
	if pattern == "" {
		return true
	}
	ok, err := path.Match(pattern, s)
	return err == nil && ok
}
