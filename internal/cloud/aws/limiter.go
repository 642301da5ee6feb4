package aws

import (
	"context"
	"maps"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsmiddleware "github.com/aws/aws-sdk-go-v2/aws/middleware"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/smithy-go/middleware"

	"kip.elotl.co/internal/cloud"
)

// limiter makes every sending of a call wait for its action's buckets, and for
// its place among all that is under way. It slows down when EC2 says that the
// account asks too often.
type limiter struct {
	limits map[string][]Limit
	gate   *gate

	mu      sync.Mutex
	buckets map[string][]*bucket // by action
}

func newLimiter(limits map[string][]Limit) *limiter {
	l := &limiter{limits: DefaultLimits(), gate: newGate(), buckets: map[string][]*bucket{}}
	maps.Copy(l.limits, limits)
	return l
}

// of gives the buckets of an action; each action has its own, and other ones
// for what it asks without a filter.
func (l *limiter) of(action string, unfiltered bool) []*bucket {
	l.mu.Lock()
	defer l.mu.Unlock()
	key := action
	if unfiltered {
		key += " unfiltered"
	}
	if buckets, ok := l.buckets[key]; ok {
		return buckets
	}
	buckets := []*bucket{}
	for _, limit := range l.limitsOf(action, unfiltered) {
		buckets = append(buckets, newBucket(limit))
	}
	l.buckets[key] = buckets
	return buckets
}

func (l *limiter) limitsOf(action string, unfiltered bool) []Limit {
	limits, ok := l.limits[action]
	switch {
	case ok:
		return limits
	case !isDescribe(action):
		return l.limits[Mutations]
	case unfiltered:
		return l.limits[Unfiltered]
	}
	return l.limits[Describes]
}

func isDescribe(action string) bool { return strings.HasPrefix(action, Describes) }

// priorityOf: what ends something goes first, what costs something last.
func priorityOf(action string) priority {
	switch action {
	case "TerminateInstances", "DeleteRoute":
		return first
	case "RunInstances":
		return last
	}
	return second
}

// install puts the limiter between the SDK's retries and each attempt.
func (l *limiter) install(stack *middleware.Stack) error {
	if err := stack.Initialize.Add(middleware.InitializeMiddlewareFunc("KipResources", look), middleware.Before); err != nil {
		return err
	}
	return stack.Finalize.Insert(middleware.FinalizeMiddlewareFunc("KipRateLimit", l.attempt), "Retry", middleware.After)
}

type costKey struct{}

// cost is what a call takes from buckets.
type cost struct {
	resources  int
	unfiltered bool
}

// look notes what a call costs, while its parameters can be seen.
func look(ctx context.Context, in middleware.InitializeInput, next middleware.InitializeHandler) (middleware.InitializeOutput, middleware.Metadata, error) {
	return next.HandleInitialize(middleware.WithStackValue(ctx, costKey{}, costOf(in.Parameters)), in)
}

func costOf(parameters any) cost {
	switch in := parameters.(type) {
	case *ec2.TerminateInstancesInput:
		return cost{resources: len(in.InstanceIds)}
	case *ec2.DescribeImagesInput:
		return cost{resources: 1, unfiltered: len(in.Filters) == 0 && in.MaxResults == nil}
	case *ec2.DescribeSubnetsInput:
		return cost{resources: 1, unfiltered: len(in.Filters) == 0 && in.MaxResults == nil}
	case *ec2.DescribeSecurityGroupsInput:
		return cost{resources: 1, unfiltered: len(in.Filters) == 0 && in.MaxResults == nil}
	}
	return cost{resources: 1}
}

func (l *limiter) attempt(ctx context.Context, in middleware.FinalizeInput, next middleware.FinalizeHandler) (middleware.FinalizeOutput, middleware.Metadata, error) {
	action := awsmiddleware.GetOperationName(ctx)
	costs, ok := middleware.GetStackValue(ctx, costKey{}).(cost)
	if !ok {
		costs.resources = 1
	}
	buckets := l.of(action, costs.unfiltered)
	leave, err := l.admit(ctx, action, buckets, costs)
	if err != nil {
		return middleware.FinalizeOutput{}, middleware.Metadata{}, &aws.RequestCanceledError{Err: err}
	}
	sent := time.Now()
	out, metadata, err := next.HandleFinalize(ctx, in)
	throttled := err != nil && kindOf(err) == cloud.KindThrottled
	leave(throttled)
	for _, b := range buckets {
		switch {
		case throttled:
			b.throttled(sent)
		case answered(err):
			b.passed(float64(costs.resources))
		}
	}
	return out, metadata, err
}

// admit waits until a call may be sent; leave is called with its answer.
func (l *limiter) admit(ctx context.Context, action string, buckets []*bucket, costs cost) (leave func(throttled bool), err error) {
	for _, b := range buckets {
		if err := b.take(ctx, float64(costs.resources)); err != nil {
			return nil, err
		}
	}
	if err := l.gate.enter(ctx, priorityOf(action)); err != nil {
		return nil, err
	}
	return l.gate.leave, nil
}

// LaunchDelay implements cloud.Instances.
func (c *Client) LaunchDelay() time.Duration { return c.limits.delay("RunInstances") }

// SecretDelay implements cloud.Parameters.
func (c *Client) SecretDelay() time.Duration { return c.limits.delay("PutParameter") }

func (l *limiter) delay(action string) time.Duration {
	var longest time.Duration
	for _, b := range l.of(action, false) {
		longest = max(longest, b.delay())
	}
	return longest
}

// answered says whether EC2 has dealt with a call, which then has cost it a
// token of its own.
func answered(err error) bool { return err == nil || status(err) != 0 }
