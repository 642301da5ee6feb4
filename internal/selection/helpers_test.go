package selection_test

import (
	"slices"
	"time"

	"kip.elotl.co/api/v1beta1"
	"kip.elotl.co/internal/selection"
)

const gib = 1 << 30

// fixture is a small region, which tests change as they need it.
type fixture struct {
	types    []selection.Type
	listings []selection.Listing
	class    selection.Class
	ask      selection.Ask
	world    world
}

// small is m5.large in two zones and both markets, and t3.large in one; the
// class has a subnet in each zone.
func small() *fixture {
	f := &fixture{ask: selection.Ask{MilliCPU: 1000, Memory: gib}}
	f.add("m5.large", 0.096, "a", "b")
	f.add("t3.large", 0.0832, "a")
	f.types[1].Burst = &selection.Burst{BaselineMilliCPU: 600, SurplusPerVCPUHour: 0.05}
	f.list("m5.large", "a", selection.Spot, 0.04)
	f.list("m5.large", "b", selection.Spot, 0.05)
	f.class.Images = []selection.Image{
		{ID: "ami-x", Architecture: selection.AMD64, Accelerator: v1beta1.AcceleratorNone, ENA: true},
		{ID: "ami-a", Architecture: selection.ARM64, Accelerator: v1beta1.AcceleratorNone, ENA: true},
	}
	f.class.Subnets = []selection.Subnet{{ID: "subnet-a", Zone: "a"}, {ID: "subnet-b", Zone: "b"}}
	return f
}

// add is a type with 2 CPUs and 8 GiB, sold On-demand.
func (f *fixture) add(name string, perHour float64, zones ...string) *selection.Type {
	f.types = append(f.types, selection.Type{
		Name: name, Architectures: selection.AMD64, MilliCPU: 2000, NominalMemory: 8 * gib, Memory: 7 * gib,
		IPv4PerInterface: 10, Supports: selection.BootSupport{HVM: true, UEFI: true, LegacyBIOS: true, NeedsENA: true},
	})
	for _, zone := range zones {
		f.list(name, zone, selection.OnDemand, perHour)
	}
	return &f.types[len(f.types)-1]
}

func (f *fixture) list(name, zone string, market selection.Market, perHour float64) {
	price := selection.Price{PerHour: perHour, Source: selection.SourcePricingAPI, AsOf: time.Unix(0, 0)}
	f.listings = append(f.listings, selection.Listing{Type: name, Zone: zone, Market: market, Price: price})
}

// unprice takes all prices away.
func (f *fixture) unprice(market selection.Market) {
	for i := range f.listings {
		if f.listings[i].Market == market {
			f.listings[i].Price = selection.Price{}
		}
	}
}

// publish lets subnets give public addresses.
func (f *fixture) publish(ids ...string) {
	for i := range f.class.Subnets {
		f.class.Subnets[i].Public = slices.Contains(ids, f.class.Subnets[i].ID)
	}
}

func (f *fixture) rules() *selection.Rules {
	return selection.NewRules(selection.NewIndex(f.types, f.listings), f.class)
}

// chosen are the offerings, in order, as type/zone/market.
func (f *fixture) chosen(n int) []string {
	var names []string
	for _, o := range selection.Select(f.rules(), &f.ask, f.world, n) {
		names = append(names, o.InstanceType+"/"+o.Zone+"/"+string(o.Market.LaunchType()))
	}
	return names
}
