package aws

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"kip.elotl.co/hack/localaws/faults"
	"kip.elotl.co/internal/cloud"
)

// taking measures how long n callers at once wait for a bucket altogether.
func taking(t *testing.T, b *bucket, n int, resources float64) time.Duration {
	t.Helper()
	start := time.Now()
	parallel(n, func(int) {
		if err := b.take(t.Context(), resources); err != nil {
			t.Error(err)
		}
	})
	return time.Since(start)
}

func wantAbout(t *testing.T, what string, got, want time.Duration) {
	t.Helper()
	if got < want-time.Millisecond || got > want+want/50+time.Millisecond {
		t.Errorf("%s took %v, want %v", what, got, want)
	}
}

func TestBucket(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBucket(Limit{Burst: 5, PerSecond: 2})
		wantAbout(t, "the burst", taking(t, b, 5, 1), 0)
		wantAbout(t, "what goes beyond", taking(t, b, 10, 1), 5*time.Second)
		time.Sleep(time.Minute)
		wantAbout(t, "the burst after a pause", taking(t, b, 5, 1), 0)
		wantAbout(t, "the next", taking(t, b, 1, 1), 500*time.Millisecond)
	})
}

func TestBucketOfResources(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBucket(Limit{Burst: 1000, PerSecond: 20, Resources: true})
		wantAbout(t, "ten calls for 100", taking(t, b, 10, 100), 0)
		wantAbout(t, "one more", taking(t, b, 1, 100), 5*time.Second)
		wantAbout(t, "more than the bucket holds", taking(t, b, 1, 5000), 50*time.Second)
	})
}

func TestBucketServesInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBucket(Limit{Burst: 100, PerSecond: 1, Resources: true})
		taking(t, b, 1, 100)
		var order []int
		done := make(chan int, 2)
		for i, resources := range []float64{50, 1} {
			go func() {
				if err := b.take(t.Context(), resources); err != nil {
					t.Error(err)
				}
				done <- i
			}()
			synctest.Wait()
		}
		order = append(order, <-done, <-done)
		if order[0] != 0 {
			t.Errorf("served in the order %v", order)
		}
	})
}

func TestBucketWaitsUnderTheCallersContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBucket(Limit{Burst: 1, PerSecond: 1.0 / 3600})
		taking(t, b, 1, 1)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		start := time.Now()
		// One waits for tokens, the other for its turn.
		parallel(2, func(int) {
			if err := b.take(ctx, 1); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("%v", err)
			}
		})
		wantAbout(t, "giving up", time.Since(start), time.Second)
	})
}

func TestBucketSlowsDownAndRecovers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBucket(Limit{Burst: 100, PerSecond: 100})
		parallel(50, func(int) { b.slowDown() }) // one burst of refusals counts once
		if got := b.shareAt(time.Now()); got != 0.5 {
			t.Errorf("share %v after the first refusals", got)
		}
		wantAbout(t, "a call from the emptied bucket", taking(t, b, 1, 1), 20*time.Millisecond)
		for range 100 {
			time.Sleep(2 * halvingPause)
			b.slowDown()
		}
		if got := b.shareAt(time.Now()); got < leastShare || got > 2*leastShare+0.04 {
			t.Errorf("share %v after a hundred refusals", got)
		}
		time.Sleep(recovery)
		if got := b.shareAt(time.Now()); got != 1 {
			t.Errorf("share %v after %v of peace", got, recovery)
		}
	})
}

func TestLimitsOfActions(t *testing.T) {
	l := newLimiter(map[string][]Limit{"RunInstances": {{Burst: 50, PerSecond: 20}}, "CreateTags": nil})
	for action, want := range map[string][]Limit{
		"RunInstances":       {{Burst: 50, PerSecond: 20}},
		"CreateTags":         {},
		"TerminateInstances": {{Burst: 100, PerSecond: 5}, {Burst: 1000, PerSecond: 20, Resources: true}},
		"DescribeImages":     {{Burst: 100, PerSecond: 20}},
		"ModifyVolume":       {{Burst: 50, PerSecond: 5}},
	} {
		got := l.of(action)
		if len(got) != len(want) {
			t.Errorf("%s: %d buckets, want %d", action, len(got), len(want))
			continue
		}
		for i, b := range got {
			if b.Limit != want[i] {
				t.Errorf("%s: %+v, want %+v", action, b.Limit, want[i])
			}
		}
	}
	images := l.of("DescribeImages")[0]
	if again := l.of("DescribeImages")[0]; images != again || images == l.of("DescribeSubnets")[0] {
		t.Error("actions must have buckets of their own, and keep them")
	}
	if buckets := newLimiter(Unlimited()).of("RunInstances"); len(buckets) != 0 {
		t.Errorf("unlimited: %d buckets", len(buckets))
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
	e := newEmulator(t, limits(map[string][]Limit{"Describe": {{Burst: 1e6, PerSecond: 1e6}}}))
	e.plan(t, faults.Plan{Errors: []faults.Refusal{{Action: "DescribeSubnets", Code: "RequestLimitExceeded"}}})
	_, err := e.Subnets(t.Context(), []string{subnetA})
	wantKind(t, err, cloud.KindThrottled, "ec2:DescribeSubnets", "RequestLimitExceeded")
	if got := len(e.calls("DescribeSubnets")); got != attempts {
		t.Errorf("%d calls, want %d", got, attempts)
	}
	if share := e.limits.of("DescribeSubnets")[0].shareAt(time.Now()); share > 0.6 {
		t.Errorf("the bucket has %v of its rate", share)
	}
	if share := e.limits.of("DescribeImages")[0].shareAt(time.Now()); share != 1 {
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
