package selection

import (
	"slices"
	"strconv"

	corev1 "k8s.io/api/core/v1"

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
	// The API server has checked its form.
	out.MaxPerHour, _ = strconv.ParseFloat(class.Spec.MaxPricePerHour, 64)
	for _, image := range class.Status.Images {
		out.Images = append(out.Images, Image{
			ID: image.ID, Architecture: ArchitectureOf(image.Architecture), Accelerator: image.Accelerator,
			Paravirtual: slices.Contains(image.Needs, NeedsParavirtual),
			UEFI:        slices.Contains(image.Needs, NeedsUEFI),
			LegacyBIOS:  slices.Contains(image.Needs, NeedsLegacyBIOS),
			ENA:         !image.WithoutENA,
		})
	}
	for _, subnet := range class.Status.Subnets {
		out.Subnets = append(out.Subnets, Subnet{ID: subnet.ID, Zone: subnet.Zone, Free: int(subnet.FreeAddresses)})
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

// AskOf is what a Cell asks for in a class. One that asks for nothing at all
// gets the class's default type.
func AskOf(spec *v1beta1.CellSpec, class *v1beta1.CellClass, extraPerHour float64) Ask {
	ask := Ask{
		Type:         spec.InstanceType,
		MilliCPU:     spec.Resources.Cpu().MilliValue(),
		Memory:       spec.Resources.Memory().Value(),
		GPUs:         amount(spec.Resources, v1beta1.ResourceGPU),
		Neurons:      amount(spec.Resources, v1beta1.ResourceNeuron),
		LaunchType:   spec.LaunchType,
		Terms:        spec.OfferingTerms,
		ExtraPerHour: extraPerHour,
	}
	if ask.Type == "" && len(spec.Resources) == 0 {
		ask.Type = class.Spec.DefaultInstanceType
	}
	if ask.LaunchType == "" {
		ask.LaunchType = class.Spec.DefaultLaunchType
	}
	return ask
}

func amount(list corev1.ResourceList, name corev1.ResourceName) int64 {
	q := list[name]
	return q.Value()
}

// FormatPrice writes USD for an API: up to five decimals, as AWS does.
func FormatPrice(perHour float64) string { return strconv.FormatFloat(round(perHour), 'f', -1, 64) }

// round cuts what floating point adds.
func round(usd float64) float64 {
	const precision = 1e5
	return float64(int64(usd*precision+0.5)) / precision
}
