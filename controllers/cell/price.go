package cell

import (
	"kip.elotl.co/api/v1beta1"
	"kip.elotl.co/internal/cellspec"
	"kip.elotl.co/internal/selection"
)

// priceOf is what an offering costs in all, empty where that is not known.
func priceOf(o selection.Offering) string {
	perHour, _ := cellspec.Price(&o)
	return perHour
}

// showPrice says in status what was chosen at which price, and what would have
// been next.
func showPrice(s *scope, chosen *choice) {
	status := &s.cell.Status
	status.PricePerHour, status.Price = cellspec.Price(&chosen.Offering)
	status.RunnersUp = nil
	for _, next := range chosen.runnersUp {
		status.RunnersUp = append(status.RunnersUp, v1beta1.PricedOffering{
			InstanceType: next.InstanceType, Zone: next.Zone, LaunchType: next.Market.LaunchType(), PricePerHour: priceOf(next),
		})
	}
}
