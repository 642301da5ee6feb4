package cell

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"kip.elotl.co/api/v1beta1"
	"kip.elotl.co/hack/localaws/boot/boottest"
	"kip.elotl.co/hack/localaws/boot/hollow"
	"kip.elotl.co/hack/localaws/faults"
	"kip.elotl.co/hack/localaws/world"
	"kip.elotl.co/test/fixture"
)

// TestInstanceEndsWhileBooting: the next attempt is made at once, as nothing
// was refused; when it happens again, after a wait.
func TestInstanceEndsWhileBooting(t *testing.T) {
	b := newBench(t, silent).start()
	b.class()
	cell := b.booting(b.cell(withPod))
	first := cell.Status.InstanceID
	b.cloud.Kill(t, first)
	b.backend.Replace(hollow.New(hollow.Config{}))
	b.clock.Advance(2 * bootCheckEvery)
	b.poke(cell)
	b.wait(cell, "the attempt has ended", func(is *v1beta1.Cell) error {
		if is.Status.Attempts[0].Code != codeInstanceTerminated {
			return fmt.Errorf("attempts %+v", is.Status.Attempts)
		}
		return nil
	})
	b.clock.Advance(refusedFirst)
	b.poke(cell)
	is := b.ready(cell)
	if diff := cmp.Diff([]string{codeInstanceTerminated, ""}, attemptCodes(is)); diff != "" {
		t.Errorf("codes of the attempts (-want +got):\n%s", diff)
	}
	if live := b.cloud.Live(cell); len(live) != 1 || live[0].ID == first || live[0].ID != is.Status.InstanceID {
		t.Errorf("live instances %+v", live)
	}
}

// TestStatusWithoutInstance: what was said of an instance is not said any more
// when it is gone.
func TestStatusWithoutInstance(t *testing.T) {
	b := newBench(t).start()
	b.class()
	cell := b.ready(b.cell())
	b.cloud.Spoil(t, faults.Plan{Capacity: []faults.Dry{{}}})
	b.cloud.Kill(t, cell.Status.InstanceID)
	b.clock.Advance(2 * readyCheckEvery)
	b.poke(cell)
	is := b.wait(cell, "the attempt has ended", func(is *v1beta1.Cell) error {
		if openAttempt(is) != nil || is.Status.InstanceID != "" {
			return fmt.Errorf("status %+v", is.Status)
		}
		return nil
	})
	got := []string{is.Status.IP, is.Status.PodIP, is.Status.Zone, is.Status.ImageID, is.Status.InstanceType, string(is.Status.LaunchType), string(is.Status.Phase)}
	if diff := cmp.Diff([]string{"", "", "", "", "", "", "Pending"}, got); diff != "" || is.Status.Agent != nil {
		t.Errorf("agent %v; status (-want +got):\n%s", is.Status.Agent, diff)
	}
	if err := wantCondition(is, v1beta1.ConditionLaunched, metav1.ConditionFalse, v1beta1.ReasonLaunchFailed, cell.Status.InstanceID, "Server.InternalError"); err != nil {
		t.Error(err)
	}
}

// TestInstanceOfAPodEnds: it is not launched again; whoever made the Cell
// decides what comes next.
func TestInstanceOfAPodEnds(t *testing.T) {
	b := newBench(t).start()
	b.class()
	cell := b.ready(b.cell(withPod))
	b.cloud.Kill(t, cell.Status.InstanceID)
	b.clock.Advance(2 * readyCheckEvery)
	b.poke(cell)
	is := b.unready(cell, v1beta1.ReasonInstanceGone, cell.Status.InstanceID, "terminated", "Server.InternalError")
	if is.Status.Phase != v1beta1.CellFailed || is.Status.InstanceID != cell.Status.InstanceID {
		t.Errorf("phase %s, instance %s", is.Status.Phase, is.Status.InstanceID)
	}
	b.event(cell, v1beta1.ReasonInstanceGone)
	b.clock.Advance(time.Hour)
	b.pokeAndWait(cell)
	b.stop()
	b.start()
	b.pokeAndWait(cell)
	b.unready(cell, v1beta1.ReasonInstanceGone)
	if n := len(b.cloud.Instances(cell)); n != 1 {
		t.Errorf("%d instances", n)
	}
	if err := b.Delete(t.Context(), cell); err != nil {
		t.Fatal(err)
	}
	fixture.WaitGone(t, b, cell)
}

// TestInstancesThatDie: each after its launch, as with a key for volumes that
// may not be used; another zone is no reason to launch them without pause.
func TestInstancesThatDie(t *testing.T) {
	b := newBench(t, silent).start()
	b.class()
	cell := b.booting(b.cell())
	for n := range 2 {
		b.cloud.Kill(t, cell.Status.InstanceID)
		b.clock.Advance(2 * bootCheckEvery)
		b.poke(cell)
		b.wait(cell, "the attempt has ended", func(is *v1beta1.Cell) error { return wantAttempts(is, n+1) })
		b.pokeAndWait(cell)
		if launched := len(b.cloud.Instances(cell)); launched != n+1 {
			t.Fatalf("%d instances were launched without a pause", launched)
		}
		b.clock.Advance(refusedFirst << n)
		b.poke(cell)
		cell = b.booting(cell)
	}
}

