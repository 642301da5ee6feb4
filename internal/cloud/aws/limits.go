package aws

import (
	"context"
	"math"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsmiddleware "github.com/aws/aws-sdk-go-v2/aws/middleware"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/smithy-go/middleware"

	"kip.elotl.co/internal/cloud"
)

const (
	// recovery is how long a bucket that was slowed to a standstill would take
	// to its full rate; leastShare is how slow it gets, and halvings closer
	// than halvingPause together count as one: all that was under way when the
	// limit was reached is refused at once.
	recovery     = time.Minute
	leastShare   = 1.0 / 16
	halvingPause = time.Second
)

// Limit is a token bucket: Burst calls at once, PerSecond in the long run.
type Limit struct {
	Burst, PerSecond float64
	// Resources says that a call costs a token for each instance that it names,
	// instead of one.
	Resources bool
}

// DefaultLimits are those that EC2 publishes for an account in a region
// (docs.aws.amazon.com/ec2/latest/devguide/ec2-api-throttling.html), by action.
// "Describe" stands for the describing actions, "" for all others.
func DefaultLimits() map[string][]Limit {
	return map[string][]Limit{
		"RunInstances":       {{Burst: 5, PerSecond: 2}},
		"TerminateInstances": {{Burst: 100, PerSecond: 5}, {Burst: 1000, PerSecond: 20, Resources: true}},
		"Describe":           {{Burst: 100, PerSecond: 20}},
		"":                   {{Burst: 50, PerSecond: 5}},
	}
}

// Unlimited is for an endpoint that has no limits: calls never wait.
func Unlimited() map[string][]Limit {
	limits := DefaultLimits()
	for action := range limits {
		limits[action] = nil
	}
	return limits
}

// limiter makes every sending of a call wait for its action's buckets, and
// slows these down when EC2 says that the account asks too often.
type limiter struct {
	limits map[string][]Limit

	mu      sync.Mutex
	buckets map[string][]*bucket // by action
}

func newLimiter(limits map[string][]Limit) *limiter {
	l := &limiter{limits: DefaultLimits(), buckets: map[string][]*bucket{}}
	for action, limit := range limits {
		l.limits[action] = limit
	}
	return l
}

// of gives the buckets of an action; each action has its own.
func (l *limiter) of(action string) []*bucket {
	l.mu.Lock()
	defer l.mu.Unlock()
	if buckets, ok := l.buckets[action]; ok {
		return buckets
	}
	buckets := []*bucket{}
	for _, limit := range l.limitsOf(action) {
		buckets = append(buckets, newBucket(limit))
	}
	l.buckets[action] = buckets
	return buckets
}

func (l *limiter) limitsOf(action string) []Limit {
	if limits, ok := l.limits[action]; ok {
		return limits
	}
	if strings.HasPrefix(action, "Describe") {
		return l.limits["Describe"]
	}
	return l.limits[""]
}

// install puts the limiter between the SDK's retries and each attempt.
func (l *limiter) install(stack *middleware.Stack) error {
	if err := stack.Initialize.Add(middleware.InitializeMiddlewareFunc("KipResources", countResources), middleware.Before); err != nil {
		return err
	}
	return stack.Finalize.Insert(middleware.FinalizeMiddlewareFunc("KipRateLimit", l.attempt), "Retry", middleware.After)
}

type resourcesKey struct{}

// countResources notes how many instances a call names, while its parameters
// can be seen.
func countResources(ctx context.Context, in middleware.InitializeInput, next middleware.InitializeHandler) (middleware.InitializeOutput, middleware.Metadata, error) {
	if terminate, ok := in.Parameters.(*ec2.TerminateInstancesInput); ok {
		ctx = middleware.WithStackValue(ctx, resourcesKey{}, len(terminate.InstanceIds))
	}
	return next.HandleInitialize(ctx, in)
}

func (l *limiter) attempt(ctx context.Context, in middleware.FinalizeInput, next middleware.FinalizeHandler) (middleware.FinalizeOutput, middleware.Metadata, error) {
	buckets := l.of(awsmiddleware.GetOperationName(ctx))
	resources, ok := middleware.GetStackValue(ctx, resourcesKey{}).(int)
	if !ok {
		resources = 1
	}
	for _, b := range buckets {
		if err := b.take(ctx, float64(resources)); err != nil {
			return middleware.FinalizeOutput{}, middleware.Metadata{}, &aws.RequestCanceledError{Err: err}
		}
	}
	out, metadata, err := next.HandleFinalize(ctx, in)
	if err != nil && kindOf(err) == cloud.KindThrottled {
		for _, b := range buckets {
			b.slowDown()
		}
	}
	return out, metadata, err
}

// bucket is a Limit in use. Callers are served in the order in which they came.
type bucket struct {
	Limit
	turn chan struct{} // held by the caller that is served next

	mu     sync.Mutex
	tokens float64
	filled time.Time // when tokens was computed
	share  float64   // of the full rate, at the time slowed
	slowed time.Time
}

func newBucket(l Limit) *bucket {
	now := time.Now()
	return &bucket{Limit: l, turn: make(chan struct{}, 1), tokens: l.Burst, filled: now, share: 1, slowed: now}
}

// take waits until the bucket has the tokens for a call, or ctx ends.
func (b *bucket) take(ctx context.Context, resources float64) error {
	cost := 1.0
	if b.Resources {
		cost = min(resources, b.Burst)
	}
	select {
	case b.turn <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	defer func() { <-b.turn }()
	for {
		wait := b.try(cost)
		if wait == 0 {
			return nil
		}
		if err := sleep(ctx, wait); err != nil {
			return err
		}
	}
}

// try takes the tokens, or says how long to wait before the next try.
func (b *bucket) try(cost float64) time.Duration {
	b.mu.Lock()
	defer b.mu.Unlock()
	rate := b.refill()
	if b.tokens >= cost {
		b.tokens -= cost
		return 0
	}
	seconds := (cost - b.tokens) / rate
	return max(time.Duration(math.Ceil(seconds*float64(time.Second))), time.Microsecond)
}

// refill adds what has come in since the last time and gives the present rate,
// in tokens per second. b.mu is held.
func (b *bucket) refill() float64 {
	now := time.Now()
	rate := b.PerSecond * b.shareAt(now)
	b.tokens = min(b.Burst, b.tokens+rate*now.Sub(b.filled).Seconds())
	b.filled = now
	return rate
}

func (b *bucket) shareAt(now time.Time) float64 {
	return min(1, b.share+now.Sub(b.slowed).Seconds()/recovery.Seconds())
}

// slowDown empties the bucket and halves its rate, which then recovers.
func (b *bucket) slowDown() {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := time.Now()
	share := b.shareAt(now)
	if share < 1 && now.Sub(b.slowed) < halvingPause {
		return
	}
	b.tokens, b.filled = 0, now
	b.share, b.slowed = max(share/2, leastShare), now
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
