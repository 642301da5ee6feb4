package catalogue

import (
	"slices"
	"testing"
	"time"

	"kip.elotl.co/internal/cloud"
	"kip.elotl.co/internal/selection"
)

// A quota that has no room for a large type may have some for a small one.
func TestQuotaHasRoomForLess(t *testing.T) {
	c, clock := newCapacity()
	large, medium, small := sized("m5.24xlarge", 96), sized("c5.2xlarge", 8), sized("r5.large", 2)
	want := func(when string, dry ...selection.Offering) {
		t.Helper()
		for _, o := range []selection.Offering{large, medium, small} {
			if got := c.dryNow(o); got != slices.Contains(dry, o) {
				t.Errorf("%s: %s is dry: %v", when, o.InstanceType, got)
			}
		}
	}
	c.Claim(large, me)
	c.Failed(large, cloud.KindQuota, me)
	want("96 vCPUs were refused", large)
	if !c.Claim(small, another) {
		t.Error("a small type is not to be had")
	}
	c.Launched(small, 50, another)
	want("2 vCPUs were launched", large)
	clock.Step(DryAtFirst - time.Second)
	c.Claim(medium, me)
	c.Failed(medium, cloud.KindQuota, me)
	want("8 vCPUs were refused", large, medium)
	clock.Step(DryAtFirst - time.Second)
	want("8 vCPUs were refused just now", large, medium)
	clock.Step(time.Second)
	want("the time is over")
	if !c.Claim(medium, me) {
		t.Error("the quota is not probed")
	}
	want("8 vCPUs are probed", large, medium)
	c.Launched(medium, 50, me)
	want("8 vCPUs were launched")
	c.Claim(medium, me)
	c.Failed(medium, cloud.KindQuota, me)
	clock.Step(DryAtFirst)
	c.Claim(large, me)
	c.Failed(large, cloud.KindQuota, me)
	want("96 were refused after the time of 8 was over", large)
}

// A launch of a small type says nothing of a probe with a larger one.
func TestQuotaProbeOfALargerType(t *testing.T) {
	c, clock := newCapacity()
	large, small := sized("m5.24xlarge", 96), sized("r5.large", 2)
	c.Claim(small, another)
	c.Failed(large, cloud.KindQuota, me)
	clock.Step(DryAtFirst)
	c.Claim(large, me)
	c.Launched(small, 50, another)
	if c.Claim(large, another) {
		t.Error("the probe was ended by the launch of a smaller type")
	}
	c.Failed(small, cloud.KindQuota, another)
	if !c.dryNow(small) || c.Claim(large, another) {
		t.Error("the refusal of a smaller type is not kept, or ends the probe")
	}
	c.Released(me)
	if c.dryNow(large) {
		t.Error("a probe that was given back leaves the quota dry")
	}
}

func TestQuotaGroups(t *testing.T) {
	for group, types := range map[string][]string{
		"standard": {"a1.large", "c5.large", "d3en.xlarge", "h1.2xlarge", "i4i.large", "im4gn.large", "is4gen.large", "m7g.medium", "r5.large",
			"t3.nano", "t4g.nano", "z1d.large"},
		"f": {"f1.2xlarge", "f2.6xlarge"}, "g-vt": {"g4dn.xlarge", "g5g.xlarge", "gr6.4xlarge", "vt1.3xlarge"}, "inf": {"inf2.xlarge"},
		"trn": {"trn1.2xlarge"}, "p": {"p3.2xlarge", "p4d.24xlarge"}, "x": {"x1e.xlarge", "x2gd.medium"}, "dl": {"dl1.24xlarge", "dl2q.24xlarge"},
		"hpc": {"hpc6a.48xlarge"}, "high-memory": {"u-6tb1.metal", "u7i-12tb.224xlarge", "u7in-16tb.224xlarge"}, "mac": {"mac2.metal"},
	} {
		for _, name := range types {
			for _, market := range []selection.Market{selection.OnDemand, selection.Spot} {
				if got := quotaOf(name, market); got != group {
					t.Errorf("%s (%s): %s, want %s", name, market.LaunchType(), got, group)
				}
			}
		}
	}
	if p5, p4 := quotaOf("p5.48xlarge", selection.Spot), quotaOf("p4d.24xlarge", selection.Spot); p5 == p4 {
		t.Error("p5 has a Spot quota of its own")
	}
}
