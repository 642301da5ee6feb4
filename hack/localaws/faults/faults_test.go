package faults

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestJudgeCountsDown(t *testing.T) {
	var s Set
	plan := Plan{
		Errors:      []Refusal{{Action: "RunInstances", Code: "A", Count: 2}, {Action: "Describe*", Code: "B"}},
		LostReplies: []Loss{{Action: "RunInstances", Count: 1}},
		Delays:      []Delay{{Action: "*", Delay: Duration(time.Second), Count: 1}},
	}
	if err := s.Replace(plan); err != nil {
		t.Fatal(err)
	}
	type seen struct {
		Delay time.Duration
		Code  string
		Lost  bool
	}
	var got []seen
	for _, action := range []string{"RunInstances", "RunInstances", "RunInstances", "RunInstances", "DescribeImages", "DescribeImages", "CreateTags"} {
		v := s.Judge(action)
		one := seen{Delay: v.Delay, Lost: v.LoseReply}
		if v.Refusal != nil {
			one.Code = v.Refusal.Code
		}
		got = append(got, one)
	}
	want := []seen{{Delay: time.Second, Code: "A"}, {Code: "A"}, {Lost: true}, {}, {Code: "B"}, {Code: "B"}, {}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("verdicts (-want +got):\n%s", diff)
	}
	left := Plan{Errors: []Refusal{{Action: "Describe*", Code: "B"}}}
	if diff := cmp.Diff(left, s.Plan(), equateEmpty); diff != "" {
		t.Errorf("what is left (-want +got):\n%s", diff)
	}
	if plan.Errors[0].Count != 2 {
		t.Error("the caller's plan was changed")
	}
}

var equateEmpty = cmp.FilterValues(func(a, b map[string]int) bool { return len(a) == 0 && len(b) == 0 }, cmp.Ignore())

func TestDry(t *testing.T) {
	var s Set
	if s.Dry("t3.nano", "us-east-1a", "spot") {
		t.Error("the zero value is dry")
	}
	err := s.Replace(Plan{Capacity: []Dry{{InstanceType: "c5.*", Market: "spot"}, {Zone: "us-east-1b"}}})
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		instanceType, zone, market string
		want                       bool
	}{
		{"c5.large", "us-east-1a", "spot", true},
		{"c5.large", "us-east-1a", "on-demand", false},
		{"c5d.large", "us-east-1a", "spot", false},
		{"t3.nano", "us-east-1b", "on-demand", true},
	} {
		if got := s.Dry(tt.instanceType, tt.zone, tt.market); got != tt.want {
			t.Errorf("%+v: %v", tt, got)
		}
	}
}

func TestReplaceRefuses(t *testing.T) {
	for name, p := range map[string]Plan{
		"bad pattern":    {Capacity: []Dry{{InstanceType: "["}}},
		"negative count": {LostReplies: []Loss{{Action: "*", Count: -1}}},
		"no code":        {Errors: []Refusal{{Action: "*"}}},
		"no action":      {Errors: []Refusal{{Code: "X"}}},
	} {
		var s Set
		if err := s.Replace(p); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

func TestPlanJSON(t *testing.T) {
	const doc = `{"vcpuLimits":{"spot":0},"delays":[{"action":"*","delay":"1.5s"}]}`
	var p Plan
	if err := json.Unmarshal([]byte(doc), &p); err != nil {
		t.Fatal(err)
	}
	out, err := json.Marshal(p)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(doc, string(out)); diff != "" {
		t.Errorf("round trip (-want +got):\n%s", diff)
	}
	var s Set
	if err := s.Replace(p); err != nil {
		t.Fatal(err)
	}
	if limit, ok := s.VCPULimit("spot"); !ok || limit != 0 {
		t.Errorf("spot quota %d, %v", limit, ok)
	}
	if _, ok := s.VCPULimit("on-demand"); ok {
		t.Error("a quota nobody set")
	}
	if json.Unmarshal([]byte(`{"delays":[{"delay":5}]}`), &p) == nil || json.Unmarshal([]byte(`{"delays":[{"delay":"soon"}]}`), &p) == nil {
		t.Error("a delay that is no duration was accepted")
	}
}

// TestPercent: of many calls about that many are spoilt, and with the same seed the same ones.
func TestPercent(t *testing.T) {
	spoilt := func(seed uint64) (out []bool, count int) {
		var s Set
		if err := s.Replace(Plan{Seed: seed, LostReplies: []Loss{{Action: "RunInstances", Percent: 20}}}); err != nil {
			t.Fatal(err)
		}
		for range 1000 {
			lost := s.Judge("RunInstances").LoseReply
			if out = append(out, lost); lost {
				count++
			}
		}
		return out, count
	}
	first, count := spoilt(1)
	if count < 150 || count > 250 {
		t.Errorf("%d of 1000 replies are lost", count)
	}
	if again, _ := spoilt(1); !cmp.Equal(first, again) {
		t.Error("the same seed spoils other calls")
	}
	if other, _ := spoilt(2); cmp.Equal(first, other) {
		t.Error("another seed spoils the same calls")
	}
	var s Set
	if s.Replace(Plan{Delays: []Delay{{Action: "*", Percent: 101}}}) == nil {
		t.Error("101 per cent are accepted")
	}
}

func TestLate(t *testing.T) {
	var s Set
	if err := s.Replace(Plan{Delays: []Delay{{Action: "*", Delay: Duration(time.Second), Late: true}}}); err != nil {
		t.Fatal(err)
	}
	if v := s.Judge("RunInstances"); v.Delay != 0 || v.Late != time.Second {
		t.Errorf("verdict %+v", v)
	}
}
