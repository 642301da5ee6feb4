package selection

import (
	"slices"
	"strconv"

	"kip.elotl.co/api/v1beta1"
)

// Words of v1beta1.ResolvedImage.Needs.
const (
	NeedsParavirtual = "paravirtual"
	NeedsHVM         = "hvm"
	NeedsUEFI        = "uefi"
	NeedsLegacyBIOS  = "legacy-bios"
)

// ClassOf is what a resolved CellClass allows.
func ClassOf(class *v1beta1.CellClass) Class {
	out := Class{
		Allowed:   patterns(class.Spec.InstanceTypes.Allowed),
		Excluded:  patterns(class.Spec.InstanceTypes.Excluded),
		Burstable: class.Spec.InstanceTypes.Burstable,
	}
	for _, name := range class.Spec.Architectures {
		out.Architectures |= ArchitectureOf(name)
	}
	if out.Architectures == 0 { // nobody said that the pods' images are for both
		out.DefaultArchitecture = ArchitectureOf(class.Status.Architecture)
	}
	// The API server has checked their form.
	out.MaxPerHour, _ = strconv.ParseFloat(class.Spec.MaxPricePerHour, 64)
	out.MaxFactor, _ = strconv.ParseFloat(class.Spec.MaxPriceFactor, 64)
	for _, image := range class.Status.Images {
		out.Images = append(out.Images, Image{
			ID: image.ID, Architecture: ArchitectureOf(image.Architecture), Accelerator: image.Accelerator,
			Paravirtual: slices.Contains(image.Needs, NeedsParavirtual),
			UEFI:        slices.Contains(image.Needs, NeedsUEFI),
			LegacyBIOS:  slices.Contains(image.Needs, NeedsLegacyBIOS),
			ENA:         !image.WithoutENA,
			VolumeGiB:   image.MinVolumeGiB,
		})
	}
	for _, subnet := range class.Status.Subnets {
		out.Subnets = append(out.Subnets, Subnet{ID: subnet.ID, Zone: subnet.Zone, Free: int(subnet.FreeAddresses), Public: subnet.Public})
	}
	return out
}

func patterns(of []v1beta1.TypePattern) []string {
	out := make([]string, 0, len(of))
	for _, p := range of {
		out = append(out, string(p))
	}
	return out
}

// FormatPrice writes USD for an API: up to five decimals, as AWS does.
func FormatPrice(perHour float64) string { return strconv.FormatFloat(round(perHour), 'f', -1, 64) }

// round cuts what floating point adds.
func round(usd float64) float64 {
	const precision = 1e5
	return float64(int64(usd*precision+0.5)) / precision
}
