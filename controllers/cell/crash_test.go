package cell

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/client-go/tools/events"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"kip.elotl.co/api/v1beta1"
	"kip.elotl.co/hack/localaws/world"
	"kip.elotl.co/internal/cellagent"
	"kip.elotl.co/internal/cloud"
	"kip.elotl.co/test/fixture"
)

// deadlyCloud is a cloud whose first launch the operator does not survive: the
// call hangs until its context ends, before or after it has taken effect.
type deadlyCloud struct {
	Cloud
	after   bool
	once    sync.Once
	reached chan struct{}
}

func (d *deadlyCloud) Launch(ctx context.Context, request cloud.LaunchRequest) (cloud.Instance, error) {
	if d.after {
		if _, err := d.Cloud.Launch(ctx, request); err != nil {
			return cloud.Instance{}, err
		}
	}
	d.once.Do(func() { close(d.reached) })
	<-ctx.Done()
	return cloud.Instance{}, ctx.Err()
}

// killAtLaunch starts an operator, applies a Cell, and kills the operator
// before or after the launch call has taken effect.
func (b *bench) killAtLaunch(after bool) *v1beta1.Cell {
	b.Helper()
	deadly := &deadlyCloud{Cloud: b.cloud, after: after, reached: make(chan struct{})}
	b.wrap = func(o *Options) { o.Cloud = deadly }
	b.start()
	cell := b.cell()
	select {
	case <-deadly.reached:
	case <-time.After(time.Minute):
		b.Fatal("no launch")
	}
	b.stop()
	b.wrap = nil
	is, err := fixture.Get(b.Context(), b, cell)
	if err != nil {
		b.Fatal(err)
	}
	if openAttempt(is) == nil || is.Status.InstanceID != "" {
		b.Fatalf("the attempt is not written ahead: %+v", is.Status)
	}
	return is
}

func TestKilledAtLaunch(t *testing.T) {
	for name, after := range map[string]bool{"before the call": false, "after the call": true} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			b.class()
			left := b.killAtLaunch(after)
			is := b.start().ready(left)
			b.wantOneLaunch(is)
			if diff := cmp.Diff(left.Status.Attempts, is.Status.Attempts); diff != "" {
				t.Errorf("attempts (-before +after):\n%s", diff)
			}
		})
	}
}

// TestKilledAndClassChanged: the call cannot be repeated as it was.
func TestKilledAndClassChanged(t *testing.T) {
	for name, change := range map[string]func(*v1beta1.CellClassSpec){
		"cloudInit": func(s *v1beta1.CellClassSpec) { s.CloudInit = "#cloud-config\nhostname: second\n" },
		"tags":      func(s *v1beta1.CellClassSpec) { s.AWS.Tags["team"] = "blue" },
		"image":     func(s *v1beta1.CellClassSpec) { s.BootImageSpec.ImageIDs = "ami-0c0ffee0000000003" },
		"broken":    func(s *v1beta1.CellClassSpec) { s.CloudInit = "#cloud-config\nhostname: [\n" },
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			class := b.class()
			left := b.killAtLaunch(true)
			edit(b, class, func(c *v1beta1.CellClass) { change(&c.Spec) })
			b.wantOneLaunch(b.start().ready(left))
		})
	}
}

// TestKilledAndClassGone: the launch is adopted although nothing says any more
// how it was made.
func TestKilledAndClassGone(t *testing.T) {
	b := newBench(t)
	class := b.class()
	left := b.killAtLaunch(true)
	b.release(class)
	b.wantOneLaunch(b.start().ready(left))
}

// TestKilledBeforeCallAndImageGone: the attempt can never be carried out, and
// nothing came of it: it is given up for the next one.
func TestKilledBeforeCallAndImageGone(t *testing.T) {
	b := newBench(t)
	class := b.class()
	left := b.killAtLaunch(false)
	edit(b, class, func(c *v1beta1.CellClass) { c.Spec.BootImageSpec.ImageIDs = "ami-0c0ffee0000000003" })
	b.start()
	b.pokeAndWait(left)
	b.clock.Advance(launchVisible)
	b.poke(left)
	is := b.ready(left)
	b.wantOneLaunch(is)
	if diff := cmp.Diff([]string{codeAbandoned, ""}, attemptCodes(is)); diff != "" {
		t.Errorf("codes of the attempts (-want +got):\n%s", diff)
	}
	if is.Status.ImageID != "ami-0c0ffee0000000003" {
		t.Errorf("image %s", is.Status.ImageID)
	}
}

// failingStatus refuses status writes for which fail gives an error.
type failingStatus struct {
	client.Client
	fail func(*v1beta1.Cell) error
}

func (f *failingStatus) Status() client.SubResourceWriter {
	return &failingWriter{f.Client.Status(), f.fail}
}

type failingWriter struct {
	client.SubResourceWriter
	fail func(*v1beta1.Cell) error
}

