package pricetable

import (
	"context"
	"testing"

	"kip.elotl.co/internal/selection"
)

// DedicatedPrices knows no type's: the shared price is an estimate then.
func (r *region) DedicatedPrices(context.Context) (map[string]float64, error) { return nil, nil }

// TestDedicatedPrices: a class's tenancy says whose prices count.
func TestDedicatedPrices(t *testing.T) {
	m := loaded(t, aRegion())
	for tenancy, want := range map[string]selection.PriceSource{"": selection.SourcePricingAPI, "dedicated": selection.SourceEstimate} {
		c := class()
		c.Spec.AWS.Tenancy = tenancy
		quote, err := m.Quote(pod(t, "", small), c)
		if err != nil || len(quote.Offers) == 0 {
			t.Fatalf("%q: %+v, %v", tenancy, quote, err)
		}
		if got := quote.Offers[0].Price.Source; got != string(want) {
			t.Errorf("%q: the price comes from %s, want %s", tenancy, got, want)
		}
	}
}
