package catalogue

import (
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/types"
	clocktesting "k8s.io/utils/clock/testing"

	"kip.elotl.co/internal/cloud"
	"kip.elotl.co/internal/selection"
)

func newCapacity() (World, *clocktesting.FakeClock) {
	clock := clocktesting.NewFakeClock(time.Unix(1e9, 0))
	return NewCapacity(clock).For(Hardware{}), clock
}

// The cells that claim.
const (
	me      types.UID = "me"
	another types.UID = "another"
)

func offering(instanceType, zone string, market selection.Market) selection.Offering {
	return selection.Offering{InstanceType: instanceType, Zone: zone, SubnetID: "subnet-" + zone, Market: market}
}

// sized is an offering of a type with so many vCPUs.
func sized(instanceType string, vCPUs int64) selection.Offering {
	o := offering(instanceType, "a", selection.OnDemand)
	o.VCPUs = vCPUs
	return o
}

func (w World) dryNow(o selection.Offering) bool {
	return w.Dry(&selection.Type{Name: o.InstanceType, MilliCPU: o.VCPUs * 1000}, o.Zone, o.Market)
}

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
		"volumes":   {kind: cloud.KindVolume, itself: true, dry: []string{"another market", "another type", "another quota"}},
		"a limit":   {kind: cloud.KindLimit},
	} {
		c, _ := newCapacity()
		if !c.Claim(m5a, me) {
			t.Fatalf("%s: not to be had from the start", name)
		}
		c.Failed(m5a, test.kind, me)
		if got := c.dryNow(m5a); got != test.itself {
			t.Errorf("%s: dry is %v", name, got)
		}
		if got := c.Claim(m5a, me); got == (test.itself || test.subnet) {
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
		if !c.Claim(o, me) {
			t.Fatalf("probe %d is not let through", i)
		}
		c.Failed(o, cloud.KindCapacity, me)
		clock.Step(time.Duration(minutes)*time.Minute - time.Second)
		if !c.dryNow(o) || c.Claim(o, me) {
			t.Errorf("after failure %d it is not left alone for %d minutes", i+1, minutes)
		}
		clock.Step(time.Second)
		if c.dryNow(o) {
			t.Errorf("after failure %d it is left alone for more than %d minutes", i+1, minutes)
		}
	}
	clock.Step(forgetAfter + time.Second)
	c.Claim(o, me)
	c.Failed(o, cloud.KindCapacity, me)
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
		c.Claim(o, me)
	}
	for range 100 {
		c.Failed(o, cloud.KindCapacity, me)
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
		c.Failed(o, cloud.KindCapacity, me)
		clock.Step(dryAtMost)
	}
	claimed := func() int {
		var claims atomic.Int32
		var running sync.WaitGroup
		for range 50 {
			running.Go(func() {
				if c.Claim(o, me) {
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
	c.Released(me)
	if n := claimed(); n != 1 {
		t.Errorf("%d probes after one was given back", n)
	}
	clock.Step(probeTime)
	if n := claimed(); n != 1 {
		t.Errorf("%d probes after one was never heard of again", n)
	}
	c.Launched(o, 50, me)
	if n := claimed(); n != 50 {
		t.Errorf("%d of 50 after a probe that gave an instance", n)
	}
}

// A probe of an offering whose quota is probed as well gives both back.
func TestProbeOfSeveralPools(t *testing.T) {
	c, clock := newCapacity()
	o, sibling := offering("m5.large", "a", selection.Spot), offering("c5.large", "b", selection.Spot)
	c.Failed(o, cloud.KindCapacity, me)
	c.Failed(o, cloud.KindQuota, me)
	clock.Step(DryAtFirst)
	if !c.Claim(o, me) || !c.dryNow(sibling) {
		t.Error("the quota is not probed by one alone")
	}
	c.Failed(o, cloud.KindCapacity, me)
	if c.dryNow(sibling) || !c.dryNow(o) {
		t.Errorf("the quota, which was not the reason, is left alone: %v; the offering: %v", c.dryNow(sibling), c.dryNow(o))
	}
}

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

// What comes of an earlier claim says nothing of another cell's probe.
func TestProbeEndsByItsOwnerAlone(t *testing.T) {
	o := offering("m5.large", "a", selection.OnDemand)
	for name, end := range map[string]func(World){
		"released":  func(c World) { c.Released(another) },
		"failed":    func(c World) { c.Failed(o, cloud.KindCapacity, another) },
		"launched":  func(c World) { c.Launched(o, 50, another) },
		"a stalker": func(c World) { c.Claim(o, another); c.Released(another) },
	} {
		c, clock := newCapacity()
		c.Claim(o, another)
		c.Failed(o, cloud.KindCapacity, me)
		clock.Step(DryAtFirst)
		if !c.Claim(o, me) {
			t.Fatalf("%s: no probe", name)
		}
		clock.Step(probeTime / 2)
		end(c)
		if c.Claim(o, "third") {
			t.Errorf("%s: the probe has ended", name)
		}
		clock.Step(probeTime / 2)
		if !c.Claim(o, "third") {
			t.Errorf("%s: the probe does not end", name)
		}
		c.Released(me)
		if c.Claim(o, "fourth") {
			t.Errorf("%s: who was too slow ends the next probe", name)
		}
	}
}

// Classes that differ in tenancy or volumes do not share what is dry because of these.
func TestHardware(t *testing.T) {
	o := offering("m5.large", "a", selection.OnDemand)
	elsewhere := offering("m5.large", "b", selection.OnDemand)
	dedicated, io2 := Hardware{Tenancy: "dedicated"}, Hardware{VolumeType: "io2"}
	for name, test := range map[string]struct {
		of     Hardware
		kind   cloud.Kind
		dryFor []Hardware
		not    []Hardware
	}{
		"dedicated":   {dedicated, cloud.KindCapacity, []Hardware{dedicated, {Tenancy: "dedicated", VolumeType: "io2"}}, []Hardware{{}, io2}},
		"shared":      {Hardware{}, cloud.KindCapacity, []Hardware{{Tenancy: "default"}, io2}, []Hardware{dedicated}},
		"io2 volumes": {io2, cloud.KindVolume, []Hardware{io2, {Tenancy: "dedicated", VolumeType: "io2"}}, []Hardware{{}, dedicated}},
		"gp3 volumes": {Hardware{}, cloud.KindVolume, []Hardware{{VolumeType: "gp3"}, dedicated}, []Hardware{io2}},
		"quota":       {dedicated, cloud.KindQuota, []Hardware{{}, dedicated, io2}, nil},
	} {
		c, _ := newCapacity()
		c.For(test.of).Failed(o, test.kind, me)
		for _, h := range test.dryFor {
			if w := c.For(h); !w.dryNow(o) || w.dryNow(elsewhere) != (test.kind == cloud.KindQuota) || w.NoVolumes("a") != (test.kind == cloud.KindVolume) {
				t.Errorf("%s: not dry for %+v, or in another zone", name, h)
			}
		}
		for _, h := range test.not {
			if w := c.For(h); w.dryNow(o) || w.NoVolumes("a") {
				t.Errorf("%s: dry for %+v", name, h)
			}
		}
	}
}

func TestFreeAddresses(t *testing.T) {
	c, clock := newCapacity()
	o := offering("m5.large", "a", selection.OnDemand)
	free := func(counted int) int { return c.Free(selection.Subnet{ID: o.SubnetID, Free: counted}) }
	for range 3 {
		c.Launched(o, 10, me)
	}
	if got := free(10); got != 4 {
		t.Errorf("after three launches: %d", got)
	}
	for range 100 {
		c.Launched(o, 10, me)
	}
	if got := free(10); got != addressesPerCell {
		t.Errorf("only the cloud knows that it is full, but %d", got)
	}
	if got := free(9); got != 9 {
		t.Errorf("counted anew: %d", got)
	}
	c.Launched(o, 1, me)
	if got := free(1); got != 1 {
		t.Errorf("of one that was counted: %d", got)
	}
	c.Launched(o, 10, me)
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
