package aws

import (
	"context"
	"math"
	"sync"
	"sync/atomic"
	"time"
)

// bucket is a Limit in use. Callers are served in the order in which they came.
type bucket struct {
	Limit
	turn chan struct{} // held by the caller that is served next
	// queue is how many callers there are, that one included.
	queue atomic.Int32

	mu     sync.Mutex
	tokens float64
	filled time.Time // when tokens was computed
	pace   pace
}

func newBucket(l Limit) *bucket {
	b := &bucket{Limit: l, turn: make(chan struct{}, 1), filled: time.Now(), pace: pace{full: l.PerSecond}}
	b.tokens = b.holds(l.PerSecond)
	return b
}

// holds is how many tokens the bucket holds at a rate: as many as EC2's, less
// what EC2, which fills its own once a second, may not have put in yet.
func (b *bucket) holds(rate float64) float64 {
	return max(1, (b.Burst-b.PerSecond)*rate/b.PerSecond)
}

// take waits until the bucket has the tokens for a call, or ctx ends.
func (b *bucket) take(ctx context.Context, resources float64) error {
	b.queue.Add(1)
	defer b.queue.Add(-1)
	select {
	case b.turn <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	defer func() { <-b.turn }()
	for {
		wait := b.try(b.costOf(resources))
		if wait == 0 {
			return nil
		}
		if err := sleep(ctx, wait); err != nil {
			return err
		}
	}
}

// Callers beyond a queue of this length are sent away for queueDelay: the first
// are enough to use every token that comes until then.
const (
	shortestQueue = 8
	longestQueue  = 25
	queueDelay    = 500 * time.Millisecond
)

// delay is zero when another caller may join the queue.
func (b *bucket) delay() time.Duration {
	if float64(b.queue.Load()) < min(max(2*b.PerSecond, shortestQueue), longestQueue) {
		return 0
	}
	return queueDelay
}

func (b *bucket) costOf(resources float64) float64 {
	if b.Resources {
		return resources
	}
	return 1
}

// try takes the tokens, or says how long to wait before the next try. A call
// that costs more than the bucket holds takes a full one into debt.
func (b *bucket) try(cost float64) time.Duration {
	b.mu.Lock()
	defer b.mu.Unlock()
	rate := b.refill()
	needed := min(cost, b.holds(rate))
	if b.tokens >= needed-noise {
		b.tokens -= cost
		return 0
	}
	seconds := min((needed-b.tokens)/rate, longestLook.Seconds())
	return max(time.Duration(math.Ceil(seconds*float64(time.Second))), time.Microsecond)
}

const (
	// noise is by how much sums of tokens may be off, floating point being what it is.
	noise = 1e-9
	// longestLook is how long whoever waits does not look: the rate changes.
	longestLook = time.Second
)

// refill adds what has come in since the last time and gives the present rate,
// in tokens per second. b.mu is held.
func (b *bucket) refill() float64 {
	now := time.Now()
	rate := b.pace.at(now)
	b.tokens += rate * now.Sub(b.filled).Seconds()
	if most := b.holds(rate); b.tokens >= most {
		b.tokens = most
		b.pace.rested()
	}
	b.filled = now
	return rate
}

// passed notes that EC2 has let a call through.
func (b *bucket) passed(resources float64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.pace.passed += b.costOf(resources)
}

// throttled empties the bucket and halves its rate, because EC2 has refused a
// call that was sent at that time.
func (b *bucket) throttled(sent time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := time.Now()
	if b.pace.slowDown(sent, now) {
		b.tokens, b.filled = min(b.tokens, 0), now
	}
}

func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