func (f *failingWriter) Update(ctx context.Context, o client.Object, options ...client.SubResourceUpdateOption) error {
	if cell, ok := o.(*v1beta1.Cell); ok {
		if err := f.fail(cell); err != nil {
			return err
		}
	}
	return f.SubResourceWriter.Update(ctx, o, options...)
}

// TestStatusWriteFails: the write after the launch fails once, or the one
// before it.
func TestStatusWriteFails(t *testing.T) {
	for name, spoils := range map[string]func(*v1beta1.Cell) bool{
		"before the launch": func(c *v1beta1.Cell) bool { return openAttempt(c) != nil && c.Status.InstanceID == "" },
		"after the launch":  func(c *v1beta1.Cell) bool { return c.Status.InstanceID != "" },
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			var failed atomic.Bool
			b.wrap = func(o *Options) {
				o.Client = &failingStatus{o.Client, func(c *v1beta1.Cell) error {
					if spoils(c) && failed.CompareAndSwap(false, true) {
						return errors.New("no status today")
					}
					return nil
				}}
			}
			b.start().class()
			is := b.ready(b.cell())
			if !failed.Load() {
				t.Error("no write was refused")
			}
			b.wantOneLaunch(is)
			if len(is.Status.Attempts) != 1 {
				t.Errorf("attempts %+v", is.Status.Attempts)
			}
		})
	}
}

// TestNoLaunchForACellThatIsGone: somebody took the Cell away, finalizer and
// all, while it was worked on; nothing would ever end its instance.
func TestNoLaunchForACellThatIsGone(t *testing.T) {
	b := newBench(t).start()
	b.readyClass()
	cell := b.cell(func(c *v1beta1.Cell) { c.Labels = nil }) // the operator does not see it
	c := New(Options{
		Cloud: b.cloud, Catalogue: b.offers, Authority: b.ca, Agents: cellagent.New(b.ca, b.clock.Now), Clock: b.clock, ClusterID: clusterID,
		Client: &failingStatus{b.WithWatch, func(c *v1beta1.Cell) error { b.release(c.DeepCopy()); return nil }},
		Events: events.NewFakeRecorder(10),
	})
	if _, err := c.Reconcile(t.Context(), cell); err != nil {
		t.Error(err)
	}
	fixture.WaitGone(t, b, cell)
	if is := b.cloud.Instances(cell); len(is) > 0 {
		t.Errorf("instance %s is nobody's", is[0].ID)
	}
}

// TestStatusErased: the instance is found by its tags.
func TestStatusErased(t *testing.T) {
	for name, restart := range map[string]bool{"while it runs": false, "while it is down": true} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t).start()
			b.class()
			cell := b.ready(b.cell())
			if restart {
				b.stop()
			}
			fixture.Eventually(t, "status is erased", func(ctx context.Context) error {
				is, err := fixture.Get(ctx, b, cell)
				if err != nil {
					return err
				}
				is.Status = v1beta1.CellStatus{}
				return b.Status().Update(ctx, is)
			})
			if restart {
				b.start()
			}
			is := b.ready(cell)
			b.wantOneLaunch(is)
			was, now := cell.Status.Attempts[0], is.Status.Attempts[0]
			// What the instance's description does not tell is lost.
			was.Fingerprint, was.PricePerHour, was.CPUCredits, was.ClassGeneration = "", "", "", 0
			if diff := cmp.Diff(was, now); diff != "" {
				t.Errorf("attempt (-before +after):\n%s", diff)
			}
		})
	}
}

// TestStatusErasedAndDeleted: the instance ends although only its tags tell
// of it.
func TestStatusErasedAndDeleted(t *testing.T) {
	b := newBench(t).start()
	b.class()
	cell := b.ready(b.cell())
	b.stop()
	is, err := fixture.Get(t.Context(), b, cell)
	if err != nil {
		t.Fatal(err)
	}
	is.Status = v1beta1.CellStatus{}
	if err := errors.Join(b.Status().Update(t.Context(), is), b.Delete(t.Context(), cell)); err != nil {
		t.Fatal(err)
	}
	b.start()
	fixture.WaitGone(t, b, cell)
	if is := b.cloud.Instances(cell); len(is) != 1 || is[0].State != world.Terminated {
		t.Errorf("instances %+v", is)
	}
}

// TestOperatorsTakeOver: whoever starts next goes on with a Ready cell and
// launches nothing.
func TestOperatorsTakeOver(t *testing.T) {
	b := newBench(t).start()
	b.class()
	cell := b.ready(b.cell())
	b.stop()
	b.start()
	b.pokeAndWait(cell)
	is := b.ready(cell)
	b.wantOneLaunch(is)
	if diff := cmp.Diff(cell.Status, is.Status); diff != "" {
		t.Errorf("status (-before +after):\n%s", diff)
	}
}
