// Package demand reads from a pod what it asks of its cell: resources, node
// selection and the annotations pod.elotl.co/…. It is pure.
package demand

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"

	"kip.elotl.co/api/v1beta1"
)

// Refusal is why no cell may be made for a pod as it is written.
type Refusal struct {
	// Reason is v1beta1.ReasonInvalidAnnotation, …NotPrivileged, …InvalidAffinity or …InvalidVolumeSize.
	Reason string
	// Message names the annotation or field, its value, and what would be right.
	Message string
}

// Of gives the spec of a pod's Cell. Labels are those of the node that the pod
// is bound to: the scheduler has chosen by them already.
//
// The class counts for privileges and for the size of the volume; without it
// (nil) the pod has no privileges.
func Of(pod *corev1.Pod, class *v1beta1.CellClass, labels map[string]string) (v1beta1.CellSpec, []Refusal) {
	r := &reader{pod: pod, class: class}
	r.annotations()
	r.hostNetwork()
	r.spec.Resources = Resources(pod)
	r.affinity(labels)
	r.storage()
	return r.spec, r.refusals
}

// reader collects a Cell's spec and what speaks against it.
type reader struct {
	pod      *corev1.Pod
	class    *v1beta1.CellClass
	spec     v1beta1.CellSpec
	refusals []Refusal
}

func (r *reader) refuse(reason, format string, args ...any) {
	r.refusals = append(r.refusals, Refusal{reason, fmt.Sprintf(format, args...)})
}

// storage looks whether the pod's ephemeral storage can be had beside what the
// machine itself takes of the root volume.
func (r *reader) storage() {
	needed := r.spec.Resources[corev1.ResourceEphemeralStorage]
	if needed.IsZero() {
		return
	}
	image, given := r.ownVolume()
	if asked := r.spec.VolumeSize; asked != nil {
		if !fits(asked, &needed, image) {
			r.refuse(v1beta1.ReasonInvalidVolumeSize, "annotation %s: %s is less than the %s ephemeral-storage that the pod requests and the %s of the machine image together",
				v1beta1.AnnotationVolumeSize, asked, &needed, resource.NewQuantity(image, resource.BinarySI))
		}
		return
	}
	if most := resource.MustParse(maxVolume); !fits(&most, &needed, max(image, given)) {
		r.refuse(v1beta1.ReasonInvalidVolumeSize, "the pod requests %s ephemeral-storage; with the %s of the machine's own files it has to fit into a volume of %s",
			&needed, resource.NewQuantity(max(image, given), resource.BinarySI), maxVolume)
	}
}

// ownVolume is what the class's smallest image takes of a volume, and what the
// class gives each machine, in bytes; 0 where that is not known.
func (r *reader) ownVolume() (image, given int64) {
	if r.class == nil {
		return 0, 0
	}
	const gib = 1 << 30
	for i, known := range r.class.Status.Images {
		if size := int64(known.MinVolumeGiB) * gib; i == 0 || size < image {
			image = size
		}
	}
	if size := r.class.Spec.DefaultVolumeSize; size != nil {
		given = size.Value()
	}
	return image, given
}

// fits says whether a volume holds what is needed beside what the system takes,
// in bytes.
func fits(volume, needed *resource.Quantity, system int64) bool {
	return needed.CmpInt64(volume.Value()-system) <= 0
}
