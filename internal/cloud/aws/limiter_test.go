package aws

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"kip.elotl.co/hack/localaws/faults"
	"kip.elotl.co/internal/cloud"
)

func TestLimitsOfActions(t *testing.T) {
	l := newLimiter(map[string][]Limit{"ModifyVolume": {{Burst: 50, PerSecond: 20}}, "DescribeHosts": nil})
	for action, want := range map[string][]Limit{
		"RunInstances":       {{Burst: 5, PerSecond: 2}, {Burst: 1000, PerSecond: 2, Resources: true}},
		"ModifyVolume":       {{Burst: 50, PerSecond: 20}},
		"DescribeHosts":      {},
		"TerminateInstances": {{Burst: 100, PerSecond: 5}, {Burst: 1000, PerSecond: 20, Resources: true}},
		"CreateTags":         {{Burst: 100, PerSecond: 10}},
		"DescribeImages":     {{Burst: 100, PerSecond: 20}},
		"CreateRoute":        {{Burst: 50, PerSecond: 5}},
	} {
		wantLimits(t, action, l.of(action, false), want)
	}
	wantLimits(t, "unfiltered", l.of("DescribeImages", true), []Limit{{Burst: 50, PerSecond: 10}})
	images := l.of("DescribeImages", false)[0]
	if again := l.of("DescribeImages", false)[0]; images != again || images == l.of("DescribeSubnets", false)[0] || images == l.of("DescribeImages", true)[0] {
		t.Error("actions must have buckets of their own, and keep them")
	}
	for action := range DefaultLimits() {
		if buckets := newLimiter(Unlimited()).of(action, false); len(buckets) != 0 {
			t.Errorf("unlimited: %d buckets for %s", len(buckets), action)
		}
	}
}

func wantLimits(t *testing.T, what string, got []*bucket, want []Limit) {
	t.Helper()
	if len(got) != len(want) {
		t.Errorf("%s: %d buckets, want %d", what, len(got), len(want))
		return
	}
	for i, b := range got {
		if b.Limit != want[i] {
			t.Errorf("%s: %+v, want %+v", what, b.Limit, want[i])
		}
	}
}

func TestCostOfCalls(t *testing.T) {
	filter := []types.Filter{{Name: aws.String("vpc-id")}}
	for name, test := range map[string]struct {
		in   any
		want cost
	}{
		"terminating three":      {&ec2.TerminateInstancesInput{InstanceIds: []string{"a", "b", "c"}}, cost{resources: 3}},
		"launching one":          {&ec2.RunInstancesInput{}, cost{resources: 1}},
		"images of an owner":     {&ec2.DescribeImagesInput{Owners: []string{"amazon"}}, cost{resources: 1, unfiltered: true}},
		"images by a filter":     {&ec2.DescribeImagesInput{Filters: filter}, cost{resources: 1}},
		"images page by page":    {&ec2.DescribeImagesInput{MaxResults: aws.Int32(100)}, cost{resources: 1}},
		"subnets by ID":          {&ec2.DescribeSubnetsInput{SubnetIds: []string{"a"}}, cost{resources: 1, unfiltered: true}},
		"groups by ID":           {&ec2.DescribeSecurityGroupsInput{GroupIds: []string{"a"}}, cost{resources: 1, unfiltered: true}},
		"groups by a filter":     {&ec2.DescribeSecurityGroupsInput{Filters: filter}, cost{resources: 1}},
		"instances page by page": {&ec2.DescribeInstancesInput{MaxResults: aws.Int32(100)}, cost{resources: 1}},
	} {
		if got := costOf(test.in); got != test.want {
			t.Errorf("%s: %+v, want %+v", name, got, test.want)
		}
	}
}

func TestEachAttemptTakesFromItsBucket(t *testing.T) {
	e := newEmulator(t, limits(map[string][]Limit{"RunInstances": {{Burst: 2, PerSecond: 1.0 / 3600}}}))
	e.plan(t, faults.Plan{LostReplies: []faults.Loss{{Action: "RunInstances", Count: 1}}})
	e.launch(t, "token") // sent twice
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	_, err := e.Launch(ctx, request("another"))
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a third attempt: %v", err)
	}
	if got := len(e.calls("RunInstances")); got != 2 {
		t.Errorf("%d calls, want 2", got)
	}
}

func TestTerminationCostsATokenForEachInstance(t *testing.T) {
	e := newEmulator(t, limits(map[string][]Limit{"TerminateInstances": {{Burst: 3, PerSecond: 1.0 / 3600, Resources: true}}}))
	for _, id := range e.launchMany(t, 3) {
		if err := e.Terminate(t.Context(), id); err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if err := e.Terminate(ctx, e.launch(t, "fourth").ID); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("the fourth: %v", err)
	}
}

func TestThrottlingSlowsDown(t *testing.T) {
	e := newEmulator(t, limits(map[string][]Limit{Describes: {{Burst: 1e6, PerSecond: 1e6}}, Unfiltered: {{Burst: 1e6, PerSecond: 1e6}}}))
	e.plan(t, faults.Plan{Errors: []faults.Refusal{{Action: "DescribeSubnets", Code: "RequestLimitExceeded"}}})
	_, err := e.Subnets(t.Context(), []string{subnetA})
	wantKind(t, err, cloud.KindThrottled, "ec2:DescribeSubnets", "RequestLimitExceeded")
	if got := len(e.calls("DescribeSubnets")); got != attempts {
		t.Errorf("%d calls, want %d", got, attempts)
	}
	if share := e.limits.of("DescribeSubnets", true)[0].pace.at(time.Now()) / 1e6; share > 0.6 {
		t.Errorf("the bucket has %v of its rate", share)
	}
	if share := e.limits.of("DescribeImages", false)[0].pace.at(time.Now()) / 1e6; share != 1 {
		t.Errorf("another action's bucket has %v of its rate", share)
	}
	e.plan(t, faults.Plan{})
	if _, err := e.Subnets(t.Context(), []string{subnetA}); err != nil {
		t.Errorf("afterwards: %v", err)
	}
}

func limits(l map[string][]Limit) option {
	return func(_ *worldConfig, o *Options) {
		for action, limit := range l {
			o.Limits[action] = limit
		}
	}
}
