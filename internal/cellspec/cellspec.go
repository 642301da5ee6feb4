// Package cellspec reads what a Cell and its class together ask for: an
// offering, a root volume, an address; what that costs; and what keeps it from
// being had. The operator launches by it, kubectl kip price foretells by it.
package cellspec

import (
	"math"

	corev1 "k8s.io/api/core/v1"

	"kip.elotl.co/api/v1beta1"
	"kip.elotl.co/internal/catalogue"
	"kip.elotl.co/internal/cloud"
	"kip.elotl.co/internal/selection"
)

// Ask is what a Cell asks for in a class whose subnets are in a region. One
// that asks for nothing at all gets the class's default type.
func Ask(spec *v1beta1.CellSpec, class *v1beta1.CellClass, region string) selection.Ask {
	ask := selection.Ask{
		Type:           spec.InstanceType,
		MilliCPU:       spec.Resources.Cpu().MilliValue(),
		Memory:         spec.Resources.Memory().Value(),
		GPUs:           amount(spec.Resources, v1beta1.ResourceGPU),
		Neurons:        amount(spec.Resources, v1beta1.ResourceNeuron),
		LaunchType:     spec.LaunchType,
		Terms:          spec.OfferingTerms,
		PrivateIPOnly:  PrivateIPOnly(spec, class),
		VolumePerHour:  catalogue.VolumePerHour(region, CountedVolume(spec, class)),
		AddressPerHour: catalogue.PublicIPv4PerHour(),
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

// ByDefault says whether a type is asked for that only the class names.
func ByDefault(spec *v1beta1.CellSpec, ask *selection.Ask) bool {
	return spec.InstanceType == "" && ask.Type != ""
}

// DefaultGivesWay says whether a Cell that names no type wants another than the
// class's default: what it says of zone, type and architecture rules that out,
// wherever there is capacity.
func DefaultGivesWay(spec *v1beta1.CellSpec, ask *selection.Ask, rules *selection.Rules, world selection.World) bool {
	if !ByDefault(spec, ask) || len(ask.Terms) == 0 {
		return false
	}
	step, _ := selection.Nearest(rules, ask, world)
	return step == selection.StepAffinity || step == selection.StepZone
}

// PrivateIPOnly says whether a Cell does without a public address; nil: its
// subnet decides. A Cell may do without one, but not have one where its class
// gives none.
func PrivateIPOnly(spec *v1beta1.CellSpec, class *v1beta1.CellClass) *bool {
	if spec.PrivateIPOnly == nil || class.Spec.PrivateIPOnly != nil && *class.Spec.PrivateIPOnly {
		return class.Spec.PrivateIPOnly
	}
	return spec.PrivateIPOnly
}

// RootVolume is a Cell's root volume, at least as large as the image's own.
func RootVolume(spec *v1beta1.CellSpec, class *v1beta1.CellClass, imageGiB int32) cloud.Volume {
	root := class.Spec.AWS.RootVolume
	volume := cloud.Volume{GiB: max(volumeGiB(spec, class), imageGiB), Type: root.Type, Encrypted: root.Encrypted, KMSKeyID: root.KMSKeyID}
	if root.IOPS != nil {
		volume.IOPS = *root.IOPS
	}
	if root.Throughput != nil {
		volume.Throughput = *root.Throughput
	}
	return volume
}

// CountedVolume is the volume by whose price an offering is chosen: it is as
// large as the largest of the class's images needs it.
func CountedVolume(spec *v1beta1.CellSpec, class *v1beta1.CellClass) cloud.Volume {
	var most int32
	for _, image := range class.Status.Images {
		most = max(most, image.MinVolumeGiB)
	}
	return RootVolume(spec, class, most)
}

// volumeGiB is the size that is asked for, rounded up.
func volumeGiB(spec *v1beta1.CellSpec, class *v1beta1.CellClass) int32 {
	size := spec.VolumeSize
	if size == nil {
		size = class.Spec.DefaultVolumeSize
	}
	if size == nil {
		return 0
	}
	const gib = 1 << 30
	whole, rest := size.Value()/gib, size.Value()%gib
	if rest > 0 {
		whole++
	}
	return int32(min(whole, math.MaxInt32))
}

// Image is the image of a class with an ID, nil where it has none such.
func Image(class *v1beta1.CellClass, id string) *v1beta1.ResolvedImage {
	for i := range class.Status.Images {
		if class.Status.Images[i].ID == id {
			return &class.Status.Images[i]
		}
	}
	return nil
}
