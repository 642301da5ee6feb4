package catalogue

import (
	"slices"
	"testing"
	"time"

	clocktesting "k8s.io/utils/clock/testing"

	"kip.elotl.co/internal/cloud"
	"kip.elotl.co/internal/selection"
)

const (
	refusedCode = "Unsupported"
	refusedText = "The requested configuration is currently not supported."
)

// classes gives what is known for two classes, and for the first one after a change.
func classes() (one, changed, other World, clock *clocktesting.FakeClock) {
	clock = clocktesting.NewFakeClock(time.Unix(1e9, 0))
	c := NewCapacity(clock)
	return c.For(Hardware{Class: "one", Generation: 1}), c.For(Hardware{Class: "one", Generation: 2}), c.For(Hardware{Class: "other", Generation: 1}), clock
}

func TestTypeRefusesConfiguration(t *testing.T) {
	one, changed, other, clock := classes()
	refused := offering("m5.large", "a", selection.OnDemand)
	one.Refused(refused, refusedCode, refusedText, me)
	for name, test := range map[string]struct {
		world World
		of    selection.Offering
		dry   bool
	}{
		"itself":         {one, refused, true},
		"another zone":   {one, offering("m5.large", "b", selection.OnDemand), true},
		"another market": {one, offering("m5.large", "b", selection.Spot), true},
		"another type":   {one, offering("c5.large", "a", selection.OnDemand), false},
		"when changed":   {changed, refused, false},
		"another class":  {other, refused, false},
	} {
		if got := test.world.dryNow(test.of); got != test.dry || test.world.Claim(test.of, another) == test.dry {
			t.Errorf("%s: dry %v", name, got)
		}
	}
	clock.Step(refusedAtFirst)
	if one.dryNow(refused) || !one.Claim(refused, me) {
		t.Error("it is never tried again")
	}
}

// TestConfigurationThatNoTypeTakes: after some have refused it in a row, the
// class asks for one at a time, less and less often, until one takes it.
func TestConfigurationThatNoTypeTakes(t *testing.T) {
	one, changed, other, clock := classes()
	for i, name := range []string{"a.1", "b.1", "b.1", "c.1"} {
		if refusal, _ := one.Refusal(); refusal.Retry > 0 {
			t.Fatalf("stopped after %d refusals: %+v", i, refusal)
		}
		one.Refused(offering(name, "a", selection.OnDemand), refusedCode, refusedText, me)
	}
	refusal, any := one.Refusal()
	if !any || refusal.Code != refusedCode || refusal.Message != refusedText || refusal.Retry != DryAtFirst || !slices.Equal(refusal.Types, []string{"a.1", "b.1", "c.1"}) {
		t.Errorf("%+v", refusal)
	}
	next := offering("d.1", "a", selection.OnDemand)
	if !one.dryNow(next) || other.dryNow(next) || changed.dryNow(next) {
		t.Error("all types are to be left alone by this class in this generation")
	}
	if _, any := changed.Refusal(); any {
		t.Error("a change of the class does not count")
	}
	clock.Step(DryAtFirst)
	if !one.Claim(next, me) || one.Claim(offering("e.1", "a", selection.OnDemand), another) {
		t.Error("not just one tries again")
	}
	one.Refused(next, refusedCode, refusedText, me)
	if refusal, _ := one.Refusal(); refusal.Retry != 2*DryAtFirst {
		t.Errorf("%+v", refusal)
	}
	clock.Step(2 * DryAtFirst)
	last := offering("e.1", "a", selection.OnDemand)
	if !one.Claim(last, me) {
		t.Fatal("nobody may try")
	}
	one.Launched(last, 10, me)
	if refusal, any := one.Refusal(); any || one.dryNow(last) || !one.dryNow(next) {
		t.Errorf("after a launch: %+v", refusal)
	}
}

func TestOtherReasonsBeginAnew(t *testing.T) {
	one, _, _, _ := classes()
	for name, code := range map[string]string{"a.1": "A", "b.1": "B", "c.1": "C", "d.1": "D"} {
		one.Refused(offering(name, "a", selection.OnDemand), code, refusedText, me)
	}
	if refusal, any := one.Refusal(); !any || refusal.Retry != 0 || len(refusal.Types) != 1 {
		t.Errorf("%+v", refusal)
	}
}

func TestClassesAreForgotten(t *testing.T) {
	one, changed, _, _ := classes()
	one.Refused(offering("a.1", "a", selection.OnDemand), refusedCode, refusedText, me)
	one.Failed(offering("a.1", "a", selection.Spot), cloud.KindPrice, me)
	changed.Refused(offering("a.1", "a", selection.OnDemand), refusedCode, refusedText, me)
	if len(one.dry) != 1 {
		t.Errorf("of an earlier generation: %+v", one.dry)
	}
	one.Forget("one")
	if len(one.dry) != 0 || len(one.refusals) != 0 {
		t.Errorf("%+v, %+v", one.dry, one.refusals)
	}
}

// TestPriceAboveTheLimit is about one class's offering: others may pay more.
func TestPriceAboveTheLimit(t *testing.T) {
	one, changed, other, clock := classes()
	spot := offering("m5.large", "a", selection.Spot)
	one.Failed(spot, cloud.KindPrice, me)
	if !one.dryNow(spot) || other.dryNow(spot) || changed.dryNow(spot) || one.dryNow(offering("m5.large", "b", selection.Spot)) || one.dryNow(offering("m5.large", "a", selection.OnDemand)) {
		t.Error("just the offering is to be left alone, by the class alone")
	}
	clock.Step(DryAtFirst)
	if one.dryNow(spot) {
		t.Error("it is never tried again")
	}
}
