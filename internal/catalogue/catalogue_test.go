package catalogue

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-logr/logr"
	"github.com/go-logr/logr/funcr"
	"k8s.io/utils/clock"

	"kip.elotl.co/internal/cloud"
	"kip.elotl.co/internal/selection"
)

func TestEveryPriceHasSourceAndAge(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		c := run(t, newRegion(), "us-east-1", logr.Discard())
		select {
		case <-c.Ready():
		default:
			t.Fatal("there is no index yet")
		}
		wantPrice(t, c, "m5.large", "a", selection.OnDemand, selection.Price{PerHour: 0.1, Source: selection.SourcePricingAPI, AsOf: start})
		wantPrice(t, c, "m5.large", "a", selection.Spot, selection.Price{PerHour: 0.04, Source: selection.SourceSpotHistory, AsOf: start})
		wantPrice(t, c, "zz9.large", "a", selection.OnDemand, selection.Price{}) // nobody knows, but it is sold
		if _, sold := priceOf(c, "m5.large", "b", selection.Spot); sold {
			t.Error("Spot is sold where the history has no price")
		}
	})
}

func TestTheLastGoodAnswerStays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, start := newRegion(), time.Now()
		c := run(t, r, "us-east-1", logr.Discard())
		for name, spoil := range map[string]func(*region){
			"refused": func(r *region) { r.failing = errors.New("refused") },
			"empty":   func(r *region) { r.failing, r.types, r.onDemand, r.spot = nil, nil, nil, nil },
			"silent":  func(r *region) { r.hanging = true },
		} {
			r.set(spoil)
			time.Sleep(24 * time.Hour)
			wantPrice(t, c, "m5.large", "a", selection.OnDemand, selection.Price{PerHour: 0.1, Source: selection.SourcePricingAPI, AsOf: start})
			wantPrice(t, c, "m5.large", "a", selection.Spot, selection.Price{PerHour: 0.04, Source: selection.SourceSpotHistory, AsOf: start})
			for _, what := range []string{"types", "on-demand", "spot"} {
				if n := r.count(what); n < 50 || n > 400 {
					t.Errorf("%s: %s were asked for %d times in a day", name, what, n)
				}
			}
		}
		r.set(func(r *region) {
			good := newRegion()
			r.types, r.onDemand, r.spot = good.types, map[string]float64{"m5.large": 0.2}, good.spot
			r.failing, r.hanging = nil, false
		})
		time.Sleep(retryMost + askTimeout)
		if price, _ := priceOf(c, "m5.large", "a", selection.OnDemand); price.PerHour != 0.2 || !price.AsOf.After(start) {
			t.Errorf("%v after the cloud answers again: %+v", retryMost+askTimeout, price)
		}
	})
}

func TestHowOftenTheCloudIsAsked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRegion()
		run(t, r, "us-east-1", logr.Discard())
		time.Sleep(24*time.Hour - time.Second)
		for what, want := range map[string]int{"types": 4, "on-demand": 2, "spot": 144} {
			if got := r.count(what); got != want {
				t.Errorf("%s were asked for %d times in a day, want %d", what, got, want)
			}
		}
	})
}

func TestTheLogTellsAReasonOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var lines []string
		var mu sync.Mutex
		log := funcr.New(func(_, args string) {
			mu.Lock()
			defer mu.Unlock()
			lines = append(lines, args)
		}, funcr.Options{})
		r := newRegion()
		r.failing = &cloud.Error{Kind: cloud.KindUnauthorized, Code: "AccessDeniedException", Action: "pricing:GetProducts"}
		run(t, r, "us-east-1", log)
		time.Sleep(24 * time.Hour)
		mu.Lock()
		defer mu.Unlock()
		if len(lines) != 3 {
			t.Errorf("%d lines, want one for each part: %q", len(lines), lines)
		}
		for _, line := range lines {
			if !strings.Contains(line, "the IAM action pricing:GetProducts is not allowed") {
				t.Errorf("line %s", line)
			}
		}
	})
}

