package cell

import (
	"testing"

	"k8s.io/apimachinery/pkg/types"

	"kip.elotl.co/api/v1beta1"
)

// TestAcceleratorWithPlainImage: that the image may lack the driver is said, of
// the Cell and of its pod, and the cell is launched all the same.
func TestAcceleratorWithPlainImage(t *testing.T) {
	b := newBench(t, silent).start()
	b.readyClass()
	cell := b.cell(withPod, func(c *v1beta1.Cell) { c.Spec.InstanceType = "g4dn.xlarge" })
	b.booting(cell)
	b.event(cell, v1beta1.ReasonNoAcceleratorImage)
	pod := &v1beta1.Cell{}
	pod.UID = types.UID(cell.Spec.PodRef.UID)
	b.event(pod, v1beta1.ReasonNoAcceleratorImage)
}
