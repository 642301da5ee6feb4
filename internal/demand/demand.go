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

// systemVolume is what the root volume needs beside the pod's ephemeral
// storage: the machine's own files and the containers' images.
const systemVolume = 8 << 30

// storage sizes the root volume so that the pod's ephemeral-storage fits.
func (r *reader) storage() {
	needed := requests(r.pod)[corev1.ResourceEphemeralStorage]
	if needed.IsZero() {
		return
	}
	if asked := r.spec.VolumeSize; asked != nil {
		if asked.Cmp(needed) < 0 {
			r.refuse(v1beta1.ReasonInvalidVolumeSize, "annotation %s: %s is less than the %s ephemeral-storage that the pod requests",
				v1beta1.AnnotationVolumeSize, asked, &needed)
		}
		return
	}
	if most := resource.MustParse(maxVolume); needed.CmpInt64(most.Value()-systemVolume) > 0 {
		r.refuse(v1beta1.ReasonInvalidVolumeSize, "the pod requests %s ephemeral-storage; with the machine's own files it has to fit into a volume of %s", &needed, maxVolume)
		return
	}
	total := resource.NewQuantity(needed.Value()+systemVolume, resource.BinarySI)
	if r.class != nil && r.class.Spec.DefaultVolumeSize != nil && r.class.Spec.DefaultVolumeSize.Cmp(*total) >= 0 {
		return
	}
	r.spec.VolumeSize = total
}
