package cellspec

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"kip.elotl.co/api/v1beta1"
	"kip.elotl.co/internal/selection"
)

// Price is what an offering costs in all, in USD per hour, and the parts of
// that; empty where the instance's price is not known.
func Price(o *selection.Offering) (perHour string, parts *v1beta1.CellPrice) {
	if o.Price.Source == "" {
		return "", nil
	}
	parts = &v1beta1.CellPrice{
		Instance: selection.FormatPrice(o.InstancePerHour),
		Volume:   selection.FormatPrice(o.VolumePerHour),
		Source:   string(o.Price.Source),
		AsOf:     metav1.NewTime(o.Price.AsOf),
	}
	if o.AddressPerHour > 0 {
		parts.PublicIPv4 = selection.FormatPrice(o.AddressPerHour)
	}
	return selection.FormatPrice(o.PerHour), parts
}
