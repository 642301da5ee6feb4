package cell

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	eventsv1 "k8s.io/api/events/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"kip.elotl.co/api/v1beta1"
	"kip.elotl.co/hack/localaws/boot"
	"kip.elotl.co/hack/localaws/boot/boottest"
	"kip.elotl.co/hack/localaws/faults"
	"kip.elotl.co/hack/localaws/firstboot/userdata"
	"kip.elotl.co/test/fixture"
)

func bootWithin(limit time.Duration) func(*v1beta1.CellClassSpec) {
	return func(spec *v1beta1.CellClassSpec) { spec.BootTimeout = &metav1.Duration{Duration: limit} }
}

// passBootTime lets the instance of a cell that does not come up be seen to
// run, and its time pass.
func (b *bench) passBootTime(cell *v1beta1.Cell, limit time.Duration) {
	b.Helper()
	is := b.booting(cell)
	fixture.Eventually(b, "the instance runs", func(context.Context) error {
		if i, ok := b.cloud.World.Instance(is.Status.InstanceID); !ok || i.State.Name != "running" {
			return errors.New("not yet")
		}
		return nil
	})
	b.clock.Advance(2 * bootCheckEvery)
	b.pokeAndWait(cell)
	b.clock.Advance(limit)
	b.poke(cell)
}

// TestBootTimeout: an instance that does not come up is ended, with the end of
// its console told, and one more is tried, of another type or in another zone.
func TestBootTimeout(t *testing.T) {
	b := newBench(t).start()
	b.cloud.Spoil(t, faults.Plan{HungBoots: []faults.HungBoot{{Count: 1}}})
	b.readyClass(bootWithin(time.Minute))
	cell := b.booting(b.cell(withPod))
	b.passBootTime(cell, time.Minute)
	is := b.ready(cell)
	if diff := cmp.Diff([]string{codeBootTimeout, ""}, attemptCodes(is)); diff != "" {
		t.Errorf("codes of the attempts (-want +got):\n%s", diff)
	}
	first, second := is.Status.Attempts[0], is.Status.Attempts[1]
	if first.InstanceType == second.InstanceType && first.Zone == second.Zone {
		t.Errorf("the same offering was tried again: %s in %s", first.InstanceType, first.Zone)
	}
	if !strings.Contains(first.Message, "did not come up") || first.EndTime == nil {
		t.Errorf("attempt %+v", first)
	}
	if meta.FindStatusCondition(is.Status.Conditions, v1beta1.ConditionBooted) != nil {
		t.Errorf("conditions %+v", is.Status.Conditions)
	}
	note := b.note(cell, v1beta1.ReasonBootTimeout)
	if !strings.Contains(note, "[  OK  ] Reached target network.target") || !strings.Contains(note, "waiting for a disk that does not come") || len(note) > maxMessage {
		t.Errorf("event %q", note)
	}
	if live := b.cloud.Live(cell); len(live) != 1 || live[0].ID != is.Status.InstanceID {
		t.Errorf("live instances %+v", live)
	}
}

// note is the text of a Cell's event.
func (b *bench) note(cell *v1beta1.Cell, reason string) (note string) {
	b.Helper()
	fixture.Eventually(b, "there is an event "+reason, func(ctx context.Context) error {
		var events eventsv1.EventList
		if err := b.List(ctx, &events); err != nil {
			return err
		}
		for _, e := range events.Items {
			if e.Regarding.UID == cell.UID && e.Reason == reason {
				note = e.Note
				return nil
			}
		}
		return errors.New("there is none")
	})
	return note
}

// TestNeverBoots: after two nothing is launched any more, whoever looks after
// the Cell, until the class is changed.
func TestNeverBoots(t *testing.T) {
	b := newBench(t).start()
	b.cloud.Spoil(t, faults.Plan{HungBoots: []faults.HungBoot{{}}})
	b.readyClass(bootWithin(time.Minute))
	cell := b.booting(b.cell(withPod))
	first := cell.Status.InstanceID
	b.passBootTime(cell, time.Minute)
	b.wait(cell, "another instance", func(is *v1beta1.Cell) error {
		if is.Status.InstanceID == "" || is.Status.InstanceID == first {
			return fmt.Errorf("status %+v", is.Status)
		}
		return nil
	})
	b.passBootTime(cell, time.Minute)
	is := b.unready(cell, v1beta1.ReasonBootFailed, "2 instances", "did not come up")
	if err := wantCondition(is, v1beta1.ConditionBooted, metav1.ConditionFalse, v1beta1.ReasonBootTimeout, "a disk that does not come"); err != nil {
		t.Error(err)
	}
	if is.Status.Phase != v1beta1.CellFailed {
		t.Errorf("phase %s", is.Status.Phase)
	}
	if strings.Contains(readyCondition(is).Message, "a disk") {
		t.Error("the console would be shown to whoever may look at the pod")
	}
	for range 2 {
		b.clock.Advance(2 * bootFailedAgain)
		b.pokeAndWait(cell)
		if n := len(b.cloud.Instances(cell)); n != 2 {
			t.Fatalf("%d instances", n)
		}
		b.stop()
		b.start()
	}
	b.cloud.Spoil(t, faults.Plan{})
	edit(b, &v1beta1.CellClass{ObjectMeta: metav1.ObjectMeta{Name: b.name}}, func(c *v1beta1.CellClass) { c.Spec.CloudInit = "#cloud-config\nhostname: second\n" })
	b.ready(cell)
}

