package throttle

import (
	"testing"
	"time"

	testclock "k8s.io/utils/clock/testing"
)

func newThrottle(t *testing.T, s Settings) (*Throttle, *testclock.FakeClock) {
	t.Helper()
	k := testclock.NewFakeClock(time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC))
	out := New(k)
	if err := out.Set(s); err != nil {
		t.Fatal(err)
	}
	return out, k
}

// burst is how many calls go through at once.
func burst(t *Throttle, c Call) int {
	n := 0
	for n < 2000 && t.Allow(c) {
		n++
	}
	return n
}

func TestPublishedLimits(t *testing.T) {
	for _, test := range []struct {
		name         string
		call         Call
		atOnce       int
		afterASecond int
	}{
		{"launches", Call{Action: "RunInstances", Resources: 1}, 5, 2},
		{"large launches", Call{Action: "RunInstances", Resources: 400}, 2, 0},
		{"terminations", Call{Action: "TerminateInstances", Resources: 1}, 100, 5},
		{"large terminations", Call{Action: "TerminateInstances", Resources: 20}, 50, 1},
		{"tags", Call{Action: "CreateTags"}, 100, 10},
		{"listings", Call{Action: "DescribeInstances"}, 100, 20},
		{"unfiltered listings", Call{Action: "DescribeInstances", Unfiltered: true}, 50, 10},
		{"others", Call{Action: "CreateRoute"}, 50, 5},
	} {
		t.Run(test.name, func(t *testing.T) {
			throttle, clock := newThrottle(t, Settings{Scale: 1})
			if n := burst(throttle, test.call); n != test.atOnce {
				t.Errorf("%d at once, want %d", n, test.atOnce)
			}
			clock.Step(time.Second)
			if n := burst(throttle, test.call); n != test.afterASecond {
				t.Errorf("%d a second later, want %d", n, test.afterASecond)
			}
			clock.Step(time.Hour)
			if n := burst(throttle, test.call); n != test.atOnce {
				t.Errorf("%d when full again, want %d", n, test.atOnce)
			}
		})
	}
}

func TestActionsHaveBucketsOfTheirOwn(t *testing.T) {
	throttle, _ := newThrottle(t, Settings{Scale: 1})
	burst(throttle, Call{Action: "CreateRoute"})
	burst(throttle, Call{Action: "DescribeInstances", Unfiltered: true})
	for _, c := range []Call{{Action: "DeleteRoute"}, {Action: "DescribeInstances"}, {Action: "DescribeSubnets", Unfiltered: true}} {
		if !throttle.Allow(c) {
			t.Errorf("%+v is refused", c)
		}
	}
}

// A call that one bucket refuses takes nothing from the other.
func TestRefusedCallsCostNothing(t *testing.T) {
	throttle, _ := newThrottle(t, Settings{Scale: 1})
	throttle.Allow(Call{Action: "RunInstances", Resources: 1000})
	for range 10 {
		if throttle.Allow(Call{Action: "RunInstances", Resources: 1}) {
			t.Fatal("went through without tokens for resources")
		}
	}
	if n := burst(throttle, Call{Action: "RunInstances"}); n != 4 {
		t.Errorf("%d requests left, want 4", n)
	}
}

func TestSettings(t *testing.T) {
	throttle, clock := newThrottle(t, Settings{})
	if n := burst(throttle, Call{Action: "RunInstances"}); n != 2000 {
		t.Errorf("%d without limits", n)
	}
	if err := throttle.Set(Settings{Scale: 1}); err != nil {
		t.Fatal(err)
	}
	if n := burst(throttle, Call{Action: "CreateRoute"}); n != 50 {
		t.Errorf("%d at once", n)
	}
	// Half of it now: what is empty stays so, what is full has half.
	if err := throttle.Set(Settings{Scale: 0.5}); err != nil {
		t.Fatal(err)
	}
	if throttle.Allow(Call{Action: "CreateRoute"}) {
		t.Error("halving filled the bucket")
	}
	if n := burst(throttle, Call{Action: "DescribeInstances"}); n != 50 {
		t.Errorf("%d of half the limit", n)
	}
	clock.Step(2 * time.Second)
	if n := burst(throttle, Call{Action: "CreateRoute"}); n != 5 {
		t.Errorf("%d in two seconds at half the rate", n)
	}
	if err := throttle.Set(Settings{Scale: 1, Limits: map[string]Limits{"DescribeImages": {Requests: Limit{3, 1}}, "Describe": {Requests: Limit{7, 1}}}}); err != nil {
		t.Fatal(err)
	}
	if a, b := burst(throttle, Call{Action: "DescribeImages"}), burst(throttle, Call{Action: "DescribeVpcs"}); a != 3 || b != 7 {
		t.Errorf("limits of its own: %d, %d", a, b)
	}
	for _, bad := range []Settings{{Scale: -1}, {Scale: 1, Limits: map[string]Limits{"X": {Requests: Limit{-1, 0}}}}} {
		if err := throttle.Set(bad); err == nil {
			t.Errorf("%+v accepted", bad)
		}
	}
}

// The Parameter Store has buckets of its own, and only for the calls that name
// one; they are scaled with EC2's.
func TestParameterStore(t *testing.T) {
	clock := testclock.NewFakePassiveClock(time.Unix(1_800_000_000, 0))
	limits := New(clock)
	if err := limits.Set(Settings{Scale: 1}); err != nil {
		t.Fatal(err)
	}
	allowed := func(action string, calls int) int {
		n := 0
		for range calls {
			if limits.Allow(Call{Service: "ssm", Action: action}) {
				n++
			}
		}
		return n
	}
	for _, test := range []struct {
		action      string
		calls, want int
	}{{"PutParameter", 5, 3}, {"DeleteParameters", 6, 5}, {"GetParameter", 50, 40}, {"AddTagsToResource", 500, 500}} {
		if got := allowed(test.action, test.calls); got != test.want {
			t.Errorf("%s: %d of %d calls, want %d", test.action, got, test.calls, test.want)
		}
	}
	clock.SetTime(clock.Now().Add(time.Second))
	if got := allowed("PutParameter", 5); got != 3 {
		t.Errorf("after a second: %d", got)
	}
}
