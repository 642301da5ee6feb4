package cell

import (
	"math"
	"strconv"

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

// leastSpotPrice is the least that EC2 takes as the limit of a Spot instance's
// price, in USD per hour: it must be more than 0.001
// (docs.aws.amazon.com/AWSEC2/latest/APIReference/API_SpotMarketOptions.html).
const leastSpotPrice = 0.0011

// spotMaxPrice is what a Spot instance may cost, so that the cell costs no more
// than its class allows even where the price has risen since it was looked up.
// A price of the user's own is not EC2's, so no limit follows from it.
func spotMaxPrice(class *v1beta1.CellClass, o selection.Offering) string {
	limit, err := strconv.ParseFloat(class.Spec.MaxPricePerHour, 64)
	if err != nil || limit <= 0 || o.Market != selection.Spot || o.Price.Source == selection.SourceOverride {
		return ""
	}
	left := limit - (o.PerHour - o.Price.PerHour)
	const digits = 1e6
	left = math.Floor(left*digits+1e-3) / digits // not below what is just the limit, by the last bit
	return strconv.FormatFloat(max(left, leastSpotPrice), 'f', -1, 64)
}
