package cell

import (
	"fmt"
	"testing"

	"k8s.io/apimachinery/pkg/api/meta"

	"kip.elotl.co/api/v1beta1"
	"kip.elotl.co/test/fixture"
)

// TestNoticeIsHeeded: it is told by condition and event, and the next cell goes
// to another offering.
func TestNoticeIsHeeded(t *testing.T) {
	b := newBench(t).start()
	b.readyClass()
	cell := b.ready(b.cell(withPod))
	b.noted(cell, `{"interruption":{"action":"terminate","time":"2031-02-03T04:05:06Z"}}`)
	b.trouble(cell, v1beta1.ConditionInterruption, " back: terminate at 2031-02-03T04:05:06Z")
	b.event(cell, v1beta1.ReasonInterrupted)
	next := b.ready(b.cell(func(c *v1beta1.Cell) { c.Name += "-next" }))
	if was := cell.Status; next.Status.InstanceType == was.InstanceType && next.Status.Zone == was.Zone {
		t.Errorf("the next is %s in %s too", was.InstanceType, was.Zone)
	}
	b.ready(cell)
}

// noted writes down what a Cell's agent was told, as the pod's controller does.
func (b *bench) noted(cell *v1beta1.Cell, notices string) {
	b.Helper()
	edit(b, cell, func(c *v1beta1.Cell) { c.Annotations = map[string]string{v1beta1.AnnotationNotices: notices} })
}

// TestMaintenanceByTheAgent: what only the agent was told is told as well, until
// it is told no more; what cannot be read is passed over.
func TestMaintenanceByTheAgent(t *testing.T) {
	b := newBench(t).start()
	b.readyClass()
	cell := b.ready(b.cell(withPod))
	b.noted(cell, `{"rebalance":"2031-02-03T04:05:06Z","maintenance":[{"code":"system-reboot","notBefore":"2031-02-03T04:05:06Z"}]}`)
	b.trouble(cell, v1beta1.ConditionMaintenance, "system-reboot not before 2031-02-03T04:05:06Z")
	b.trouble(cell, v1beta1.ConditionInterruption, "more likely than usual")
	b.event(cell, v1beta1.ReasonMaintenance)
	b.event(cell, v1beta1.ReasonRebalance)
	b.noted(cell, `{]`)
	b.pokeAndWait(cell)
	b.trouble(cell, v1beta1.ConditionInterruption, "more likely than usual")
	b.noted(cell, `{}`)
	b.wait(cell, "no condition InterruptionNotice", func(is *v1beta1.Cell) error {
		if meta.FindStatusCondition(is.Status.Conditions, v1beta1.ConditionInterruption) != nil {
			return fmt.Errorf("conditions %+v", is.Status.Conditions)
		}
		return nil
	})
}

// TestDeletedWithTheNotice: the offering counts as risky also where the Cell is
// deleted before anybody has looked at what its agent was told.
func TestDeletedWithTheNotice(t *testing.T) {
	b := newBench(t)
	b.start().readyClass()
	cell := b.ready(b.cell(withPod))
	was := cell.Status
	b.stop()
	b.noted(cell, `{"interruption":{"action":"terminate","time":"2031-02-03T04:05:06Z"}}`)
	if err := b.Delete(t.Context(), cell); err != nil {
		t.Fatal(err)
	}
	b.start()
	fixture.WaitGone(t, b, cell)
	next := b.ready(b.cell(func(c *v1beta1.Cell) { c.Name += "-next" }))
	if next.Status.InstanceType == was.InstanceType && next.Status.Zone == was.Zone {
		t.Errorf("the next is %s in %s too", was.InstanceType, was.Zone)
	}
}
