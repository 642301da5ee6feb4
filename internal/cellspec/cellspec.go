// Package cellspec reads what a Cell and its class together ask for: an
// offering, a root volume, an address; what that costs; and what keeps it from
// being had. The operator launches by it, kubectl kip price foretells by it.
package cellspec

import (
	"math"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"

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
		Zone:           spec.Zone,
		PrivateIPOnly:  PrivateIPOnly(spec, class),
		VolumeGiB:      askedGiB(spec.VolumeSize),
		StorageGiB:     storageGiB(spec),
		VolumePerHour:  catalogue.VolumePerHour(region, CountedVolume(spec, class)),
		AddressPerHour: catalogue.PublicIPv4PerHour(),
	}
	if ask.Type == "" && !choosesType(spec.Resources) {
		ask.Type = class.Spec.DefaultInstanceType
	}
	if ask.LaunchType == "" {
		ask.LaunchType = class.Spec.DefaultLaunchType
	}
	return ask
}

// choosesType says whether there is a resource by which a type is chosen.
func choosesType(resources corev1.ResourceList) bool {
	for name := range resources {
		if name != corev1.ResourceEphemeralStorage {
			return true
		}
	}
	return false
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
	if !ByDefault(spec, ask) || len(ask.Terms) == 0 && ask.Zone == "" {
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

// RootVolume is a Cell's root volume, at least as large as the image's own: the
// size that the Cell says, else the class's default with the pod's ephemeral
// storage on top.
func RootVolume(spec *v1beta1.CellSpec, class *v1beta1.CellClass, imageGiB int32) cloud.Volume {
	root := class.Spec.AWS.RootVolume
	volume := cloud.Volume{GiB: volumeGiB(spec, class, imageGiB), Type: root.Type, Encrypted: root.Encrypted, KMSKeyID: root.KMSKeyID}
	if root.IOPS != nil {
		volume.IOPS = *root.IOPS
	}
	if root.Throughput != nil {
		volume.Throughput = *root.Throughput
	}
	return volume
}

// CountedVolume is the volume by whose price an offering is chosen: it is as
// large as the largest of the class's images needs it, or as the Cell says.
func CountedVolume(spec *v1beta1.CellSpec, class *v1beta1.CellClass) cloud.Volume {
	if spec.VolumeSize != nil {
		return RootVolume(spec, class, 0)
	}
	var most int32
	for _, image := range class.Status.Images {
		most = max(most, image.MinVolumeGiB)
	}
	return RootVolume(spec, class, most)
}

func volumeGiB(spec *v1beta1.CellSpec, class *v1beta1.CellClass, imageGiB int32) int32 {
	if spec.VolumeSize != nil {
		return max(askedGiB(spec.VolumeSize), imageGiB)
	}
	system := max(askedGiB(class.Spec.DefaultVolumeSize), imageGiB)
	return int32(min(int64(system)+int64(storageGiB(spec)), math.MaxInt32))
}

// storageGiB is the ephemeral storage that the pod requests, rounded up.
func storageGiB(spec *v1beta1.CellSpec) int32 {
	size := spec.Resources[corev1.ResourceEphemeralStorage]
	return askedGiB(&size)
}

// askedGiB rounds a size up; 0 for none.
func askedGiB(size *resource.Quantity) int32 {
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
