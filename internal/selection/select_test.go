package selection_test

import (
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	corev1 "k8s.io/api/core/v1"

	"kip.elotl.co/api/v1beta1"
	"kip.elotl.co/internal/selection"
	"kip.elotl.co/test/ec2types"
)

func TestSelect(t *testing.T) {
	for name, test := range map[string]struct {
		edit func(*fixture)
		n    int
		want []string
	}{
		"the cheapest, surplus CPU counted": {func(*fixture) {}, 9, []string{"m5.large/a/On-demand", "m5.large/b/On-demand", "t3.large/a/On-demand"}},
		"no surplus, no surcharge":          {func(f *fixture) { f.ask.MilliCPU = 600 }, 1, []string{"t3.large/a/On-demand"}},
		"a surcharge does not end the search early": {func(f *fixture) {
			f.ask.MilliCPU = 2000 // t3.large comes to 0.1532
			f.add("z1.large", 0.11, "b")
		}, 2, []string{"m5.large/a/On-demand", "m5.large/b/On-demand"}},
		"surplus credits of a small type": {func(f *fixture) { f.ask.MilliCPU = 700 }, 1, []string{"t3.large/a/On-demand"}},
		"none asked for":                  {func(*fixture) {}, 0, nil},
		"fewer than none asked for":       {func(*fixture) {}, -1, nil},
		"spot":                            {func(f *fixture) { f.ask.LaunchType = v1beta1.LaunchSpot }, 9, []string{"m5.large/a/Spot", "m5.large/b/Spot"}},
		"spot before on-demand": {func(f *fixture) { f.ask.LaunchType = v1beta1.LaunchSpotPreferred }, 3,
			[]string{"m5.large/a/Spot", "m5.large/b/Spot", "m5.large/a/On-demand"}},
		"no spot above on-demand": {func(f *fixture) {
			f.ask.LaunchType = v1beta1.LaunchSpotPreferred
			f.add("m6.large", 0.05, "b")
			f.list("t3.large", "b", selection.Spot, 0.0501)
			f.list("m6.large", "b", selection.Spot, 0.0501)
		}, 3, []string{"m5.large/a/Spot", "m5.large/b/Spot", "m6.large/b/On-demand"}},
		"spot where on-demand has no price": {func(f *fixture) {
			f.ask = selection.Ask{Type: "m5.large", LaunchType: v1beta1.LaunchSpotPreferred}
			f.unprice(selection.OnDemand)
		}, 1, []string{"m5.large/a/Spot"}},
		"on-demand where spot has no price": {func(f *fixture) {
			f.ask = selection.Ask{Type: "m5.large", LaunchType: v1beta1.LaunchSpotPreferred}
			f.unprice(selection.Spot)
		}, 1, []string{"m5.large/a/On-demand"}},
		"by name whatever the resources": {func(f *fixture) { f.ask.Type, f.ask.Memory = "t3.large", 1<<50 }, 9, []string{"t3.large/a/On-demand"}},
		"by name where burstable is not allowed": {func(f *fixture) {
			f.ask.Type, f.class.Burstable = "t3.large", v1beta1.BurstableNever
		}, 9, []string{"t3.large/a/On-demand"}},
		"by a pattern":            {func(f *fixture) { f.ask.Type = "t*" }, 9, []string{"t3.large/a/On-demand"}},
		"no price, asked by name": {func(f *fixture) { f.unprice(selection.OnDemand); f.ask.Type = "t3.large" }, 9, []string{"t3.large/a/On-demand"}},
		"no price, not by name":   {func(f *fixture) { f.unprice(selection.OnDemand); f.ask.Type = "t3*" }, 9, nil},
		"no price, but a limit": {func(f *fixture) {
			f.unprice(selection.OnDemand)
			f.ask.Type, f.class.MaxPerHour = "t3.large", 100
		}, 9, nil},
		"a limit that the sum just meets": {func(f *fixture) {
			f.ask.VolumePerHour, f.class.MaxPerHour = 0.005, 0.101 // 0.096 + 0.005 > 0.101 in floating point
		}, 1, []string{"m5.large/a/On-demand"}},
		"a limit below": {func(f *fixture) { f.ask.VolumePerHour, f.class.MaxPerHour = 0.005, 0.1 }, 1, nil},
		"no more than so many times the cheapest": {func(f *fixture) { f.class.MaxFactor = 1.07 }, 9,
			[]string{"m5.large/a/On-demand", "m5.large/b/On-demand"}}, // t3.large comes to 0.1032
		"just so many times": {func(f *fixture) { f.class.MaxFactor = 1.075 }, 9,
			[]string{"m5.large/a/On-demand", "m5.large/b/On-demand", "t3.large/a/On-demand"}},
		"so many times the volume too": {func(f *fixture) { f.class.MaxFactor, f.ask.VolumePerHour = 1.07, 0.01 }, 9, // 0.106 and 0.1132
			[]string{"m5.large/a/On-demand", "m5.large/b/On-demand", "t3.large/a/On-demand"}},
		"so many times what is dry": {func(f *fixture) {
			f.class.MaxFactor, f.world.dry = 1.9, []string{"z1.large"}
			f.add("z1.large", 0.05, "a")
		}, 9, nil},
		"so many times what comes later, with a surcharge before it": {func(f *fixture) {
			f.ask.MilliCPU, f.class.MaxFactor = 2000, 1.5 // t3.large comes to 0.1532, listed at 0.0832
		}, 9, []string{"m5.large/a/On-demand", "m5.large/b/On-demand"}},
		"so many times, of each market": {func(f *fixture) {
			f.ask.LaunchType, f.class.MaxFactor = v1beta1.LaunchSpotPreferred, 1.07
		}, 9, []string{"m5.large/a/Spot", "m5.large/a/On-demand", "m5.large/b/On-demand"}},
		"so many times, of the type that is named": {func(f *fixture) {
			f.class.MaxFactor, f.ask.Type = 1.5, "t3.large"
			f.add("z1.large", 0.001, "a")
		}, 9, []string{"t3.large/a/On-demand"}},
		"no price, and so many times": {func(f *fixture) {
			f.unprice(selection.OnDemand)
			f.ask.Type, f.class.MaxFactor = "t3.large", 1.5
		}, 9, []string{"t3.large/a/On-demand"}},
		"the private subnet": {func(f *fixture) {
			f.ask.AddressPerHour = 0.005
			f.publish("subnet-a")
		}, 9, []string{"m5.large/b/On-demand", "m5.large/a/On-demand", "t3.large/a/On-demand"}},
		"the roomier one, where all cost the same": {func(f *fixture) {
			private := true
			f.ask.AddressPerHour, f.ask.PrivateIPOnly, f.world.free = 0.005, &private, map[string]int{"subnet-a": 200}
			f.publish("subnet-a")
		}, 2, []string{"m5.large/a/On-demand", "m5.large/b/On-demand"}},
		"a limit that the address is above": {func(f *fixture) {
			f.ask.AddressPerHour, f.class.MaxPerHour = 0.005, 0.1
			f.publish("subnet-a")
		}, 9, []string{"m5.large/b/On-demand"}},
		"a limit that the address is above everywhere": {func(f *fixture) {
			private := false
			f.ask.AddressPerHour, f.ask.PrivateIPOnly, f.class.MaxPerHour = 0.005, &private, 0.1
		}, 9, nil},
		"no spot that is dearer with its address": {func(f *fixture) {
			f.ask.LaunchType, f.ask.AddressPerHour = v1beta1.LaunchSpotPreferred, 0.005
			f.add("z1.large", 0.042, "b")
			f.publish("subnet-a")
		}, 9, []string{"z1.large/b/On-demand", "m5.large/b/On-demand", "m5.large/a/On-demand", "t3.large/a/On-demand"}},
		"the roomier subnet": {func(f *fixture) { f.world.free = map[string]int{"subnet-a": 5, "subnet-b": 6} }, 1, []string{"m5.large/b/On-demand"}},
		"no full subnet": {func(f *fixture) { f.world.free = map[string]int{"subnet-a": 0} }, 9,
			[]string{"m5.large/b/On-demand"}},
		"virtual machines before bare metal": {func(f *fixture) {
			f.add("a1.metal", 0.096, "a", "b").BareMetal = true
		}, 3, []string{"m5.large/a/On-demand", "m5.large/b/On-demand", "a1.metal/a/On-demand"}},
		"one of two listings of an offering": {func(f *fixture) { f.list("m5.large", "a", selection.OnDemand, 0.001) }, 1, []string{"m5.large/a/On-demand"}},
		"a listing of an unknown type":       {func(f *fixture) { f.list("x9.large", "a", selection.OnDemand, 0.001) }, 1, []string{"m5.large/a/On-demand"}},
	} {
		t.Run(name, func(t *testing.T) {
			f := small()
			test.edit(f)
			if diff := cmp.Diff(test.want, f.chosen(test.n), cmpopts.EquateEmpty()); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

// TestOffering is what an Offering says.
func TestOffering(t *testing.T) {
	f := small()
	f.ask = selection.Ask{MilliCPU: 1600, Memory: gib, VolumePerHour: 0.01, AddressPerHour: 0.005, Terms: []v1beta1.OfferingTerm{term(corev1.LabelInstanceTypeStable, "t3.large")}}
	f.class.Subnets[0].Public = true
	f.class.Subnets = append(f.class.Subnets, selection.Subnet{ID: "subnet-a2", Zone: "a", Public: true})
	f.world.free = map[string]int{"subnet-a": 10, "subnet-a2": 20}
	want := []selection.Offering{{
		InstanceType: "t3.large", Zone: "a", SubnetID: "subnet-a2", VCPUs: 2, ImageID: "ami-x", Architecture: selection.AMD64,
		CPUCredits: selection.CreditsUnlimited, Price: f.listings[2].Price, PerHour: 0.1482, InstancePerHour: 0.1332, VolumePerHour: 0.01, AddressPerHour: 0.005,
	}}
	got := selection.Select(f.rules(), &f.ask, f.world, 3)
	if diff := cmp.Diff(want, got, cmpopts.EquateApprox(0, 1e-9)); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

// TestSubnet: of a zone's subnets the one that costs less, then the roomier.
func TestSubnet(t *testing.T) {
	yes, no := true, false
	for name, test := range map[string]struct {
		private *bool
		free    map[string]int
		subnet  string
		address float64
	}{
		"the private one":                      {nil, map[string]int{"subnet-a": 90, "subnet-a2": 5}, "subnet-a2", 0},
		"the public one where that is full":    {nil, map[string]int{"subnet-a": 90, "subnet-a2": 0}, "subnet-a", 0.005},
		"the roomier, none gets an address":    {&yes, map[string]int{"subnet-a": 90, "subnet-a2": 5}, "subnet-a", 0},
		"the roomier, all get an address":      {&no, map[string]int{"subnet-a": 5, "subnet-a2": 90}, "subnet-a2", 0.005},
		"the first of those that are the same": {&no, nil, "subnet-a", 0.005},
	} {
		t.Run(name, func(t *testing.T) {
			f := small()
			f.class.Subnets = []selection.Subnet{{ID: "subnet-a", Zone: "a", Public: true}, {ID: "subnet-a2", Zone: "a"}}
			f.ask.PrivateIPOnly, f.ask.AddressPerHour, f.ask.VolumePerHour, f.world.free = test.private, 0.005, 0.001, test.free
			got := selection.Select(f.rules(), &f.ask, f.world, 1)[0]
			if got.SubnetID != test.subnet || got.AddressPerHour != test.address || got.InstancePerHour != 0.096 || got.PerHour != 0.096+test.address+0.001 {
				t.Errorf("offering %+v", got)
			}
		})
	}
}

// TestImageForAccelerator: a type's own image goes before that for all.
func TestImageForAccelerator(t *testing.T) {
	f := small()
	f.add("g5.xlarge", 1, "a").GPUs = 1
	f.ask.GPUs = 1
	image := func() string { return selection.Select(f.rules(), &f.ask, f.world, 1)[0].ImageID }
	if got := image(); got != "ami-x" {
		t.Errorf("without one of its own it boots %s", got)
	}
	f.class.Images = append(f.class.Images, selection.Image{ID: "ami-gpu", Architecture: selection.AMD64, Accelerator: v1beta1.AcceleratorNvidia, ENA: true})
	if got := image(); got != "ami-gpu" {
		t.Errorf("with one of its own it boots %s", got)
	}
}

// TestManyAtOnce: Rules are shared by all reconciles of a class.
func TestManyAtOnce(t *testing.T) {
	c := ec2types.Generated(3, 200)
	rules := selection.NewRules(selection.NewIndex(c.Types, c.Listings), usual(c))
	asks := make([]selection.Ask, 50)
	want := make([][]selection.Offering, len(asks))
	r := newRandom(c, 3)
	for i := range asks {
		asks[i] = r.ask()
		want[i] = selection.Select(rules, &asks[i], world{}, 3)
	}
	var all sync.WaitGroup
	for worker := range 16 {
		all.Go(func() {
			for i := range asks {
				at := (i + worker) % len(asks)
				if diff := cmp.Diff(want[at], selection.Select(rules, &asks[at], world{}, 3)); diff != "" {
					t.Errorf("ask %+v: -alone +among others:\n%s", asks[at], diff)
				}
				selection.Nearest(rules, &asks[at], world{})
			}
		})
	}
	all.Wait()
}

func term(key string, values ...string) v1beta1.OfferingTerm {
	return v1beta1.OfferingTerm{Requirements: []v1beta1.OfferingRequirement{{Key: key, Operator: corev1.NodeSelectorOpIn, Values: values}}}
}
