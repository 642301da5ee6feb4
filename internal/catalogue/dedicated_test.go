package catalogue

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-logr/logr"
	"k8s.io/utils/clock"

	"kip.elotl.co/internal/selection"
)

func priceFor(t *testing.T, c *Catalogue, tenancy, name string) selection.Price {
	t.Helper()
	index := c.IndexFor(tenancy)
	found := selection.Select(anything(index, "a"), &selection.Ask{Type: name}, NewCapacity(clock.RealClock{}).For(Hardware{}), 1)
	if len(found) != 1 {
		t.Fatalf("%s: offerings %+v", name, found)
	}
	return found[0].Price
}

// TestDedicatedPrices are asked for when somebody wants them. Where they are not
// known, the shared ones are an estimate; these stay as they are.
func TestDedicatedPrices(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRegion()
		r.dedicated = map[string]float64{"m5.large": 0.11}
		r.onDemand["zz9.large"] = 9
		c := run(t, r, "us-east-1", logr.Discard())
		synctest.Wait()
		if n := r.count("dedicated"); n > 0 {
			t.Errorf("asked %d times, for nobody", n)
		}
		if got := priceFor(t, c, "dedicated", "m5.large"); got.PerHour != 0.1 || got.Source != selection.SourceEstimate {
			t.Errorf("before it is known: %+v", got)
		}
		synctest.Wait()
		if got := priceFor(t, c, "dedicated", "m5.large"); got.PerHour != 0.11 || got.Source != selection.SourcePricingAPI || got.AsOf.IsZero() {
			t.Errorf("%+v", got)
		}
		if got := priceFor(t, c, "dedicated", "zz9.large"); got.PerHour != 9 || got.Source != selection.SourceEstimate {
			t.Errorf("of one that is not known: %+v", got)
		}
		for _, tenancy := range []string{"", "default"} {
			if got := priceFor(t, c, tenancy, "m5.large"); got.PerHour != 0.1 || got.Source != selection.SourcePricingAPI {
				t.Errorf("tenancy %q: %+v", tenancy, got)
			}
		}
		r.set(func(r *region) { r.dedicated["m5.large"] = 0.12 })
		time.Sleep(onDemandEvery + time.Second)
		synctest.Wait()
		if got := priceFor(t, c, "dedicated", "m5.large"); got.PerHour != 0.12 {
			t.Errorf("later: %+v", got)
		}
	})
}

func TestDedicatedBeforeTheTypes(t *testing.T) {
	c, err := New(Options{Region: "us-east-1", Clock: clock.RealClock{}, Log: logr.Discard()})
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if c.IndexFor("dedicated") != nil {
			t.Error("there is an index of nothing")
		}
	}
}
