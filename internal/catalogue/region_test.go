package catalogue

import (
	"context"
	"maps"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/go-logr/logr"
	"k8s.io/utils/clock"

	"kip.elotl.co/api/v1beta1"
	"kip.elotl.co/internal/cloud"
	"kip.elotl.co/internal/selection"
)

// region is a cloud whose answers a test sets.
type region struct {
	mu        sync.Mutex
	types     []cloud.InstanceType
	onDemand  map[string]float64
	dedicated map[string]float64
	spot      []cloud.SpotPrice
	failing   error
	hanging   bool
	asked     map[string]int
}

func (r *region) set(change func(*region)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	change(r)
}

// count is how often something was asked for since the last time.
func (r *region) count(what string) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	n := r.asked[what]
	r.asked[what] = 0
	return n
}

func ask[T any](ctx context.Context, r *region, what string, answer func() T) (T, error) {
	r.mu.Lock()
	r.asked[what]++
	hanging, failing, value := r.hanging, r.failing, answer()
	r.mu.Unlock()
	if hanging {
		<-ctx.Done()
		failing = ctx.Err()
	}
	return value, failing
}

func (r *region) InstanceTypes(ctx context.Context) ([]cloud.InstanceType, error) {
	return ask(ctx, r, "types", func() []cloud.InstanceType { return r.types })
}

func (r *region) OnDemandPrices(ctx context.Context) (map[string]float64, error) {
	return ask(ctx, r, "on-demand", func() map[string]float64 { return maps.Clone(r.onDemand) })
}

func (r *region) DedicatedPrices(ctx context.Context) (map[string]float64, error) {
	return ask(ctx, r, "dedicated", func() map[string]float64 { return maps.Clone(r.dedicated) })
}

func (r *region) SpotPrices(ctx context.Context) ([]cloud.SpotPrice, error) {
	return ask(ctx, r, "spot", func() []cloud.SpotPrice { return r.spot })
}

func instanceType(name string, gib int64, zones ...string) cloud.InstanceType {
	return cloud.InstanceType{
		Name: name, Architectures: []cloud.Architecture{cloud.AMD64}, VCPUs: 2, MemoryMiB: gib << 10, IPv4PerInterface: 4,
		HVM: true, Markets: []cloud.Market{cloud.OnDemand, cloud.Spot}, Zones: zones,
	}
}

func newRegion() *region {
	return &region{
		types:    []cloud.InstanceType{instanceType("m5.large", 8, "a", "b"), instanceType("zz9.large", 8, "a")},
		onDemand: map[string]float64{"m5.large": 0.1},
		spot:     []cloud.SpotPrice{{InstanceType: "m5.large", Zone: "a", PerHour: 0.04}},
		asked:    map[string]int{},
	}
}

// run keeps a catalogue of a region, whose clock is the bubble's.
func run(t *testing.T, source Source, name string, log logr.Logger) *Catalogue {
	t.Helper()
	c, err := New(Options{Source: source, Region: name, Clock: clock.RealClock{}, Log: log})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { _ = c.Start(ctx) })
	t.Cleanup(func() {
		cancel()
		running.Wait()
	})
	synctest.Wait()
	return c
}

// anything allows all types.
func anything(x *selection.Index, zones ...string) *selection.Rules {
	class := selection.Class{
		Architectures: selection.AMD64, MaxPerHour: 0, Burstable: v1beta1.BurstableUnlimited,
		Images: []selection.Image{{ID: "ami-1", Architecture: selection.AMD64, Accelerator: v1beta1.AcceleratorNone, ENA: true}},
	}
	for _, z := range zones {
		class.Subnets = append(class.Subnets, selection.Subnet{ID: "subnet-" + z, Zone: z, Free: 100})
	}
	return selection.NewRules(x, class)
}

// priceOf is the price of an offering in the catalogue; not ok where it is not sold.
func priceOf(c *Catalogue, name, zone string, market selection.Market) (price selection.Price, ok bool) {
	ask := &selection.Ask{Type: name, LaunchType: market.LaunchType()}
	for _, o := range selection.Select(anything(c.Index(), zone), ask, NewCapacity(clock.RealClock{}).For(Hardware{}), 1) {
		return o.Price, true
	}
	return selection.Price{}, false
}

func wantPrice(t *testing.T, c *Catalogue, name, zone string, market selection.Market, want selection.Price) {
	t.Helper()
	got, ok := priceOf(c, name, zone, market)
	if !ok {
		t.Errorf("%s in %s (%s) is not offered, want %+v", name, zone, market.LaunchType(), want)
		return
	}
	if diff := got.PerHour - want.PerHour; diff > 1e-9 || diff < -1e-9 || got.Source != want.Source || !got.AsOf.Equal(want.AsOf) {
		t.Errorf("%s in %s (%s): %+v, want %+v", name, zone, market.LaunchType(), got, want)
	}
}
