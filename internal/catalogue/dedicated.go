package catalogue

import (
	"kip.elotl.co/internal/selection"
)

// tenancyDedicated is that of instances on hardware that is nobody else's.
const tenancyDedicated = "dedicated"

// IndexFor is Index with the prices of a tenancy: default (also when empty) or
// dedicated. Those of the latter are looked up from when they are first wanted;
// until they are known, and for types without one, those of the former are an
// estimate.
func (c *Catalogue) IndexFor(tenancy string) *selection.Index {
	if tenancy != tenancyDedicated {
		return c.Index()
	}
	if index := c.dedicated.Load(); index != nil {
		return index
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.dedicatedWanted() {
		close(c.wanted)
		c.rebuild()
	}
	return c.dedicated.Load()
}

// dedicatedWanted says whether anybody has wanted the index for dedicated tenancy.
func (c *Catalogue) dedicatedWanted() bool {
	select {
	case <-c.wanted:
		return true
	default:
		return false
	}
}
