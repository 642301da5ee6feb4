package cell

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"kip.elotl.co/api/v1beta1"
	"kip.elotl.co/internal/catalogue"
	"kip.elotl.co/internal/selection"
)

// priceOf is what an offering costs in all, empty where that is not known.
func priceOf(o selection.Offering) string {
	if o.Price.Source == "" {
		return ""
	}
	return selection.FormatPrice(o.PerHour)
}

// showPrice says in status what was chosen at which price, and what would have
// been next.
func showPrice(s *scope, chosen *choice) {
	status := &s.cell.Status
	status.PricePerHour, status.Price, status.RunnersUp = priceOf(chosen.Offering), nil, nil
	if chosen.Price.Source != "" {
		status.Price = &v1beta1.CellPrice{
			Instance: selection.FormatPrice(chosen.InstancePerHour),
			Volume:   selection.FormatPrice(chosen.PerHour - chosen.InstancePerHour),
			Source:   string(chosen.Price.Source),
			AsOf:     metav1.NewTime(chosen.Price.AsOf),
		}
		if public(s) {
			status.Price.PublicIPv4 = selection.FormatPrice(catalogue.PublicIPv4PerHour())
			status.Price.Volume = selection.FormatPrice(chosen.PerHour - chosen.InstancePerHour - catalogue.PublicIPv4PerHour())
		}
	}
	for _, next := range chosen.runnersUp {
		status.RunnersUp = append(status.RunnersUp, v1beta1.PricedOffering{
			InstanceType: next.InstanceType, Zone: next.Zone, LaunchType: next.Market.LaunchType(), PricePerHour: priceOf(next),
		})
	}
}