// TestNoBootTimeout: 0 waits for ever.
func TestNoBootTimeout(t *testing.T) {
	b := newBench(t, silent).start()
	b.readyClass(bootWithin(0))
	cell := b.booting(b.cell(withPod))
	b.passBootTime(cell, 48*time.Hour)
	is := b.unready(cell, v1beta1.ReasonAgentSilent)
	if n := len(b.cloud.Live(cell)); n != 1 || is.Status.InstanceID != cell.Status.InstanceID {
		t.Errorf("%d instances", n)
	}
}

// TestBootTimeoutAcrossRestart: since when an instance runs outlives the operator.
func TestBootTimeoutAcrossRestart(t *testing.T) {
	b := newBench(t, silent).start()
	b.readyClass(bootWithin(10 * time.Minute))
	cell := b.booting(b.cell(withPod))
	b.passBootTime(cell, 6*time.Minute)
	is := b.unready(cell, v1beta1.ReasonAgentSilent)
	if openAttempt(is).RunningTime == nil {
		t.Fatalf("attempt %+v", openAttempt(is))
	}
	b.stop()
	b.start()
	b.clock.Advance(5 * time.Minute)
	b.poke(cell)
	b.wait(cell, "the first attempt has ended", func(is *v1beta1.Cell) error {
		if is.Status.Attempts[0].Code != codeBootTimeout {
			return fmt.Errorf("attempts %+v", is.Status.Attempts)
		}
		return nil
	})
}

// consoles boots machines without an agent, which print their user data's files.
type consoles struct {
	boottest.Backend

	mu    sync.Mutex
	files map[string]string
}

type printing struct {
	boot.Machine
	text string
}

func (p printing) Console() []byte { return []byte(p.text) }

// Start implements boot.Backend.
func (c *consoles) Start(ctx context.Context, spec boot.Spec) (boot.Machine, error) {
	parsed, err := userdata.Parse(spec.UserData)
	if err != nil {
		return nil, err
	}
	m, err := c.Backend.Start(ctx, spec)
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.files = map[string]string{}
	text := ""
	for _, f := range parsed.Files {
		c.files[f.Path] = string(f.Content)
		text += f.Path + "\n" + string(f.Content) + "\n"
	}
	return printing{m, text + "key:\n" + c.files["/tmp/itzo/server.key"] + "\nafter the key\n"}, nil
}

func (c *consoles) key(t *testing.T) string {
	c.mu.Lock()
	defer c.mu.Unlock()
	key := c.files["/tmp/itzo/server.key"]
	if !strings.Contains(key, "PRIVATE KEY") {
		t.Fatalf("files %v", c.files)
	}
	return key
}

// TestConsoleWithoutKey: what a cell's user data holds of its key is told
// nowhere, though the cell prints all of it.
func TestConsoleWithoutKey(t *testing.T) {
	printed := &consoles{}
	b := newBench(t)
	b.backend.Replace(printed)
	b.start().readyClass(bootWithin(time.Minute))
	cell := b.booting(b.cell(withPod))
	b.passBootTime(cell, time.Minute)
	note := b.note(cell, v1beta1.ReasonBootTimeout)
	is := b.booting(cell)
	for _, line := range strings.Split(printed.key(t), "\n") {
		for _, told := range []string{note, fmt.Sprintf("%+v", is.Status)} {
			if len(line) > 10 && !strings.HasPrefix(line, "-----") && strings.Contains(told, line[:10]) {
				t.Errorf("%q has %q", told, line)
			}
		}
	}
	if !strings.Contains(note, "after the key") {
		t.Errorf("event %q", note)
	}
}