// TestInstanceOfNoPodEnds: a Cell that somebody applied gets another.
func TestInstanceOfNoPodEnds(t *testing.T) {
	b := newBench(t).start()
	b.class()
	cell := b.ready(b.cell())
	b.cloud.Kill(t, cell.Status.InstanceID)
	b.clock.Advance(2 * readyCheckEvery)
	b.poke(cell)
	b.wait(cell, "the attempt has ended", func(is *v1beta1.Cell) error {
		if is.Status.Attempts[0].EndTime == nil {
			return fmt.Errorf("attempts %+v", is.Status.Attempts)
		}
		return nil
	})
	b.clock.Advance(refusedFirst)
	b.poke(cell)
	is := b.ready(cell)
	if is.Status.InstanceID == cell.Status.InstanceID || len(b.cloud.Live(cell)) != 1 {
		t.Errorf("instance %s, live %+v", is.Status.InstanceID, b.cloud.Live(cell))
	}
}

// TestNotYetVisible: for a while after a launch EC2 does not know the instance.
func TestNotYetVisible(t *testing.T) {
	b := newBench(t, func(c *world.Config) { c.ConsistencyDelay = 2 * time.Second }).start()
	b.class()
	cell := b.ready(b.cell())
	b.clock.Advance(2 * bootCheckEvery)
	b.poke(cell)
	b.wantOneLaunch(b.ready(cell))
	if err := b.Delete(t.Context(), cell); err != nil {
		t.Fatal(err)
	}
	fixture.WaitGone(t, b, cell)
	if is := b.cloud.Instances(cell); len(is) != 1 || is[0].State != world.Terminated {
		t.Errorf("instances %+v", is)
	}
}

// TestUnseenByFault: so it is where that lasts longer than the boot, and when the
// operator dies meanwhile.
func TestUnseenByFault(t *testing.T) {
	b := newBench(t).start()
	b.readyClass()
	b.cloud.Spoil(t, faults.Plan{UnseenFor: faults.Duration(time.Hour)})
	cell := b.ready(b.cell())
	b.stop()
	b.start()
	b.clock.Advance(2 * readyCheckEvery)
	b.pokeAndWait(cell)
	b.wantOneLaunch(b.ready(cell))
	b.cloud.Spoil(t, faults.Plan{})
	b.clock.Advance(2 * readyCheckEvery)
	b.pokeAndWait(cell)
	b.wantOneLaunch(b.ready(cell))
}

// TestDeletedWithOpenAttempt: the operator died at the launch, and the Cell is
// deleted before the next one starts.
func TestDeletedWithOpenAttempt(t *testing.T) {
	for name, launched := range map[string]bool{"launched": true, "not launched": false} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			b.class()
			cell := b.killAtLaunch(launched)
			if err := b.Delete(t.Context(), cell); err != nil {
				t.Fatal(err)
			}
			b.start()
			if !launched {
				b.pokeAndWait(cell)
				if _, err := fixture.Get(t.Context(), b, cell); err != nil {
					t.Fatalf("the Cell is let go while the launch may still show: %v", err)
				}
				b.clock.Advance(launchVisible)
				b.poke(cell)
			}
			fixture.WaitGone(t, b, cell)
			for _, instance := range b.cloud.Instances(cell) {
				if instance.State != world.Terminated {
					t.Errorf("instance %s is %s", instance.ID, instance.State.Name)
				}
			}
		})
	}
}

// TestStaysUntilTerminated: the Cell goes after its instance, not before, and
// says what it waits for.
func TestStaysUntilTerminated(t *testing.T) {
	b := newBench(t, func(c *world.Config) { c.Backend = &boottest.Backend{}; c.ShutdownDelay = 4 * time.Second }).start()
	b.class()
	cell := b.booting(b.cell())
	if err := b.Delete(t.Context(), cell); err != nil {
		t.Fatal(err)
	}
	b.clock.Advance(slowEnd)
	b.poke(cell)
	is := b.unready(cell, v1beta1.ReasonTerminating, cell.Status.InstanceID)
	if is.Status.Phase != v1beta1.CellTerminating {
		t.Errorf("phase %s", is.Status.Phase)
	}
	fixture.Eventually(t, "Cell and instance have gone", func(ctx context.Context) error {
		instance, _ := b.cloud.World.Instance(cell.Status.InstanceID)
		if _, err := fixture.Get(ctx, b, cell); err == nil {
			return errors.New("the Cell is there")
		}
		if instance.State != world.Terminated {
			t.Fatalf("the Cell is gone, its instance is %s", instance.State.Name)
		}
		return nil
	})
}

// TestTerminateIsRefused: the Cell stays until its instance can be ended.
func TestTerminateIsRefused(t *testing.T) {
	b := newBench(t).start()
	b.class()
	cell := b.ready(b.cell())
	b.cloud.Spoil(t, faults.Plan{Errors: []faults.Refusal{{Action: "TerminateInstances", Code: "UnauthorizedOperation"}}})
	if err := b.Delete(t.Context(), cell); err != nil {
		t.Fatal(err)
	}
	fixture.Eventually(t, "the end is refused", func(context.Context) error {
		if len(b.cloud.Calls("TerminateInstances")) == 0 {
			return errors.New("it was not asked for")
		}
		return nil
	})
	if _, err := fixture.Get(t.Context(), b, cell); err != nil {
		t.Fatalf("the Cell is let go with its instance running: %v", err)
	}
	b.cloud.Spoil(t, faults.Plan{})
	fixture.WaitGone(t, b, cell)
	if live := b.cloud.Live(cell); len(live) > 0 {
		t.Errorf("live instances %+v", live)
	}
}
