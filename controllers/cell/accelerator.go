package cell

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"kip.elotl.co/api/v1beta1"
	"kip.elotl.co/internal/cellspec"
)

// sayPlainImage makes an event, of the Cell and of its pod, of a type with
// accelerators that is launched with an image for none. It is no reason to
// refuse: such an image may have the driver.
func (c *Controller) sayPlainImage(s *scope, attempt *v1beta1.LaunchAttempt) {
	index, image := c.Catalogue.IndexFor(s.class.Spec.AWS.Tenancy), cellspec.Image(s.class, attempt.ImageID)
	if index == nil || image == nil || image.Accelerator != v1beta1.AcceleratorNone {
		return
	}
	kind, _ := index.Type(attempt.InstanceType)
	accelerator := v1beta1.AcceleratorNvidia
	switch {
	case kind.GPUs > 0:
	case kind.Neurons > 0:
		accelerator = v1beta1.AcceleratorNeuron
	default:
		return
	}
	text := fmt.Sprintf("CellClass %q has no image for %s: %s is launched with %s, which must have its driver; else add one to spec.bootImageOverrides",
		s.class.Name, accelerator, attempt.InstanceType, image.ID)
	c.Events.Eventf(s.cell, nil, corev1.EventTypeWarning, v1beta1.ReasonNoAcceleratorImage, "Launch", "%s", text)
	if ref := s.cell.Spec.PodRef; ref != nil {
		pod := &corev1.ObjectReference{APIVersion: "v1", Kind: "Pod", Namespace: ref.Namespace, Name: ref.Name, UID: types.UID(ref.UID)}
		c.Events.Eventf(pod, nil, corev1.EventTypeWarning, v1beta1.ReasonNoAcceleratorImage, "Launch", "%s", text)
	}
}
