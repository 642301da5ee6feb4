package cell

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"kip.elotl.co/api/v1beta1"
	"kip.elotl.co/hack/localaws/faults"
	"kip.elotl.co/internal/catalogue"
	"kip.elotl.co/internal/selection"
	"kip.elotl.co/test/fixture"
)

// market starts an operator whose class allows the types that have a price, and
// waits until the prices are known.
func market(t *testing.T, perHour, spotPerHour map[string]float64, edit ...func(*v1beta1.CellClassSpec)) *bench {
	t.Helper()
	b := newBench(t)
	b.source = &fixture.Priced{Source: b.cloud, PerHour: perHour, SpotPerHour: spotPerHour}
	private := true
	b.start().readyClass(append([]func(*v1beta1.CellClassSpec){
		allow(perHour, spotPerHour), func(s *v1beta1.CellClassSpec) { s.PrivateIPOnly = &private },
	}, edit...)...)
	for name := range perHour {
		b.awaitPrice(name, v1beta1.LaunchOnDemand, selection.SourcePricingAPI)
	}
	for name := range spotPerHour {
		b.awaitPrice(name, v1beta1.LaunchSpot, selection.SourceSpotHistory)
	}
	return b
}

func allow(prices ...map[string]float64) func(*v1beta1.CellClassSpec) {
	return func(s *v1beta1.CellClassSpec) {
		for _, list := range prices {
			for name := range list {
				if !slices.Contains(s.InstanceTypes.Allowed, v1beta1.TypePattern(name)) {
					s.InstanceTypes.Allowed = append(s.InstanceTypes.Allowed, v1beta1.TypePattern(name))
				}
			}
		}
	}
}

// awaitPrice waits until the price of a type comes from a source.
func (b *bench) awaitPrice(name string, launchType v1beta1.LaunchType, source selection.PriceSource) {
	b.Helper()
	class, err := fixture.Get(b.Context(), b, &v1beta1.CellClass{ObjectMeta: metav1.ObjectMeta{Name: b.name}})
	if err != nil {
		b.Fatal(err)
	}
	ask := selection.Ask{Type: name, LaunchType: launchType}
	fixture.Eventually(b, "the price of "+name+" is known", func(context.Context) error {
		rules := selection.NewRules(b.offers.Index(), selection.ClassOf(class))
		found := selection.Select(rules, &ask, catalogue.NewCapacity(b.clock).For(catalogue.Hardware{}), 1)
		if len(found) == 0 || found[0].Price.Source != source {
			return fmt.Errorf("offerings %+v", found)
		}
		return nil
	})
}

// needs lets a Cell ask for resources.
func needs(cpu, memory string) func(*v1beta1.Cell) {
	return func(c *v1beta1.Cell) {
		c.Spec.Resources = corev1.ResourceList{corev1.ResourceCPU: resource.MustParse(cpu), corev1.ResourceMemory: resource.MustParse(memory)}
	}
}

func suffixed(suffix string) func(*v1beta1.Cell) { return func(c *v1beta1.Cell) { c.Name += suffix } }

func launchType(l v1beta1.LaunchType) func(*v1beta1.Cell) {
	return func(c *v1beta1.Cell) { c.Spec.LaunchType = l }
}

var fivePrices = map[string]float64{"c5.large": 0.05, "c6i.large": 0.06, "m5.large": 0.10, "m6i.large": 0.12, "r5.large": 0.20}

// TestCheapestFirst: with the three cheapest offerings dry the fourth runs; the
// next Cell goes straight to it; what was chosen and why is in status.
func TestCheapestFirst(t *testing.T) {
	b := market(t, fivePrices, nil)
	b.cloud.Spoil(t, faults.Plan{Capacity: []faults.Dry{{InstanceType: "c5.large"}}})
	is := b.ready(b.cell(needs("1", "1Gi")))
	b.wantOneLaunch(is)
	const dry = "InsufficientInstanceCapacity"
	if diff := cmp.Diff([]string{dry, dry, dry, ""}, attemptCodes(is)); diff != "" {
		t.Errorf("codes of the attempts (-want +got):\n%s", diff)
	}
	for i, zone := range []string{"us-east-1a", "us-east-1b", "us-east-1c"} {
		failed := is.Status.Attempts[i]
		if failed.InstanceType != "c5.large" || failed.Zone != zone || failed.PricePerHour != "0.0511" || failed.EndTime == nil || failed.Message == "" {
			t.Errorf("attempt %d: %+v", i+1, failed)
		}
	}
	wantPrice(t, is)
	second := b.ready(b.cell(suffixed("-2"), needs("1", "1Gi")))
	if codes := attemptCodes(second); len(codes) != 1 || second.Status.InstanceType != "c6i.large" {
		t.Errorf("the second Cell has %s after attempts %q", second.Status.InstanceType, codes)
	}
}

