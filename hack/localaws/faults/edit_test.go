package faults

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestAdd(t *testing.T) {
	var s Set
	for _, p := range []Plan{
		{Capacity: []Dry{{InstanceType: "m5.*"}}, Quotas: []Quota{{"standard", "spot", 8}, {"g", "spot", 4}}},
		{Capacity: []Dry{{Zone: "us-east-1a"}}, Quotas: []Quota{{"standard", "spot", 16}}, VCPULimits: map[string]int{"spot": 3}, FullSubnets: []string{"subnet-1*"}},
		{Errors: []Refusal{{Action: "RunInstances", Code: "X", Count: 1}}},
	} {
		if err := s.Add(p); err != nil {
			t.Fatal(err)
		}
	}
	want := Plan{
		Capacity: []Dry{{InstanceType: "m5.*"}, {Zone: "us-east-1a"}}, Quotas: []Quota{{"g", "spot", 4}, {"standard", "spot", 16}},
		VCPULimits: map[string]int{"spot": 3}, FullSubnets: []string{"subnet-1*"}, Errors: []Refusal{{Action: "RunInstances", Code: "X", Count: 1}},
	}
	if diff := cmp.Diff(want, s.Plan()); diff != "" {
		t.Errorf("plan (-want +got):\n%s", diff)
	}
	if n, ok := s.GroupLimit("standard", "spot"); !ok || n != 16 {
		t.Errorf("quota %d, %v", n, ok)
	}
	if _, ok := s.GroupLimit("standard", "on-demand"); ok {
		t.Error("a quota that nobody set")
	}
	if !s.Full("subnet-12") || s.Full("subnet-2") {
		t.Error("the wrong subnets are full")
	}
	if n := s.Unlimit("standard", ""); n != 1 {
		t.Errorf("%d quotas taken away", n)
	}
	if _, ok := s.GroupLimit("standard", "spot"); ok {
		t.Error("the quota is still there")
	}
	if n := s.Unlimit("", ""); n != 1 {
		t.Errorf("%d quotas taken away", n)
	}
}

func TestWet(t *testing.T) {
	for _, test := range []struct {
		wet  Dry
		left int
	}{
		{Dry{}, 0}, {Dry{InstanceType: "m5.*"}, 2}, {Dry{InstanceType: "m5.large"}, 3}, {Dry{InstanceType: "*", Zone: "us-east-1a"}, 2},
		{Dry{Market: "spot"}, 3}, {Dry{InstanceType: "t3.nano"}, 4},
	} {
		var s Set
		plan := Plan{Capacity: []Dry{{InstanceType: "m5.large", Zone: "us-east-1a"}, {InstanceType: "m5.*", Market: "spot"}, {InstanceType: "c5.large", Zone: "us-east-1a"}, {Zone: "us-east-1b"}}}
		if err := s.Add(plan); err != nil {
			t.Fatal(err)
		}
		if n, err := s.Wet(test.wet); err != nil || len(s.Plan().Capacity) != test.left || n != 4-test.left {
			t.Errorf("%+v: took %d, left %+v, %v", test.wet, n, s.Plan().Capacity, err)
		}
	}
	var s Set
	if _, err := s.Wet(Dry{Zone: "["}); err == nil {
		t.Error("a pattern that is none is accepted")
	}
}

func TestQuotasAndSubnetsRefuse(t *testing.T) {
	for name, p := range map[string]Plan{
		"group": {Quotas: []Quota{{"m5", "spot", 1}}}, "market": {Quotas: []Quota{{"g", "flea", 1}}}, "negative": {Quotas: []Quota{{"g", "spot", -1}}},
		"subnet": {FullSubnets: []string{"["}}, "empty subnet": {FullSubnets: []string{""}},
	} {
		var s Set
		if s.Add(p) == nil || s.Replace(p) == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}
