package catalogue

import (
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
