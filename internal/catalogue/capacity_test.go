package catalogue

import (
	"sync"
	"sync/atomic"
	"testing"
	"time"

	clocktesting "k8s.io/utils/clock/testing"

	"kip.elotl.co/internal/cloud"
	"kip.elotl.co/internal/selection"
)

func newCapacity() (*Capacity, *clocktesting.FakeClock) {
	clock := clocktesting.NewFakeClock(time.Unix(1e9, 0))
	return NewCapacity(clock), clock
}

func offering(instanceType, zone string, market selection.Market) selection.Offering {
	return selection.Offering{InstanceType: instanceType, Zone: zone, SubnetID: "subnet-" + zone, Market: market}
}

func (c *Capacity) dryNow(o selection.Offering) bool { return c.Dry(o.InstanceType, o.Zone, o.Market) }

func TestWhatIsDryAndWhatIsNot(t *testing.T) {
	m5a := offering("m5.large", "a", selection.OnDemand)
	others := map[string]selection.Offering{
		"another zone":   offering("m5.large", "b", selection.OnDemand),
		"another market": offering("m5.large", "a", selection.Spot),
		"another type":   offering("c5.large", "a", selection.OnDemand),
		"another quota":  offering("p4d.24xlarge", "a", selection.OnDemand),
	}
	for name, test := range map[string]struct {
		kind   cloud.Kind
		itself bool
		dry    []string
		subnet bool
	}{
		"capacity":  {kind: cloud.KindCapacity, itself: true},
		"quota":     {kind: cloud.KindQuota, itself: true, dry: []string{"another zone", "another type"}},
		"addresses": {kind: cloud.KindSubnetFull, subnet: true},
		"a limit":   {kind: cloud.KindLimit},
	} {
		c, _ := newCapacity()
		if !c.Claim(m5a) {
			t.Fatalf("%s: not to be had from the start", name)
		}
		c.Failed(m5a, test.kind)
		if got := c.dryNow(m5a); got != test.itself {
			t.Errorf("%s: dry is %v", name, got)
		}
		if got := c.Claim(m5a); got == (test.itself || test.subnet) {
			t.Errorf("%s: claimed: %v", name, got)
		}
		if free := c.Free(selection.Subnet{ID: "subnet-a", Free: 50}); (free == 0) != test.subnet {
			t.Errorf("%s: %d free addresses", name, free)
		}
		dry := map[string]bool{}
		for _, other := range test.dry {
			dry[other] = true
		}
		for other, o := range others {
			if c.dryNow(o) != dry[other] {
				t.Errorf("%s: %s is dry: %v", name, other, c.dryNow(o))
			}
		}
	}
}

// Each probe that fails doubles the time, from 1 to 30 minutes.
func TestDryTimeDoubles(t *testing.T) {
	c, clock := newCapacity()
	o := offering("m5.large", "a", selection.OnDemand)
	for i, minutes := range []int{1, 2, 4, 8, 16, 30, 30} {
		if !c.Claim(o) {
			t.Fatalf("probe %d is not let through", i)
		}
		c.Failed(o, cloud.KindCapacity)
		clock.Step(time.Duration(minutes)*time.Minute - time.Second)
		if !c.dryNow(o) || c.Claim(o) {
			t.Errorf("after failure %d it is not left alone for %d minutes", i+1, minutes)
		}
		clock.Step(time.Second)
		if c.dryNow(o) {
			t.Errorf("after failure %d it is left alone for more than %d minutes", i+1, minutes)
		}
	}
	clock.Step(forgetAfter + time.Second)
	c.Claim(o)
	c.Failed(o, cloud.KindCapacity)
	clock.Step(DryAtFirst)
	if c.dryNow(o) {
		t.Error("what was long ago still counts")
	}
}

// A hundred launches that fail together are one sign, not a hundred.
func TestFailuresAtOnceCountOnce(t *testing.T) {
	c, clock := newCapacity()
	o := offering("m5.large", "a", selection.OnDemand)
	for range 100 {
		c.Claim(o)
	}
	for range 100 {
		c.Failed(o, cloud.KindCapacity)
	}
	clock.Step(DryAtFirst)
	if c.dryNow(o) {
		t.Error("they counted more than once")
	}
}

func TestOneProbeAtATime(t *testing.T) {
	c, clock := newCapacity()
	o := offering("m5.large", "a", selection.OnDemand)
	dry := func() {
		c.Failed(o, cloud.KindCapacity)
		clock.Step(dryAtMost)
	}
	claimed := func() int {
		var claims atomic.Int32
		var running sync.WaitGroup
		for range 50 {
			running.Go(func() {
				if c.Claim(o) {
					claims.Add(1)
				}
			})
		}
		running.Wait()
		return int(claims.Load())
	}
	dry()
	if n := claimed(); n != 1 || !c.dryNow(o) {
		t.Errorf("%d probe at once, and the others see it dry: %v", n, c.dryNow(o))
	}
	c.Released(o)
	if n := claimed(); n != 1 {
		t.Errorf("%d probes after one was given back", n)
	}
	clock.Step(probeTime)
	if n := claimed(); n != 1 {
		t.Errorf("%d probes after one was never heard of again", n)
	}
	c.Launched(o, 50)
	if n := claimed(); n != 50 {
		t.Errorf("%d of 50 after a probe that gave an instance", n)
	}
}

// A probe of an offering whose quota is probed as well gives both back.
func TestProbeOfSeveralPools(t *testing.T) {
	c, clock := newCapacity()
	o, sibling := offering("m5.large", "a", selection.Spot), offering("c5.large", "b", selection.Spot)
	c.Failed(o, cloud.KindCapacity)
	c.Failed(o, cloud.KindQuota)
	clock.Step(DryAtFirst)
	if !c.Claim(o) || !c.dryNow(sibling) {
		t.Error("the quota is not probed by one alone")
	}
	c.Failed(o, cloud.KindCapacity)
	if c.dryNow(sibling) || !c.dryNow(o) {
		t.Errorf("the quota, which was not the reason, is left alone: %v; the offering: %v", c.dryNow(sibling), c.dryNow(o))
	}
}

func TestFreeAddresses(t *testing.T) {
	c, clock := newCapacity()
	o := offering("m5.large", "a", selection.OnDemand)
	free := func(counted int) int { return c.Free(selection.Subnet{ID: o.SubnetID, Free: counted}) }
	for range 3 {
		c.Launched(o, 10)
	}
	if got := free(10); got != 4 {
		t.Errorf("after three launches: %d", got)
	}
	for range 100 {
		c.Launched(o, 10)
	}
	if got := free(10); got != addressesPerCell {
		t.Errorf("only the cloud knows that it is full, but %d", got)
	}
	if got := free(9); got != 9 {
		t.Errorf("counted anew: %d", got)
	}
	c.Launched(o, 1)
	if got := free(1); got != 1 {
		t.Errorf("of one that was counted: %d", got)
	}
	c.Launched(o, 10)
	clock.Step(countAge)
	if got := free(10); got != 10 {
		t.Errorf("counted anew with the same result: %d", got)
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
