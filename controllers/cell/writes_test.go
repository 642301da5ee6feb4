package cell

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/tools/events"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"kip.elotl.co/api/v1beta1"
	"kip.elotl.co/hack/localaws/faults"
	"kip.elotl.co/test/fixture"
)

// TestWritesOfALife: each write of a Cell is paid by every pod.
func TestWritesOfALife(t *testing.T) {
	b := newBench(t).start()
	b.readyClass()
	changes, err := b.Watch(t.Context(), &v1beta1.CellList{}, &client.ListOptions{FieldSelector: fields.OneTermEqualSelector("metadata.name", b.name)})
	if err != nil {
		t.Fatal(err)
	}
	defer changes.Stop()
	cell := b.ready(b.cell(withPod, func(c *v1beta1.Cell) { c.Finalizers = []string{v1beta1.Finalizer} }))
	if err := b.Delete(t.Context(), cell); err != nil {
		t.Fatal(err)
	}
	var got []string
	for change := range changes.ResultChan() {
		is, ok := change.Object.(*v1beta1.Cell)
		if !ok {
			t.Fatalf("%+v", change)
		}
		got = append(got, fmt.Sprintf("%s %s deleted=%t", change.Type, is.Status.Phase, is.DeletionTimestamp != nil))
		if change.Type == watch.Deleted {
			break
		}
	}
	want := []string{
		"ADDED  deleted=false", "MODIFIED Pending deleted=false", "MODIFIED Booting deleted=false", "MODIFIED Ready deleted=false",
		"MODIFIED Ready deleted=true", "DELETED Ready deleted=true",
	}
	if terminating := "MODIFIED Terminating deleted=true"; slices.Contains(got, terminating) {
		// The instance took a moment to end.
		want = append(want[:len(want)-1], terminating, "DELETED Terminating deleted=true")
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("writes (-want +got):\n%s", diff)
	}
}

// TestSameFaultIsWrittenOnce: every try fails with another connection, and
// nothing of that is in the condition.
func TestSameFaultIsWrittenOnce(t *testing.T) {
	b := newBench(t).start()
	b.readyClass()
	b.cloud.Spoil(t, faults.Plan{LostReplies: []faults.Loss{{Action: "RunInstances"}}})
	cell := b.unready(b.cell(), v1beta1.ReasonCloudError, "ec2:RunInstances")
	before := len(b.cloud.Calls("RunInstances"))
	fixture.Eventually(t, "the launch was tried twice more", func(context.Context) error {
		if n := len(b.cloud.Calls("RunInstances")); n < before+9 { // the SDK sends four times
			return fmt.Errorf("%d calls", n-before)
		}
		return nil
	})
	is, err := fixture.Get(t.Context(), b, cell)
	if err != nil {
		t.Fatal(err)
	}
	if is.ResourceVersion != cell.ResourceVersion {
		t.Errorf("it was written again: %s", cmp.Diff(cell.Status, is.Status))
	}
	b.cloud.Spoil(t, faults.Plan{})
	b.wantOneLaunch(b.ready(cell))
}

// countingEvents counts the events of one reason.
type countingEvents struct {
	events.EventRecorder
	reason string
	n      atomic.Int32
}

func (c *countingEvents) Eventf(regarding, related runtime.Object, kind, reason, action, note string, args ...any) {
	if reason == c.reason {
		c.n.Add(1)
	}
	c.EventRecorder.Eventf(regarding, related, kind, reason, action, note, args...)
}

// TestEventsFollowTheWrite: what could not be written is not told twice.
func TestEventsFollowTheWrite(t *testing.T) {
	b := newBench(t)
	counted := &countingEvents{reason: v1beta1.ReasonAgentAnswers}
	var refused atomic.Int32
	b.wrap = func(o *Options) {
		counted.EventRecorder = o.Events
		o.Events = counted
		o.Client = &failingStatus{o.Client, func(c *v1beta1.Cell) error {
			if readyReason(c) == v1beta1.ReasonAgentAnswers && refused.Add(1) <= 3 {
				return errors.New("no status today")
			}
			return nil
		}}
	}
	b.start().class()
	b.ready(b.cell())
	fixture.Eventually(t, "the event is there", func(context.Context) error {
		if counted.n.Load() == 0 {
			return errors.New("it is not")
		}
		return nil
	})
	if n := counted.n.Load(); n != 1 || refused.Load() < 3 {
		t.Errorf("%d events, %d writes refused", n, refused.Load())
	}
}

// TestSlowEndIsSaid, a quick one is not.
func TestSlowEndIsSaid(t *testing.T) {
	b := newBench(t).start()
	b.class()
	cell := b.ready(b.cell())
	b.cloud.Spoil(t, faults.Plan{Errors: []faults.Refusal{{Action: "DescribeInstances", Code: "UnauthorizedOperation"}, {Action: "TerminateInstances", Code: "UnauthorizedOperation"}}})
	if err := b.Delete(t.Context(), cell); err != nil {
		t.Fatal(err)
	}
	is := b.unready(cell, v1beta1.ReasonNotAuthorized, cell.Status.InstanceID, "ec2:TerminateInstances")
	if is.Status.Phase != v1beta1.CellTerminating {
		t.Errorf("phase %s", is.Status.Phase)
	}
	b.cloud.Spoil(t, faults.Plan{})
	fixture.WaitGone(t, b, cell)
}

// TestLookupIsRefused: a Cell for which the cloud cannot be asked says so.
func TestLookupIsRefused(t *testing.T) {
	b := newBench(t).start()
	b.readyClass()
	b.stop()
	b.cloud.Spoil(t, faults.Plan{Errors: []faults.Refusal{{Action: "DescribeInstances", Code: "UnauthorizedOperation"}}})
	cell := b.cell() // nobody has seen it appear: what it may have launched is looked for
	b.start()
	b.unready(cell, v1beta1.ReasonNotAuthorized, "ec2:DescribeInstances")
	b.cloud.Spoil(t, faults.Plan{})
	b.wantOneLaunch(b.ready(cell))
}

func TestLongerEach(t *testing.T) {
	var waits []time.Duration
	for waited := time.Duration(0); len(waits) < 8; {
		wait := longerEach(waited, lookAgainFirst, lookAgainMost)
		waits, waited = append(waits, wait/time.Second), waited+wait
	}
	if diff := cmp.Diff([]time.Duration{2, 2, 4, 8, 16, 32, 60, 60}, waits); diff != "" {
		t.Errorf("seconds (-want +got):\n%s", diff)
	}
}
