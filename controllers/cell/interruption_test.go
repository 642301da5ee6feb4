package cell

import (
	"testing"

	"kip.elotl.co/api/v1beta1"
)

// TestNoticeIsHeeded: it is told by condition and event, and the next cell goes
// to another offering.
func TestNoticeIsHeeded(t *testing.T) {
	b := newBench(t).start()
	b.readyClass()
	cell := b.ready(b.cell(withPod))
	edit(b, cell, func(c *v1beta1.Cell) {
		c.Annotations = map[string]string{v1beta1.AnnotationNotice: v1beta1.ReasonInterrupted + " EC2 takes the instance back: soon"}
	})
	b.trouble(cell, v1beta1.ConditionInterruption, "EC2 takes the instance back: soon")
	b.event(cell, v1beta1.ReasonInterrupted)
	next := b.ready(b.cell(func(c *v1beta1.Cell) { c.Name += "-next" }))
	if was := cell.Status; next.Status.InstanceType == was.InstanceType && next.Status.Zone == was.Zone {
		t.Errorf("the next is %s in %s too", was.InstanceType, was.Zone)
	}
	b.ready(cell)
}
