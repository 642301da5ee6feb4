package cell

import (
	"context"
	"fmt"
	"testing"

	"kip.elotl.co/api/v1beta1"
	"kip.elotl.co/internal/catalogue"
	"kip.elotl.co/internal/selection"
	"kip.elotl.co/test/fixture"
)

// TestDedicatedTenancyHasItsOwnPrice: of a class with dedicated tenancy the
// price is the one that the cloud lists for that.
func TestDedicatedTenancyHasItsOwnPrice(t *testing.T) {
	b := newBench(t).start()
	class := b.class(func(s *v1beta1.CellClassSpec) { s.AWS.Tenancy = "dedicated"; s.DefaultInstanceType = "m5.large" })
	b.ready(b.cell())
	fixture.Eventually(b, "the dedicated price of m5.large is known", func(ctx context.Context) error {
		is, err := fixture.Get(ctx, b, class)
		if err != nil {
			return err
		}
		rules := selection.NewRules(b.offers.IndexFor("dedicated"), selection.ClassOf(is))
		found := selection.Select(rules, &selection.Ask{Type: "m5.large"}, catalogue.NewCapacity(b.clock).For(catalogue.Hardware{}), 1)
		if len(found) == 0 || found[0].Price.Source != selection.SourcePricingAPI {
			return fmt.Errorf("offerings %+v", found)
		}
		return nil
	})
	dedicated := b.ready(b.cell(suffixed("-2"))).Status.Price
	edit(b, class, func(c *v1beta1.CellClass) { c.Spec.AWS.Tenancy = "default" })
	shared := b.ready(b.cell(suffixed("-3"))).Status.Price
	if dedicated.Instance != "0.10846" || dedicated.Source != "PricingAPI" || shared.Instance != "0.0986" {
		t.Errorf("dedicated %+v, shared %+v", dedicated, shared)
	}
}
