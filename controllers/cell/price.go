package cell

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"kip.elotl.co/api/v1beta1"
	"kip.elotl.co/internal/selection"
)

// priceOf is what an offering costs in all, empty where that is not known.
func priceOf(s *scope, o selection.Offering, extra extras) string {
	if o.Price.Source == "" {
		return ""
	}
	return selection.FormatPrice(o.InstancePerHour + extra.in(s, o.SubnetID).perHour())
}

// showPrice says in status what was chosen at which price, and what would have
// been next.
func showPrice(s *scope, chosen *choice) {
	status := &s.cell.Status
	status.PricePerHour, status.Price, status.RunnersUp = priceOf(s, chosen.Offering, chosen.extras), partsOf(s, chosen), nil
	for _, next := range chosen.runnersUp {
		status.RunnersUp = append(status.RunnersUp, v1beta1.PricedOffering{
			InstanceType: next.InstanceType, Zone: next.Zone, LaunchType: next.Market.LaunchType(), PricePerHour: priceOf(s, next, chosen.extras),
		})
	}
}

// partsOf is what the price is made of, nil where it is not known.
func partsOf(s *scope, chosen *choice) *v1beta1.CellPrice {
	if chosen.Price.Source == "" {
		return nil
	}
	extra := chosen.extras.in(s, chosen.SubnetID)
	parts := &v1beta1.CellPrice{
		Instance: selection.FormatPrice(chosen.InstancePerHour),
		Volume:   selection.FormatPrice(extra.volume),
		Source:   string(chosen.Price.Source),
		AsOf:     metav1.NewTime(chosen.Price.AsOf),
	}
	if extra.address > 0 {
		parts.PublicIPv4 = selection.FormatPrice(extra.address)
	}
	return parts
}
