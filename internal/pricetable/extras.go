package pricetable

import (
	"fmt"
	"math"

	"kip.elotl.co/api/v1beta1"
	"kip.elotl.co/internal/catalogue"
	"kip.elotl.co/internal/cloud"
)

// extras is what a cell has besides its instance.
type extras struct {
	volume cloud.Volume
	public bool
	// volumePerHour and publicPerHour are in USD.
	volumePerHour, publicPerHour float64
}

func (e extras) perHour() float64 { return e.volumePerHour + e.publicPerHour }

// extrasOf counts as the operator does when it chooses: the volume is at least
// as large as the largest of the class's images, and the address is public
// where one of the subnets gives such and nobody said otherwise.
func extrasOf(spec *v1beta1.CellSpec, class *v1beta1.CellClass, region string) extras {
	root := class.Spec.AWS.RootVolume
	e := extras{volume: cloud.Volume{GiB: volumeGiB(spec, class), Type: root.Type}, public: isPublic(spec, class)}
	for _, image := range class.Status.Images {
		e.volume.GiB = max(e.volume.GiB, image.MinVolumeGiB)
	}
	if root.IOPS != nil {
		e.volume.IOPS = *root.IOPS
	}
	if root.Throughput != nil {
		e.volume.Throughput = *root.Throughput
	}
	e.volumePerHour = catalogue.VolumePerHour(region, e.volume)
	if e.public {
		e.publicPerHour = catalogue.PublicIPv4PerHour()
	}
	return e
}

func isPublic(spec *v1beta1.CellSpec, class *v1beta1.CellClass) bool {
	for _, private := range []*bool{spec.PrivateIPOnly, class.Spec.PrivateIPOnly} {
		if private != nil {
			return !*private
		}
	}
	for _, subnet := range class.Status.Subnets {
		if subnet.Public {
			return true
		}
	}
	return false
}

// volumeGiB is the root volume's size as it is asked for, rounded up.
func volumeGiB(spec *v1beta1.CellSpec, class *v1beta1.CellClass) int32 {
	size := spec.VolumeSize
	if size == nil {
		size = class.Spec.DefaultVolumeSize
	}
	if size == nil {
		return 0
	}
	const gib = 1 << 30
	return int32(min((size.Value()+gib-1)/gib, math.MaxInt32))
}

// checkVolume refuses a size that was asked for on purpose and is smaller than
// the image's.
func checkVolume(spec *v1beta1.CellSpec, class *v1beta1.CellClass, imageID string) error {
	if spec.VolumeSize == nil {
		return nil
	}
	for _, image := range class.Status.Images {
		if image.ID == imageID && volumeGiB(spec, class) < image.MinVolumeGiB {
			return fmt.Errorf("annotation %s: %s is smaller than the root volume of image %s, %dGi",
				v1beta1.AnnotationVolumeSize, spec.VolumeSize, image.ID, image.MinVolumeGiB)
		}
	}
	return nil
}
