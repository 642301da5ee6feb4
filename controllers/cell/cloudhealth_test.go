package cell

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"kip.elotl.co/api/v1beta1"
	"kip.elotl.co/hack/localaws/faults"
	"kip.elotl.co/hack/localaws/world"
)

func byCloudAPI(seconds int32) func(*v1beta1.CellClassSpec) {
	return func(s *v1beta1.CellClassSpec) {
		s.HealthCheck = &v1beta1.HealthCheckSpec{CloudAPI: &v1beta1.HealthCheck{HealthyTimeout: seconds}}
	}
}

func (b *bench) afflict(cell *v1beta1.Cell, to world.Trouble) {
	b.Helper()
	if err := b.cloud.World.Afflict(cell.Status.InstanceID, func(t *world.Trouble) { *t = to }); err != nil {
		b.Fatal(err)
	}
}

// lookAgain lets the cloud be asked how it sees the cell.
func (b *bench) lookAgain(cell *v1beta1.Cell, every time.Duration) {
	b.Helper()
	b.clock.Advance(2 * every)
	b.pokeAndWait(cell)
}

func (b *bench) trouble(cell *v1beta1.Cell, kind string, texts ...string) {
	b.Helper()
	b.wait(cell, "condition "+kind, func(is *v1beta1.Cell) error {
		condition := meta.FindStatusCondition(is.Status.Conditions, kind)
		if condition == nil || condition.Status != metav1.ConditionTrue {
			return fmt.Errorf("conditions %+v", is.Status.Conditions)
		}
		for _, text := range texts {
			if !strings.Contains(condition.Message, text) {
				return fmt.Errorf("message %q lacks %q", condition.Message, text)
			}
		}
		return nil
	})
}

// TestStatusCheckFails: with the class's mode cloudAPI a cell is given up when
// its check has failed for as long as the class says, though its agent answers;
// a restart of the operator does not begin the time anew.
func TestStatusCheckFails(t *testing.T) {
	b := newBench(t).start()
	b.readyClass(byCloudAPI(600))
	cell := b.ready(b.cell(withPod))
	b.pokeAndWait(cell)
	b.afflict(cell, world.Trouble{SystemImpaired: true})
	b.lookAgain(cell, statusEvery)
	b.trouble(cell, v1beta1.ConditionImpaired, "system status check")
	b.event(cell, v1beta1.ReasonStatusCheckFailed)
	b.clock.Advance(5 * time.Minute)
	b.pokeAndWait(cell)
	b.ready(cell)
	b.stop()
	b.start()
	b.pokeAndWait(cell)
	b.clock.Advance(5 * time.Minute)
	b.poke(cell)
	is := b.unready(cell, v1beta1.ReasonStatusCheckFailed, "system status check", "10m0s")
	if is.Status.Phase != v1beta1.CellFailed || len(b.cloud.Live(cell)) > 0 {
		t.Errorf("phase %s, live %+v", is.Status.Phase, b.cloud.Live(cell))
	}
}

// TestStatusCheckRecovers: the time counts from the last success, and no answer
// is none.
func TestStatusCheckRecovers(t *testing.T) {
	b := newBench(t).start()
	b.readyClass(byCloudAPI(300))
	cell := b.ready(b.cell(withPod))
	b.pokeAndWait(cell)
	b.afflict(cell, world.Trouble{InstanceImpaired: true})
	b.lookAgain(cell, statusEvery)
	b.trouble(cell, v1beta1.ConditionImpaired, "instance status check")
	b.cloud.Spoil(t, faults.Plan{Errors: []faults.Refusal{{Action: "DescribeInstanceStatus", Code: "UnauthorizedOperation"}}})
	b.lookAgain(cell, time.Hour)
	b.ready(cell)
	b.cloud.Spoil(t, faults.Plan{})
	b.afflict(cell, world.Trouble{})
	b.lookAgain(cell, statusEvery)
	b.wait(cell, "the condition goes", func(is *v1beta1.Cell) error {
		if meta.FindStatusCondition(is.Status.Conditions, v1beta1.ConditionImpaired) != nil {
			return fmt.Errorf("conditions %+v", is.Status.Conditions)
		}
		return nil
	})
	b.ready(cell)
}

// TestMaintenanceIsTold: whatever the mode, by condition and event; nothing ends.
func TestMaintenanceIsTold(t *testing.T) {
	b := newBench(t).start()
	b.readyClass()
	cell := b.ready(b.cell(withPod))
	b.pokeAndWait(cell)
	b.afflict(cell, world.Trouble{SystemImpaired: true, Maintenance: []world.Maintenance{
		{Code: "system-reboot", Description: "[Completed] done", NotBefore: time.Unix(1, 0)},
		{Code: "instance-retirement", Description: "degraded hardware", NotBefore: time.Date(2031, 2, 3, 4, 5, 6, 0, time.UTC)},
	}})
	b.lookAgain(cell, scheduledEvery)
	b.trouble(cell, v1beta1.ConditionMaintenance, "instance-retirement not before 2031-02-03T04:05:06Z: degraded hardware")
	if note := b.note(cell, v1beta1.ReasonMaintenance); strings.Contains(note, "system-reboot") {
		t.Errorf("event %q", note)
	}
	b.lookAgain(cell, 24*time.Hour)
	b.ready(cell)
}

// TestAgentsTimeoutOfTheClass: it counts for Cells that say nothing, and the
// Cell's own goes before it.
func TestAgentsTimeoutOfTheClass(t *testing.T) {
	b := newBench(t)
	agents := b.mutable()
	b.start().readyClass(func(s *v1beta1.CellClassSpec) {
		s.HealthCheck = &v1beta1.HealthCheckSpec{Status: &v1beta1.HealthCheck{HealthyTimeout: 2}}
	})
	given := b.ready(b.cell(withPod))
	kept := b.ready(b.cell(withPod, patience(0), func(c *v1beta1.Cell) { c.Name += "-kept"; c.Spec.PodRef.UID = "other" }))
	agents.muted.Store(true)
	b.unready(given, v1beta1.ReasonAgentLost, "2s")
	b.clock.Advance(time.Hour)
	b.pokeAndWait(kept)
	b.ready(kept)
}

// TestStoppedBehindOurBack: a stopped instance is as lost as one that has ended.
func TestStoppedBehindOurBack(t *testing.T) {
	b := newBench(t).start()
	b.readyClass()
	cell := b.ready(b.cell(withPod))
	if err := b.cloud.World.Stop(cell.Status.InstanceID); err != nil {
		t.Fatal(err)
	}
	b.clock.Advance(2 * readyCheckEvery)
	b.poke(cell)
	b.unready(cell, v1beta1.ReasonInstanceGone, cell.Status.InstanceID)
}

// TestClassAsksTheCloudNow: a class that begins to ask the cloud need not wait
// for the look that was planned without it.
func TestClassAsksTheCloudNow(t *testing.T) {
	b := newBench(t).start()
	b.readyClass()
	cell := b.ready(b.cell(withPod))
	b.pokeAndWait(cell)
	b.afflict(cell, world.Trouble{SystemImpaired: true})
	edit(b, &v1beta1.CellClass{ObjectMeta: metav1.ObjectMeta{Name: b.name}}, func(class *v1beta1.CellClass) { byCloudAPI(600)(&class.Spec) })
	b.trouble(cell, v1beta1.ConditionImpaired, "system status check")
}
