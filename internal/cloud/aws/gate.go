package aws

import (
	"context"
	"slices"
	"sync"
	"time"
)

// priority decides who goes first where calls wait for each other.
type priority int

// The priorities.
const (
	first priority = iota
	second
	last
	priorities
)

// How many calls are under way at once: at most, at least when EC2 refuses
// them, and how soon one more may be after that.
const (
	mostUnderWay  = idleConnections
	leastUnderWay = 4
	oneMoreAfter  = time.Second
)

// gate limits how many calls are under way, over all actions. When EC2
// throttles the account it lets half as many through, and then one more each
// second.
type gate struct {
	mu       sync.Mutex
	underWay int
	limit    int // at the time changed
	changed  time.Time
	waiting  [priorities][]chan struct{}
}

func newGate() *gate { return &gate{limit: mostUnderWay, changed: time.Now()} }

// enter waits for a place, in the order of priorities, and of arrival within each.
func (g *gate) enter(ctx context.Context, p priority) error {
	g.mu.Lock()
	if g.underWay < g.limitNow(time.Now()) {
		g.underWay++
		g.mu.Unlock()
		return nil
	}
	turn := make(chan struct{})
	g.waiting[p] = append(g.waiting[p], turn)
	g.mu.Unlock()
	select {
	case <-turn:
		return nil
	case <-ctx.Done():
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if at := slices.Index(g.waiting[p], turn); at >= 0 {
		g.waiting[p] = slices.Delete(g.waiting[p], at, at+1)
	} else {
		g.leaveLocked() // its turn came too late
	}
	return ctx.Err()
}

// leave gives a place back.
func (g *gate) leave(throttled bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if now := time.Now(); throttled && (g.limit == mostUnderWay || now.Sub(g.changed) >= oneMoreAfter) {
		g.limit, g.changed = max(g.limitNow(now)/2, leastUnderWay), now
	}
	g.leaveLocked()
}

// leaveLocked lets in whoever is next; g.mu is held.
func (g *gate) leaveLocked() {
	g.underWay--
	limit := g.limitNow(time.Now())
	for p := range g.waiting {
		for len(g.waiting[p]) > 0 && g.underWay < limit {
			close(g.waiting[p][0])
			g.waiting[p] = g.waiting[p][1:]
			g.underWay++
		}
	}
}

func (g *gate) limitNow(now time.Time) int {
	return min(mostUnderWay, g.limit+int(now.Sub(g.changed)/oneMoreAfter))
}