func TestNoIndexBeforeTheTypes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRegion()
		r.failing = errors.New("down")
		c := run(t, r, "us-east-1", logr.Discard())
		c.SetOverrides(Overrides{})
		c.Memory.Report("m5.large", 7<<30)
		time.Sleep(time.Hour)
		if c.Index() != nil {
			t.Error("there is an index without types")
		}
		if why := c.NotReady(); !strings.Contains(why, "down") {
			t.Errorf("not ready: %s", why)
		}
		r.set(func(r *region) {
			r.failing = &cloud.Error{Kind: cloud.KindUnauthorized, Code: "UnauthorizedOperation", Action: "ec2:DescribeInstanceTypes", Message: "You are not authorized to perform this operation."}
		})
		time.Sleep(time.Hour)
		if why := c.NotReady(); !strings.Contains(why, "the IAM action ec2:DescribeInstanceTypes is not allowed") {
			t.Errorf("not ready: %s", why)
		}
		r.set(func(r *region) { r.failing = nil })
		<-c.Ready()
	})
}

// Before the Spot prices come, there is no index for a while: the estimate for
// them is poor. When they do not come, there is one all the same.
func TestTheFirstIndexWaitsForSpotPrices(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &slowSpot{newRegion()}
		start := time.Now()
		c := run(t, r, "us-east-1", logr.Discard())
		if c.Index() != nil {
			t.Error("there is an index at once")
		}
		<-c.Ready()
		if waited := time.Since(start); waited != spotPatience {
			t.Errorf("waited for %v, want %v", waited, spotPatience)
		}
		wantPrice(t, c, "m5.large", "b", selection.Spot, selection.Price{PerHour: 0.1, Source: selection.SourceEstimate, AsOf: start})
		wantPrice(t, c, "zz9.large", "a", selection.Spot, selection.Price{})
	})
}

// slowSpot never tells Spot prices.
type slowSpot struct{ *region }

func (s *slowSpot) SpotPrices(ctx context.Context) ([]cloud.SpotPrice, error) {
	<-ctx.Done()
	return nil, ctx.Err()
}

func TestPricesOfTheTable(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for name, want := range map[string]struct {
			factor float64
			source selection.PriceSource
		}{
			"us-east-1":      {1, selection.SourceTable},
			"us-west-2":      {1, selection.SourceEstimate},
			"eu-central-1":   {1.20, selection.SourceEstimate},
			"mars-central-1": {1.25, selection.SourceEstimate},
		} {
			r := newRegion()
			c := run(t, &noPriceList{r}, name, logr.Discard())
			price := selection.Price{PerHour: 0.096 * want.factor, Source: want.source, AsOf: c.table.date}
			wantPrice(t, c, "m5.large", "a", selection.OnDemand, price)
		}
	})
}

type noPriceList struct{ *region }

func (n *noPriceList) OnDemandPrices(context.Context) (map[string]float64, error) {
	return nil, &cloud.Error{Kind: cloud.KindUnauthorized, Action: "pricing:GetProducts"}
}

func TestMemoryIsLearned(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := run(t, newRegion(), "us-east-1", logr.Discard())
		first := c.Index()
		if kind, _ := first.Type("m5.large"); kind.NominalMemory != 8<<30 || kind.Memory >= 8<<30-SystemMemory {
			t.Errorf("before: %+v", kind)
		}
		for i := range 500 {
			c.Memory.Report("m5.large", 7800<<20+int64(i%7)<<10)
		}
		time.Sleep(2 * memoryPause)
		learned := c.Index()
		if kind, _ := learned.Type("m5.large"); kind.Memory != 7800<<20-SystemMemory {
			t.Errorf("after: %+v", kind)
		}
		c.Memory.Report("m5.large", 7800<<20+100<<10) // the same but for some KiB
		c.Memory.Report("m5.large", 7900<<20)
		c.Memory.Report("m5.large", 0)
		time.Sleep(2 * memoryPause)
		if c.Index() != learned || learned == first {
			t.Error("the index was made anew for nothing")
		}
	})
}

