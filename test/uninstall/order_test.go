// Package uninstall takes Kip away in orders other than the documented one.
package uninstall

import (
	"context"
	"errors"
	"fmt"
	"os"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	nodev1 "k8s.io/api/node/v1"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/kubernetes"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"kip.elotl.co/api/v1beta1"
	"kip.elotl.co/controllers/cell"
	"kip.elotl.co/controllers/cellclass"
	"kip.elotl.co/hack/localaws/boot/boottest"
	"kip.elotl.co/hack/localaws/world"
	"kip.elotl.co/internal/cellagent"
	"kip.elotl.co/internal/pki"
	"kip.elotl.co/internal/virtualnode"
	"kip.elotl.co/test/fixture"
)

var apiServer fixture.APIServer

func TestMain(m *testing.M) { os.Exit(apiServer.Run(m)) }

const name = "uninstall"

// bench is a cluster, of which one test alone can take the kinds away.
type bench struct {
	*testing.T
	client.Client
	cloud *fixture.Cloud
	ca    *pki.CA
}

// operator runs the controllers of classes and Cells until stop.
func (b *bench) operator() (stop func()) {
	b.Helper()
	return apiServer.StartManager(b, name, func(mgr ctrl.Manager) error {
		clientset, err := kubernetes.NewForConfig(mgr.GetConfig())
		if err != nil {
			return err
		}
		clock, events := &fixture.Clock{}, mgr.GetEventRecorder("kip")
		offers := fixture.Catalogue(b, mgr, b.cloud, clock)
		return errors.Join(
			cellclass.New(cellclass.Options{
				Client: mgr.GetClient(), Live: b.Client, Cloud: b.cloud, Catalogue: offers, Events: events, Clock: clock,
				Leases: virtualnode.NewLeases(clientset, clock), Ports: virtualnode.NewPorts("127.0.0.1", 20000, 10000), About: virtualnode.About{Kubelet: virtualnode.Endpoint{Address: "127.0.0.1"}},
			}).SetupWithManager(mgr),
			cell.New(cell.Options{
				Client: mgr.GetClient(), Cloud: b.cloud, Catalogue: offers, Authority: b.ca, Agents: cellagent.New(b.ca, time.Now),
				Events: events, Clock: clock, ClusterID: "cluster-1",
			}).SetupWithManager(mgr),
		)
	})
}

// apply makes a class and a Cell of it, and waits until that has an instance.
func (b *bench) apply() (*v1beta1.CellClass, *v1beta1.Cell) {
	b.Helper()
	labels := map[string]string{fixture.TestLabel: name}
	class := &v1beta1.CellClass{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: labels}, Spec: v1beta1.CellClassSpec{
		DefaultInstanceType: "t3.nano", BootImageSpec: v1beta1.BootImageSpec{Owners: "self"},
		Itzo: v1beta1.ItzoSpec{URL: "http://agents.example/itzo", Version: "v2"},
		AWS:  v1beta1.AWSSpec{Subnets: []string{"subnet-0000000c0ffee0010"}},
	}}
	mine := &v1beta1.Cell{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: labels}, Spec: v1beta1.CellSpec{CellClassName: name}}
	b.must(b.Create(b.Context(), class))
	b.must(b.Create(b.Context(), mine))
	return class, fixture.WaitFor(b, b, mine, "the Cell has an instance", func(c *v1beta1.Cell) error {
		if c.Status.InstanceID == "" {
			return fmt.Errorf("status %+v", c.Status)
		}
		return nil
	})
}

func (b *bench) must(err error) {
	b.Helper()
	if err != nil {
		b.Fatal(err)
	}
}

// wantNothing waits until node, RuntimeClass and all instances are gone.
func (b *bench) wantNothing() {
	b.Helper()
	meta := metav1.ObjectMeta{Name: v1beta1.NodeName(name)}
	fixture.WaitGone(b, b, &corev1.Node{ObjectMeta: meta})
	fixture.WaitGone(b, b, &nodev1.RuntimeClass{ObjectMeta: meta})
	for _, i := range b.cloud.World.All() {
		if i.State != world.Terminated {
			b.Errorf("instance %s is %s", i.ID, i.State.Name)
		}
	}
}

// TestAnyOrder: nothing stays, and nothing is stuck, whatever goes first.
func TestAnyOrder(t *testing.T) {
	ca, err := pki.NewCA(time.Now(), "test")
	if err != nil {
		t.Fatal(err)
	}
	b := &bench{T: t, Client: apiServer.Client(t), ca: ca}
	b.cloud = fixture.NewCloud(t, func(c *world.Config) { c.Backend = &boottest.Backend{} })
	stop := b.operator()

	t.Log("the class before its Cell")
	class, mine := b.apply()
	b.must(b.Delete(t.Context(), class))
	b.must(b.Delete(t.Context(), mine))
	fixture.WaitGone(t, b, mine)
	fixture.WaitGone(t, b, class)
	b.wantNothing()

	t.Log("the operator before both, which wait for the next one")
	class, mine = b.apply()
	stop()
	b.must(b.Delete(t.Context(), mine))
	b.must(b.Delete(t.Context(), class))
	for _, object := range []client.Object{mine, class} {
		if err := b.Get(t.Context(), client.ObjectKeyFromObject(object), object); err != nil || object.GetDeletionTimestamp().IsZero() {
			t.Errorf("%T without an operator: %v", object, err)
		}
	}
	if i, ok := b.cloud.World.Instance(mine.Status.InstanceID); !ok || !i.State.Live() {
		t.Errorf("the instance ended without an operator: %+v", i)
	}
	stop = b.operator()
	fixture.WaitGone(t, b, mine)
	fixture.WaitGone(t, b, class)
	b.wantNothing()

	t.Log("the kinds before all")
	b.apply()
	var kinds []*unstructured.Unstructured
	for _, kind := range []string{"cells", "cellclasses"} {
		object := &unstructured.Unstructured{}
		object.SetName(kind + "." + v1beta1.GroupVersion.Group)
		object.SetGroupVersionKind(schema.GroupVersionKind{Group: "apiextensions.k8s.io", Version: "v1", Kind: "CustomResourceDefinition"})
		b.must(b.Delete(t.Context(), object))
		kinds = append(kinds, object)
	}
	for _, kind := range kinds {
		fixture.Eventually(t, kind.GetName()+" is gone", func(ctx context.Context) error {
			err := b.Get(ctx, client.ObjectKeyFromObject(kind), kind)
			if err == nil {
				return errors.New("it is there")
			}
			return client.IgnoreNotFound(err)
		})
	}
	b.wantNothing()
	stop()
}
