package cell

import (
	"fmt"
	"testing"
	"time"

	"kip.elotl.co/api/v1beta1"
	"kip.elotl.co/hack/localaws/world"
	"kip.elotl.co/internal/cloud"
	"kip.elotl.co/internal/launchmark"
	"kip.elotl.co/test/fixture"
)

// wantNamed waits until the status names an instance, whose Cell is ready. The
// instance is looked at now and again, as time goes on.
func (b *bench) wantNamed(cell *v1beta1.Cell, id string) {
	b.Helper()
	var looks time.Time
	b.wait(cell, "it is ready, and its status names "+id, func(is *v1beta1.Cell) error {
		if is.Status.InstanceID == id && is.Status.Phase == v1beta1.CellReady {
			return nil
		}
		if time.Since(looks) > 5*time.Second {
			looks = time.Now()
			b.clock.Advance(readyCheckEvery + time.Second)
			b.poke(cell)
		}
		return fmt.Errorf("it names %q, in phase %s", is.Status.InstanceID, is.Status.Phase)
	})
}

// TestStatusNamesAnother: two Cells name one instance, or one names nothing
// that there is: each gets its own back, and ends its own alone.
func TestStatusNamesAnother(t *testing.T) {
	for name, restart := range map[string]bool{"while the operator runs": false, "while it is down": true} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t).start()
			b.class()
			first := b.ready(b.cell())
			second := b.ready(b.cell(func(c *v1beta1.Cell) { c.Name += "-2" }))
			own := second.Status.InstanceID
			for _, wrong := range []string{first.Status.InstanceID, "i-0123456789abcdef0"} {
				if restart {
					b.stop()
				}
				b.editStatus(second, func(s *v1beta1.CellStatus) { s.InstanceID, s.IP = wrong, first.Status.IP })
				if restart {
					b.start()
				}
				b.wantNamed(second, own)
			}
			b.event(second, v1beta1.ReasonNotItsInstance)
			b.wantOneLaunch(b.ready(second))
			b.wantOneLaunch(b.ready(first))
		})
	}
}

// TestDeletedWhileItNamesAnother: what is another's does not end, what is its
// own does.
func TestDeletedWhileItNamesAnother(t *testing.T) {
	for name, wrong := range map[string]string{"of another": "", "no instance": "i-0123456789abcdef0", "no ID": "*"} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t).start()
			b.class()
			first := b.ready(b.cell())
			second := b.ready(b.cell(func(c *v1beta1.Cell) { c.Name += "-2" }))
			b.stop()
			b.editStatus(second, func(s *v1beta1.CellStatus) {
				if s.InstanceID = wrong; wrong == "" {
					s.InstanceID = first.Status.InstanceID
				}
			})
			if err := b.Delete(t.Context(), second); err != nil {
				t.Fatal(err)
			}
			b.start()
			fixture.WaitGone(t, b, second)
			if live := b.cloud.Live(second); len(live) > 0 {
				t.Errorf("live instances %+v", live)
			}
			b.wantOneLaunch(b.ready(first))
		})
	}
}

// TestForgedTags: an instance with a Cell's tags that was not launched for it
// is not adopted, and does not end with it.
func TestForgedTags(t *testing.T) {
	b := newBench(t).start()
	b.class()
	cell := b.ready(b.cell())
	forged, err := b.cloud.Launch(t.Context(), cloud.LaunchRequest{ClientToken: "somebody's", InstanceType: "t3.nano", ImageID: newest, SubnetID: subnetA})
	if err != nil {
		t.Fatal(err)
	}
	tags := map[string]string{
		v1beta1.TagCluster: clusterID, v1beta1.TagCell: string(cell.UID), launchmark.TagAttempt: "1",
		launchmark.TagStarted: fmt.Sprint(cell.Status.Attempts[0].StartTime.Unix()),
	}
	if err := b.cloud.Tag(t.Context(), forged.ID, tags); err != nil {
		t.Fatal(err)
	}
	b.stop()
	b.editStatus(cell, func(s *v1beta1.CellStatus) { *s = v1beta1.CellStatus{} })
	b.start()
	b.wantNamed(cell, cell.Status.InstanceID)
	b.stop()
	b.editStatus(cell, func(s *v1beta1.CellStatus) { *s = v1beta1.CellStatus{} })
	if err := b.Delete(t.Context(), cell); err != nil {
		t.Fatal(err)
	}
	b.start()
	fixture.WaitGone(t, b, cell)
	if live := b.cloud.Live(cell); len(live) != 1 || live[0].ID != forged.ID {
		t.Errorf("live instances %+v, want the forged one alone", live)
	}
}

// TestFinalizerTakenOff while the instance runs: the operator puts it back.
func TestFinalizerTakenOff(t *testing.T) {
	b := newBench(t).start()
	b.class()
	cell := b.ready(b.cell())
	edit(b, cell, func(c *v1beta1.Cell) { c.Finalizers = nil })
	b.wait(cell, "it has its finalizer", func(is *v1beta1.Cell) error {
		if len(is.Finalizers) != 1 {
			return fmt.Errorf("finalizers %v", is.Finalizers)
		}
		return nil
	})
	if err := b.Delete(t.Context(), cell); err != nil {
		t.Fatal(err)
	}
	fixture.WaitGone(t, b, cell)
	if is := b.cloud.Instances(cell); len(is) != 1 || is[0].State != world.Terminated {
		t.Errorf("instances %+v", is)
	}
}

// TestSpecCannotBeEdited: what a Cell is launched by is refused a change, by
// the API server.
func TestSpecCannotBeEdited(t *testing.T) {
	b := newBench(t)
	cell := b.cell(withPod)
	for name, change := range map[string]func(*v1beta1.CellSpec){
		"class":         func(s *v1beta1.CellSpec) { s.CellClassName = "another" },
		"instance type": func(s *v1beta1.CellSpec) { s.InstanceType = "m5.large" },
		"pod":           func(s *v1beta1.CellSpec) { s.PodRef.UID = "another" },
		"no pod":        func(s *v1beta1.CellSpec) { s.PodRef = nil },
	} {
		is, err := fixture.Get(t.Context(), b, cell)
		if err != nil {
			t.Fatal(err)
		}
		change(&is.Spec)
		if err := b.Update(t.Context(), is); err == nil {
			t.Errorf("%s: it was changed", name)
		}
	}
}
