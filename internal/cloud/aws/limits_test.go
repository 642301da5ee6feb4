package aws

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
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
		wantAbout(t, "the burst", taking(t, b, 3, 1), 0) // two may come in at EC2 a second late
		wantAbout(t, "what goes beyond", taking(t, b, 10, 1), 5*time.Second)
		time.Sleep(time.Minute)
		wantAbout(t, "the burst after a pause", taking(t, b, 3, 1), 0)
		wantAbout(t, "the next", taking(t, b, 1, 1), 500*time.Millisecond)
	})
}

func TestBucketOfResources(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBucket(Limit{Burst: 1000, PerSecond: 20, Resources: true})
		wantAbout(t, "980", taking(t, b, 10, 98), 0)
		wantAbout(t, "100 more", taking(t, b, 1, 100), 5*time.Second)
		wantAbout(t, "more than the bucket holds", taking(t, b, 1, 5000), 49*time.Second)
		wantAbout(t, "one after that", taking(t, b, 1, 1), (5000-980+1)*time.Second/20)
	})
}

func TestBucketServesInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBucket(Limit{Burst: 101, PerSecond: 1, Resources: true})
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
		b := newBucket(Limit{Burst: 100, PerSecond: 50})
		sent := time.Now()
		time.Sleep(time.Second)
		parallel(50, func(int) { b.throttled(sent) }) // one burst of refusals counts once
		if got := b.pace.at(time.Now()); got != 25 {
			t.Errorf("%v a second after the first refusals", got)
		}
		wantAbout(t, "a call from the emptied bucket", taking(t, b, 1, 1), 40*time.Millisecond)
		for range 100 {
			time.Sleep(time.Millisecond)
			b.throttled(time.Now())
			time.Sleep(time.Millisecond)
		}
		if got := b.pace.at(time.Now()); got < 50*leastShare || got > 2*50*leastShare {
			t.Errorf("%v a second after a hundred refusals", got)
		}
		time.Sleep(time.Hour)
		if got := b.pace.at(time.Now()); got != 50 {
			t.Errorf("%v a second after an hour of peace", got)
		}
	})
}

// One refusal costs little: the rate is back within seconds.
func TestOneRefusalIsSoonForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBucket(Limit{Burst: 100, PerSecond: 50})
		time.Sleep(time.Second)
		b.throttled(time.Now())
		time.Sleep(settle)
		if got := b.pace.at(time.Now()); got != 50 {
			t.Errorf("%v a second, %v later", got, settle)
		}
	})
}

// Nothing is measured while nobody calls: a burst after a pause that EC2 finds
// too large does not make the rate what it was during the pause.
func TestPausesAreNotMeasured(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBucket(Limit{Burst: 100, PerSecond: 50})
		time.Sleep(time.Second)
		b.throttled(time.Now())
		time.Sleep(time.Minute)
		taking(t, b, 10, 1)
		time.Sleep(time.Millisecond)
		b.throttled(time.Now())
		time.Sleep(settle)
		if got := b.pace.at(time.Now()); got != 50 {
			t.Errorf("%v a second", got)
		}
	})
}

func TestParseLimits(t *testing.T) {
	resources := func(burst, perSecond float64) Limit {
		return Limit{Burst: burst, PerSecond: perSecond, Resources: true}
	}
	changed := func(change func(map[string][]Limit)) map[string][]Limit {
		limits := DefaultLimits()
		change(limits)
		return limits
	}
	for s, want := range map[string]map[string][]Limit{
		"published": DefaultLimits(),
		"none":      Unlimited(),
		"RunInstances=5/2,Describe=100/20": changed(func(l map[string][]Limit) {
			l["RunInstances"] = []Limit{resources(1000, 2), {Burst: 5, PerSecond: 2}}
		}),
		"RunInstances.resources=500/20, RunInstances=50/20.5": changed(func(l map[string][]Limit) {
			l["RunInstances"] = []Limit{resources(500, 20), {Burst: 50, PerSecond: 20.5}}
		}),
		"DescribeImages=none,TerminateInstances.resources=none,Mutate=1/0.5": changed(func(l map[string][]Limit) {
			l["DescribeImages"] = []Limit{}
			l["TerminateInstances"] = []Limit{{Burst: 100, PerSecond: 5}}
			l[Mutations] = []Limit{{Burst: 1, PerSecond: 0.5}}
		}),
	} {
		got, err := ParseLimits(s)
		if err != nil {
			t.Errorf("%s: %v", s, err)
		}
		if diff := cmp.Diff(want, got, cmpopts.EquateEmpty()); diff != "" {
			t.Errorf("%s (-want +got):\n%s", s, diff)
		}
	}
}

func TestMalformedLimits(t *testing.T) {
	for s, want := range map[string]string{
		"":                                  "published, none, or a list",
		"Published":                         `"Published" is none of the actions`,
		"RunInstance=5/2":                   `"RunInstance" is none of the actions, which are`,
		"RunInstances":                      "such as 5/2",
		"RunInstances=":                     "such as 5/2",
		"RunInstances=5":                    "such as 5/2",
		"RunInstances=5/2/1":                "such as 5/2",
		"RunInstances=5/0":                  "such as 5/2",
		"RunInstances=0.5/2":                "such as 5/2",
		"RunInstances=NaN/2":                "such as 5/2",
		"RunInstances=5/Inf":                "such as 5/2",
		"RunInstances=-5/2":                 "such as 5/2",
		"RunInstances=5/2,,Describe=100/20": `"" is none of the actions`,
		"RunInstances=5/2,RunInstances=6/2": "RunInstances is there twice",
		"Describe=5/2,published":            `"published" is none of the actions`,
	} {
		if limits, err := ParseLimits(s); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, %v", s, limits, err)
		}
	}
}

func FuzzParseLimits(f *testing.F) {
	f.Add("RunInstances.resources=500/20, RunInstances=50/20.5")
	f.Fuzz(func(t *testing.T, s string) {
		limits, err := ParseLimits(s)
		if err != nil {
			return
		}
		for action, list := range limits {
			for _, l := range list {
				if !(l.Burst >= 1 && l.PerSecond > 0) {
					t.Errorf("%s: %+v", action, l)
				}
			}
		}
	})
}