func wantPrice(t *testing.T, is *v1beta1.Cell) {
	t.Helper()
	if is.Status.InstanceType != "c6i.large" || is.Status.PricePerHour != "0.0611" || is.Status.LaunchType != v1beta1.LaunchOnDemand {
		t.Errorf("%s %s at %s", is.Status.LaunchType, is.Status.InstanceType, is.Status.PricePerHour)
	}
	price := &v1beta1.CellPrice{Instance: "0.06", Volume: "0.0011", Source: "PricingAPI"}
	if diff := cmp.Diff(price, is.Status.Price, cmpopts.IgnoreFields(v1beta1.CellPrice{}, "AsOf")); diff != "" || is.Status.Price.AsOf.IsZero() {
		t.Errorf("price (-want +got):\n%s", diff)
	}
	next := []v1beta1.PricedOffering{
		{InstanceType: "c6i.large", Zone: "us-east-1b", LaunchType: v1beta1.LaunchOnDemand, PricePerHour: "0.0611"},
		{InstanceType: "c6i.large", Zone: "us-east-1c", LaunchType: v1beta1.LaunchOnDemand, PricePerHour: "0.0611"},
		{InstanceType: "m5.large", Zone: "us-east-1a", LaunchType: v1beta1.LaunchOnDemand, PricePerHour: "0.1011"},
	}
	if diff := cmp.Diff(next, is.Status.RunnersUp); diff != "" {
		t.Errorf("runners-up (-want +got):\n%s", diff)
	}
}

// TestPublicAddressCosts: where it is asked for, and else where the subnet
// gives one.
func TestPublicAddressCosts(t *testing.T) {
	no := false
	for name, test := range map[string]struct {
		private *bool
		subnet  string
		all     string
		address string
	}{
		"asked for":            {&no, subnetA, "0.1061", "0.005"},
		"the subnet gives one": {nil, subnetC, "0.1061", "0.005"},
		"the subnet does not":  {nil, subnetA, "0.1011", ""},
	} {
		t.Run(name, func(t *testing.T) {
			b := market(t, map[string]float64{"m5.large": 0.10}, nil, func(s *v1beta1.CellClassSpec) {
				s.PrivateIPOnly, s.AWS.Subnets = test.private, []string{test.subnet}
			})
			is := b.booting(b.cell(needs("1", "1Gi"))).Status
			if is.PricePerHour != test.all || is.Attempts[0].PricePerHour != test.all || is.Price.PublicIPv4 != test.address {
				t.Errorf("%s in all, of %+v", is.PricePerHour, is.Price)
			}
		})
	}
}

// TestPrivateSubnetFirst: of equally cheap offerings the one without a public
// address is cheaper, and the other alone is above the class's limit.
func TestPrivateSubnetFirst(t *testing.T) {
	b := market(t, map[string]float64{"m5.large": 0.10}, nil, func(s *v1beta1.CellClassSpec) {
		s.PrivateIPOnly, s.AWS.Subnets = nil, []string{subnetC, subnetA}
	})
	is := b.booting(b.cell(needs("1", "1Gi"))).Status
	next := []v1beta1.PricedOffering{{InstanceType: "m5.large", Zone: "us-east-1c", LaunchType: v1beta1.LaunchOnDemand, PricePerHour: "0.1061"}}
	if is.Attempts[0].SubnetID != subnetA || is.PricePerHour != "0.1011" || is.Price.PublicIPv4 != "" {
		t.Errorf("%s in %s, of %+v", is.PricePerHour, is.Attempts[0].SubnetID, is.Price)
	}
	if diff := cmp.Diff(next, is.RunnersUp); diff != "" {
		t.Errorf("runners-up (-want +got):\n%s", diff)
	}
}

// TestAddressAboveTheLimit: the price over which a cell is not launched is that
// with its address, and its parts are told.
func TestAddressAboveTheLimit(t *testing.T) {
	b := market(t, map[string]float64{"m5.large": 0.10}, nil, func(s *v1beta1.CellClassSpec) {
		s.PrivateIPOnly, s.AWS.Subnets, s.MaxPricePerHour = nil, []string{subnetC}, "0.104"
	})
	b.unready(b.cell(needs("1", "1Gi")), v1beta1.ReasonNoFittingType,
		"m5.large costs 0.106096 USD/h (instance 0.10, root volume 0.001096, public address 0.005), the class's maxPricePerHour is 0.104")
}

