package standby

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"kip.elotl.co/api/v1beta1"
	"kip.elotl.co/controllers/cell"
	"kip.elotl.co/controllers/cellclass"
	"kip.elotl.co/internal/cellagent"
	"kip.elotl.co/internal/pki"
	"kip.elotl.co/internal/virtualnode"
	"kip.elotl.co/test/fixture"
)

var apiServer fixture.APIServer

func TestMain(m *testing.M) { os.Exit(apiServer.Run(m)) }

// bench is one test's world: an API server, a cloud and an operator.
type bench struct {
	*testing.T
	client.WithWatch
	cloud *fixture.Cloud
	clock *fixture.Clock
	ca    *pki.CA
	// name is the test's own, and its class's.
	name string
	stop func()
}

func newBench(t *testing.T) *bench {
	t.Helper()
	t.Parallel()
	b := &bench{T: t, WithWatch: apiServer.Client(t), clock: &fixture.Clock{}, cloud: fixture.NewCloud(t),
		name: strings.ToLower(strings.TrimPrefix(t.Name(), "Test"))}
	b.name = b.name[:min(len(b.name), 50)]
	var err error
	if b.ca, err = pki.NewCA(time.Now(), "test"); err != nil {
		t.Fatal(err)
	}
	b.Cleanup(b.release)
	return b
}

// labelling makes Cells that the test's manager sees.
type labelling struct {
	client.Client
	name string
}

func (l labelling) Create(ctx context.Context, o client.Object, options ...client.CreateOption) error {
	labels := o.GetLabels()
	labels[fixture.TestLabel] = l.name
	o.SetLabels(labels)
	return l.Client.Create(ctx, o, options...)
}

// start starts an operator.
func (b *bench) start() *bench {
	b.Helper()
	b.stop = apiServer.StartManager(b, b.name, func(mgr ctrl.Manager) error {
		clientset, err := kubernetes.NewForConfig(mgr.GetConfig())
		if err != nil {
			return err
		}
		events, offers := mgr.GetEventRecorder("kip"), fixture.Catalogue(b, mgr, b.cloud, b.clock)
		return errors.Join(
			cellclass.New(cellclass.Options{
				Client: mgr.GetClient(), Cloud: b.cloud, Catalogue: offers, Events: events, Clock: b.clock, Live: mgr.GetAPIReader(), Namespace: metav1.NamespaceDefault, ServesAgent: true,
				Leases: virtualnode.NewLeases(clientset, b.clock), Ports: virtualnode.NewPorts("127.0.0.1", 20000, 10000), About: virtualnode.About{Kubelet: virtualnode.Endpoint{Address: "127.0.0.1"}},
			}).SetupWithManager(mgr),
			cell.New(cell.Options{
				Client: mgr.GetClient(), Cloud: b.cloud, Catalogue: offers, Authority: b.ca, Agents: cellagent.New(b.ca, b.clock.Now),
				Events: events, Clock: b.clock, ClusterID: "cluster-1", Namespace: metav1.NamespaceDefault,
			}).SetupWithManager(mgr),
			New(Options{Client: labelling{mgr.GetClient(), b.name}, Events: events, Clock: b.clock}).SetupWithManager(mgr),
		)
	})
	return b
}

// class applies a CellClass that works, with so many standby cells.
func (b *bench) class(count int32, edit ...func(*v1beta1.CellClassSpec)) *v1beta1.CellClass {
	b.Helper()
	class := &v1beta1.CellClass{
		ObjectMeta: metav1.ObjectMeta{Name: b.name, Labels: map[string]string{fixture.TestLabel: b.name}},
		Spec: v1beta1.CellClassSpec{
			BootImageSpec:       v1beta1.BootImageSpec{Owners: "self"},
			CloudInit:           "#cloud-config\nhostname: first\n",
			Itzo:                v1beta1.ItzoSpec{URL: "http://agents.example/itzo", Version: "v2"},
			ExtraSecurityGroups: []string{"sg-0000000c0ffee0021"},
			AWS:                 v1beta1.AWSSpec{Subnets: []string{"subnet-0000000c0ffee0010"}},
		},
	}
	if count > 0 {
		class.Spec.StandbyCells = []v1beta1.StandbyCells{{InstanceType: "t3.small", Count: count}}
	}
	for _, e := range edit {
		e(&class.Spec)
	}
	if err := b.Create(b.Context(), class); err != nil {
		b.Fatal(err)
	}
	return class
}

// edit changes the class as a user does.
func (b *bench) edit(class *v1beta1.CellClass, change func(*v1beta1.CellClassSpec)) {
	b.Helper()
	fixture.Eventually(b, "the class is edited", func(ctx context.Context) error {
		is, err := fixture.Get(ctx, b, class)
		if err != nil {
			return err
		}
		change(&is.Spec)
		return b.Update(ctx, is)
	})
}

// release takes away what no operator looks after any more.
func (b *bench) release() {
	ctx := context.Background()
	none := client.RawPatch("application/merge-patch+json", []byte(`{"metadata":{"finalizers":null}}`))
	for _, c := range b.cells() {
		_ = b.Delete(ctx, &c)
		_ = b.Patch(ctx, &c, none)
	}
	class := &v1beta1.CellClass{ObjectMeta: metav1.ObjectMeta{Name: b.name}}
	_ = b.Delete(ctx, class)
	_ = b.Patch(ctx, class, none)
}

// cells are all of the class that are not being deleted.
func (b *bench) cells() []v1beta1.Cell {
	b.Helper()
	var list v1beta1.CellList
	if err := b.List(context.Background(), &list, client.MatchingLabels{fixture.TestLabel: b.name}); err != nil {
		b.Error(err)
	}
	var left []v1beta1.Cell
	for _, c := range list.Items {
		if c.DeletionTimestamp.IsZero() {
			left = append(left, c)
		}
	}
	return left
}

// free waits until so many cells without a pod are Ready and not drifted, and
// there are no others without one.
func (b *bench) free(n int) []v1beta1.Cell {
	b.Helper()
	var free []v1beta1.Cell
	fixture.Eventually(b, fmt.Sprintf("%d cells are on standby", n), func(context.Context) error {
		free = nil
		for _, c := range b.cells() {
			switch {
			case c.Spec.PodRef != nil:
			case !isReady(&c) || meta.IsStatusConditionTrue(c.Status.Conditions, v1beta1.ConditionDrifted):
				return fmt.Errorf("%s: %+v", c.Name, c.Status.Conditions)
			default:
				free = append(free, c)
			}
		}
		if len(free) != n {
			return fmt.Errorf("there are %d", len(free))
		}
		return nil
	})
	return free
}

// claim gives a Cell to a pod.
func (b *bench) claim(c *v1beta1.Cell, pod *v1beta1.PodReference) {
	b.Helper()
	before := c.DeepCopy()
	c.Spec.PodRef = pod
	if err := b.Patch(b.Context(), c, client.MergeFrom(before)); err != nil {
		b.Fatal(err)
	}
}
