package cell

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	"kip.elotl.co/api/v1beta1"
	"kip.elotl.co/test/fixture"
)

// TestAgentIsKnown: the class keeps which agent its cells have, also of one that
// has gone, until it is another class.
func TestAgentIsKnown(t *testing.T) {
	b := newBench(t).start()
	b.readyClass()
	cell := b.ready(b.cell())
	class, err := fixture.Get(t.Context(), b, &v1beta1.CellClass{ObjectMeta: cell.ObjectMeta})
	if err != nil {
		t.Fatal(err)
	}
	agent, attempt := cell.Status.Agent, cell.Status.Attempts[0]
	if attempt.ClassGeneration != class.Generation || agent.AppArmor == nil {
		t.Errorf("attempt %+v of generation %d, agent %+v", attempt, class.Generation, agent)
	}
	want := []v1beta1.KnownAgent{{ImageID: attempt.ImageID, ClassGeneration: class.Generation,
		Name: agent.Name, Version: agent.Version, Runtime: agent.Runtime, AppArmor: agent.AppArmor}}
	knows := func(want []v1beta1.KnownAgent) func(*v1beta1.CellClass) error {
		return func(is *v1beta1.CellClass) error {
			if diff := cmp.Diff(want, is.Status.Agents); diff != "" {
				return fmt.Errorf("agents (-want +got):\n%s", diff)
			}
			return nil
		}
	}
	fixture.WaitFor(t, b, class, "the class knows the agent", knows(want))
	if err := b.Delete(t.Context(), cell); err != nil {
		t.Fatal(err)
	}
	fixture.WaitGone(t, b, cell)
	fixture.WaitFor(t, b, class, "the class has no Cells", func(is *v1beta1.CellClass) error {
		if is.Status.Cells > 0 {
			return fmt.Errorf("it has %d", is.Status.Cells)
		}
		return knows(want)(is)
	})
	edit(b, class, func(c *v1beta1.CellClass) { c.Spec.Itzo.Version = "v3" })
	fixture.WaitFor(t, b, class, "the class knows none", knows(nil))
}