// TestNoDearFallback: what costs more than maxPriceFactor allows is not taken in
// place of what is dry.
func TestNoDearFallback(t *testing.T) {
	b := market(t, map[string]float64{"c5.large": 0.05, "m5.large": 0.30}, nil)
	b.cloud.Spoil(t, faults.Plan{Capacity: []faults.Dry{{InstanceType: "c5.large"}}})
	cell := b.cell(needs("1", "1Gi"))
	b.unready(cell, v1beta1.ReasonNoCapacity, "none of 3 offerings that would do has capacity",
		"the cheapest is c5.large in us-east-1a as On-demand at 0.051096 USD/h",
		"dearer ones cost more than 5 times as much, the class's maxPriceFactor")
	b.cloud.Spoil(t, faults.Plan{})
	b.clock.Advance(catalogue.DryAtFirst + time.Second)
	b.poke(cell)
	if is := b.ready(cell); is.Status.InstanceType != "c5.large" {
		t.Errorf("%s at %s", is.Status.InstanceType, is.Status.PricePerHour)
	}
}

// TestQuotaOfAGroup: nothing of the group of families is asked for again, and
// what the cloud said of the quota can be read.
func TestQuotaOfAGroup(t *testing.T) {
	b := market(t, map[string]float64{"c5.large": 0.05, "m5.large": 0.10, "g4dn.xlarge": 0.50}, nil,
		func(s *v1beta1.CellClassSpec) { s.MaxPriceFactor = "10" })
	const quota = "You have requested more vCPU capacity than your current vCPU limit of 8 allows"
	b.cloud.Spoil(t, faults.Plan{Errors: []faults.Refusal{{Action: "RunInstances", Code: "VcpuLimitExceeded", Message: quota, Count: 1}}})
	is := b.ready(b.cell(needs("1", "1Gi")))
	if codes := attemptCodes(is); !slices.Equal(codes, []string{"VcpuLimitExceeded", ""}) || is.Status.InstanceType != "g4dn.xlarge" {
		t.Errorf("%s after attempts %q", is.Status.InstanceType, codes)
	}
	if message := is.Status.Attempts[0].Message; !strings.Contains(message, quota) {
		t.Errorf("message %q", message)
	}
}

// TestQuotaOfAllGroups: the quota is named where nothing is left.
func TestQuotaOfAllGroups(t *testing.T) {
	b := market(t, map[string]float64{"c5.large": 0.05, "m5.large": 0.10}, nil)
	b.cloud.Spoil(t, faults.Plan{Errors: []faults.Refusal{{Action: "RunInstances", Code: "VcpuLimitExceeded", Message: "vCPU limit of 8"}}})
	cell := b.cell(needs("1", "1Gi"))
	b.unready(cell, v1beta1.ReasonNoCapacity, "VcpuLimitExceeded", "vCPU limit of 8")
	if calls := b.cloud.Calls("RunInstances"); len(calls) != 1 {
		t.Errorf("%d launches", len(calls))
	}
	b.cloud.Spoil(t, faults.Plan{})
	b.clock.Advance(catalogue.DryAtFirst + time.Second)
	b.poke(cell)
	b.wantOneLaunch(b.ready(cell))
}

// TestMarkets: Spot never falls to On-demand, Spot-preferred does.
func TestMarkets(t *testing.T) {
	b := market(t, map[string]float64{"m5.large": 0.10}, map[string]float64{"m5.large": 0.03})
	spot := b.ready(b.cell(suffixed("-spot"), needs("1", "1Gi"), launchType(v1beta1.LaunchSpot)))
	if instances := b.cloud.Instances(spot); spot.Status.LaunchType != v1beta1.LaunchSpot || instances[0].Market != "spot" || spot.Status.Price.Source != "SpotPriceHistory" {
		t.Errorf("%s at %+v, in the cloud %+v", spot.Status.LaunchType, spot.Status.Price, instances)
	}
	b.cloud.Spoil(t, faults.Plan{Capacity: []faults.Dry{{Market: "spot"}}})
	never := b.cell(suffixed("-never"), needs("1", "1Gi"), launchType(v1beta1.LaunchSpot))
	b.unready(never, v1beta1.ReasonNoCapacity, "m5.large")
	preferred := b.ready(b.cell(suffixed("-preferred"), needs("1", "1Gi"), launchType(v1beta1.LaunchSpotPreferred)))
	if preferred.Status.LaunchType != v1beta1.LaunchOnDemand || len(preferred.Status.Attempts) != 1 {
		t.Errorf("%s after %q", preferred.Status.LaunchType, attemptCodes(preferred))
	}
	for _, attempt := range b.unready(never, v1beta1.ReasonNoCapacity).Status.Attempts {
		if attempt.LaunchType != v1beta1.LaunchSpot {
			t.Errorf("attempt %+v", attempt)
		}
	}
}