func TestUsableMemory(t *testing.T) {
	for nominal, want := range map[int64]int64{
		512 << 20: 512<<20/1000*925 - SystemMemory,
		100 << 20: 0,
		24 << 40:  24<<40/1000*925 - SystemMemory,
	} {
		if got := NewMemory().Usable("x", nominal); got != want {
			t.Errorf("of %d: %d, want %d", nominal, got, want)
		}
	}
	m := NewMemory()
	m.Report("x", 9<<30)
	if got := m.Usable("x", 8<<30); got != 8<<30-SystemMemory {
		t.Errorf("more than there can be: %d", got)
	}
}

func TestTypesAreTakenOver(t *testing.T) {
	c := &Catalogue{Memory: NewMemory()}
	got := c.selectionType(cloud.InstanceType{
		Name: "t3.large", Architectures: []cloud.Architecture{cloud.AMD64, "i386"}, VCPUs: 2, MemoryMiB: 8192, GPUs: 3, Neurons: 4,
		IPv4PerInterface: 12, Burstable: true, BareMetal: true, HVM: true, UEFI: true, NeedsENA: true,
	})
	if got.Burst == nil || got.Burst.BaselineMilliCPU != 600 || got.MilliCPU != 2000 || got.GPUs != 3 || got.Neurons != 4 ||
		got.Architectures != selection.AMD64 || got.IPv4PerInterface != 12 || !got.BareMetal ||
		got.Supports != (selection.BootSupport{HVM: true, UEFI: true, NeedsENA: true}) {
		t.Errorf("%+v", got)
	}
}

// Many select while prices, memory and overrides change.
func TestManyAtOnce(t *testing.T) {
	c := run2(t)
	overrides, err := ParseOverrides([]byte("- {instanceType: 'm5*', percent: -10}"), time.Time{})
	if err != nil {
		t.Fatal(err)
	}
	var running sync.WaitGroup
	for i := range 8 {
		running.Go(func() {
			for n := range 50 {
				c.Memory.Report("m5.large", int64(4000+n*i)<<20)
				if i == 0 {
					c.SetOverrides([]Overrides{{}, overrides}[n%2])
				}
				if price, ok := priceOf(c, "m5.large", "a", selection.OnDemand); !ok || price.PerHour < 0.0899 || price.PerHour > 0.1001 {
					t.Errorf("%+v", price)
				}
			}
		})
	}
	running.Wait()
}

// run2 runs a catalogue outside a bubble.
func run2(t *testing.T) *Catalogue {
	t.Helper()
	c, err := New(Options{Source: newRegion(), Region: "us-east-1", Clock: clock.RealClock{}, Log: logr.Discard()})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = c.Start(ctx)
	}()
	t.Cleanup(func() {
		cancel()
		<-ended
	})
	<-c.Ready()
	for { // until AWS's own prices are in
		if price, _ := priceOf(c, "m5.large", "a", selection.OnDemand); price.Source == selection.SourcePricingAPI {
			return c
		}
	}
}

// BenchmarkRebuild is what a refresh costs with 1,300 types in 6 zones.
func BenchmarkRebuild(b *testing.B) {
	c, err := New(Options{Region: "us-east-1", Clock: clock.RealClock{}, Log: logr.Discard()})
	if err != nil {
		b.Fatal(err)
	}
	zones := []string{"a", "b", "c", "d", "e", "f"}
	for _, name := range slices.Sorted(maps.Keys(c.table.perHour)) {
		c.types = append(c.types, instanceType(name, 8, zones...))
		for i, zone := range zones {
			c.spot.value = append(c.spot.value, cloud.SpotPrice{InstanceType: name, Zone: zone, PerHour: c.table.perHour[name] * float64(i+1) / 10})
		}
	}
	c.spotAsked, c.spot.asOf = true, time.Now()
	for b.Loop() {
		c.rebuild()
	}
	b.ReportMetric(float64(len(c.types)), "types")
}