// TestSpotPreferredFalls in the life of one Cell.
func TestSpotPreferredFalls(t *testing.T) {
	b := market(t, map[string]float64{"m5.large": 0.10}, map[string]float64{"m5.large": 0.03})
	b.cloud.Spoil(t, faults.Plan{Capacity: []faults.Dry{{Market: "spot"}}})
	is := b.ready(b.cell(needs("1", "1Gi"), launchType(v1beta1.LaunchSpotPreferred)))
	var markets []v1beta1.LaunchType
	for _, attempt := range is.Status.Attempts {
		markets = append(markets, attempt.LaunchType)
	}
	want := []v1beta1.LaunchType{v1beta1.LaunchSpot, v1beta1.LaunchSpot, v1beta1.LaunchSpot, v1beta1.LaunchOnDemand}
	if diff := cmp.Diff(want, markets); diff != "" {
		t.Errorf("markets of the attempts (-want +got):\n%s", diff)
	}
	b.wantOneLaunch(is)
}

// TestSpread: of equally cheap zones the one with more free addresses is taken.
func TestSpread(t *testing.T) {
	b := market(t, map[string]float64{"m5.large": 0.10}, nil)
	zones := map[string]int{}
	for n := range 9 {
		is := b.booting(b.cell(suffixed(fmt.Sprintf("-%d", n)), needs("1", "1Gi")))
		zones[is.Status.Zone]++
	}
	if diff := cmp.Diff(map[string]int{"us-east-1a": 3, "us-east-1b": 3, "us-east-1c": 3}, zones); diff != "" {
		t.Errorf("cells by zone (-want +got):\n%s", diff)
	}
}

// TestReportedMemory: what an agent reports decides for the next Cell, also
// after a restart.
func TestReportedMemory(t *testing.T) {
	b := market(t, map[string]float64{"t3.small": 0.02, "t3.medium": 0.04}, nil)
	fits := func(n int) string {
		return b.ready(b.cell(suffixed(fmt.Sprintf("-%d", n)), needs("100m", "1850Mi"))).Status.InstanceType
	}
	if got := fits(1); got != "t3.medium" {
		t.Errorf("%s before anything is known of t3.small", got)
	}
	// Hollow agents report all of the nominal 2 GiB.
	b.ready(b.cell(func(c *v1beta1.Cell) { c.Spec.InstanceType = "t3.small" }))
	b.awaitMemory("t3.small", 2<<30-catalogue.SystemMemory)
	if got := fits(2); got != "t3.small" {
		t.Errorf("%s after an agent reported 2 GiB", got)
	}
	b.stop()
	b.start()
	b.awaitMemory("t3.small", 2<<30-catalogue.SystemMemory)
	if got := fits(3); got != "t3.small" {
		t.Errorf("%s after a restart", got)
	}
}

// awaitMemory waits until a pod can use so much of a type, in bytes.
func (b *bench) awaitMemory(name string, want int64) {
	b.Helper()
	fixture.Eventually(b, "the memory of "+name+" is known", func(context.Context) error {
		index := b.offers.Index()
		if index == nil {
			return errors.New("there is no index yet")
		}
		if is, _ := index.Type(name); is.Memory != want {
			return fmt.Errorf("a pod can use %d", is.Memory)
		}
		return nil
	})
}

// TestZoneOfACell: it is launched in its zone or not at all, whatever else has
// capacity; also where it asks for nothing and so gets the class's default type.
func TestZoneOfACell(t *testing.T) {
	b := market(t, map[string]float64{"m5.large": 0.096, "c5.large": 0.085}, nil, func(s *v1beta1.CellClassSpec) { s.DefaultInstanceType = "m5.large" })
	inZone := func(zone string, i int) func(*v1beta1.Cell) {
		return func(c *v1beta1.Cell) { c.Name, c.Spec.Zone = fmt.Sprint(c.Name, "-", zone, "-", i), zone }
	}
	for _, zone := range []string{"us-east-1a", "us-east-1b"} {
		for i, edit := range []func(*v1beta1.Cell){needs("1", "1Gi"), func(*v1beta1.Cell) {}} {
			cell := b.booting(b.cell(inZone(zone, i), edit))
			if got := cell.Status.Attempts[0].Zone; got != zone {
				t.Errorf("it is in %s, not in %s", got, zone)
			}
		}
	}
	b.unready(b.cell(inZone("us-east-1f", 0), needs("1", "1Gi")), v1beta1.ReasonNoFittingType, "us-east-1f, the zone of the pod's node")
}
