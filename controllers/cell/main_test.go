package cell

import (
	"context"
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
	"kip.elotl.co/controllers/cellclass"
	"kip.elotl.co/hack/localaws/boot/boottest"
	"kip.elotl.co/hack/localaws/boot/hollow"
	"kip.elotl.co/hack/localaws/world"
	"kip.elotl.co/internal/catalogue"
	"kip.elotl.co/internal/cellagent"
	"kip.elotl.co/internal/pki"
	"kip.elotl.co/internal/virtualnode"
	"kip.elotl.co/test/fixture"
)

var apiServer fixture.APIServer

func TestMain(m *testing.M) { os.Exit(apiServer.Run(m)) }

const (
	clusterID = "cluster-1"
	subnetA   = "subnet-0000000c0ffee0010"
	subnetB   = "subnet-0000000c0ffee0011"
	subnetC   = "subnet-0000000c0ffee0012"
	group     = "sg-0000000c0ffee0021"
	newest    = "ami-0c0ffee0000000002"
)

// bench is one test's world: an API server, a cloud and an operator.
type bench struct {
	*testing.T
	client.WithWatch
	cloud   *fixture.Cloud
	backend *fixture.Backend
	clock   *fixture.Clock
	ca      *pki.CA
	// name is the test's own; every object is called that, or begins with it.
	name string
	// wrap changes what the Cell controllers that are started get.
	wrap func(*Options)
	// source is what the catalogue knows of; the cloud when nil.
	source catalogue.Source
	// offers is the catalogue of the operator that was started last.
	offers *catalogue.Catalogue
	stop   func()
}

func newBench(t *testing.T, edit ...func(*world.Config)) *bench {
	t.Helper()
	t.Parallel()
	b := &bench{
		T: t, WithWatch: apiServer.Client(t), clock: &fixture.Clock{}, backend: &fixture.Backend{},
		name: strings.ToLower(strings.NewReplacer("/", "-", "_", "-").Replace(strings.TrimPrefix(t.Name(), "Test"))),
	}
	b.name = b.name[max(0, len(b.name)-50):]
	b.backend.Replace(hollow.New(hollow.Config{Parameters: func(id string) string { return b.cloud.Account.CellDocument(id) }}))
	b.cloud = fixture.NewCloud(t, append([]func(*world.Config){func(c *world.Config) { c.Backend = b.backend }}, edit...)...)
	var err error
	if b.ca, err = pki.NewCA(time.Now(), "test"); err != nil {
		t.Fatal(err)
	}
	return b
}

// silent lets instances come up without an agent.
func silent(c *world.Config) { c.Backend.(*fixture.Backend).Backend = &boottest.Backend{} }

// start starts an operator; stop of the one before has been called.
func (b *bench) start() *bench {
	b.Helper()
	b.stop = apiServer.StartManager(b, b.name, func(mgr ctrl.Manager) error {
		clientset, err := kubernetes.NewForConfig(mgr.GetConfig())
		if err != nil {
			return err
		}
		events := mgr.GetEventRecorder("kip")
		source := b.source
		if source == nil {
			source = b.cloud
		}
		b.offers = fixture.Catalogue(b, mgr, source, b.clock)
		classes := cellclass.New(cellclass.Options{
			Client: mgr.GetClient(), Cloud: b.cloud, Catalogue: b.offers, Events: events, Clock: b.clock, Live: mgr.GetAPIReader(), Namespace: metav1.NamespaceDefault, ServesAgent: true,
			Leases: virtualnode.NewLeases(clientset, b.clock), Ports: virtualnode.NewPorts("127.0.0.1", 20000, 10000), About: virtualnode.About{Kubelet: virtualnode.Endpoint{Address: "127.0.0.1"}},
		})
		if err := classes.SetupWithManager(mgr); err != nil {
			return err
		}
		options := Options{
			Client: mgr.GetClient(), Cloud: b.cloud, Catalogue: b.offers, Authority: b.ca, Agents: cellagent.New(b.ca, b.clock.Now),
			Events: events, Clock: b.clock, ClusterID: clusterID, Namespace: metav1.NamespaceDefault,
		}
		if b.wrap != nil {
			b.wrap(&options)
		}
		return New(options).SetupWithManager(mgr)
	})
	return b
}

// class applies a CellClass that works, but for what edit changes.
func (b *bench) class(edit ...func(*v1beta1.CellClassSpec)) *v1beta1.CellClass {
	b.Helper()
	class := &v1beta1.CellClass{
		ObjectMeta: metav1.ObjectMeta{Name: b.name, Labels: map[string]string{fixture.TestLabel: b.name}},
		Spec: v1beta1.CellClassSpec{
			DefaultInstanceType: "t3.nano",
			BootImageSpec:       v1beta1.BootImageSpec{Owners: "self"},
			CloudInit:           "#cloud-config\nhostname: first\n",
			Itzo:                v1beta1.ItzoSpec{URL: "http://agents.example/itzo", Version: "v2"},
			ExtraSecurityGroups: []string{group},
			AWS:                 v1beta1.AWSSpec{Subnets: []string{subnetA, subnetB, subnetC}, Tags: map[string]v1beta1.TagValue{"team": "red"}},
		},
	}
	for _, e := range edit {
		e(&class.Spec)
	}
	b.create(class)
	return class
}

// readyClass applies a CellClass that works and waits until it is looked up.
func (b *bench) readyClass(edit ...func(*v1beta1.CellClassSpec)) {
	b.Helper()
	fixture.WaitFor(b, b, b.class(edit...), "the class is Ready", func(c *v1beta1.CellClass) error {
		if !meta.IsStatusConditionTrue(c.Status.Conditions, v1beta1.ConditionReady) {
			return fmt.Errorf("status %+v", c.Status)
		}
		return nil
	})
}

// cell applies a Cell of the test's class.
func (b *bench) cell(edit ...func(*v1beta1.Cell)) *v1beta1.Cell {
	b.Helper()
	cell := &v1beta1.Cell{
		ObjectMeta: metav1.ObjectMeta{Name: b.name, Labels: map[string]string{fixture.TestLabel: b.name}},
		Spec:       v1beta1.CellSpec{CellClassName: b.name},
	}
	for _, e := range edit {
		e(cell)
	}
	b.create(cell)
	return cell
}

func withPod(cell *v1beta1.Cell) {
	cell.Spec.PodRef = &v1beta1.PodReference{Namespace: "default", Name: "web", UID: "uid-of-web"}
}

func (b *bench) create(object client.Object) {
	b.Helper()
	if err := b.Create(b.Context(), object); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { b.release(object) })
}

// release takes an object away that no operator looks after any more.
func (b *bench) release(object client.Object) {
	ctx := context.Background()
	_ = b.Delete(ctx, object)
	_ = b.Patch(ctx, object, client.RawPatch("application/merge-patch+json", []byte(`{"metadata":{"finalizers":null}}`)))
}

// edit changes an object as a user does.
func edit[T client.Object](b *bench, object T, change func(T)) {
	b.Helper()
	fixture.Eventually(b, "edited "+object.GetName(), func(ctx context.Context) error {
		is, err := fixture.Get(ctx, b, object)
		if err != nil {
			return err
		}
		change(is)
		return b.Update(ctx, is)
	})
}

// poke wakes the controller of an object, as its queue does when a time has come.
func (b *bench) poke(object client.Object) {
	b.Helper()
	patch := fmt.Appendf(nil, `{"metadata":{"annotations":{"test/poke":%q}}}`, time.Now().Format(time.RFC3339Nano))
	if err := b.Patch(b.Context(), object, client.RawPatch("application/merge-patch+json", patch)); err != nil {
		b.Fatal(err)
	}
}

func (b *bench) wait(cell *v1beta1.Cell, what string, ok func(*v1beta1.Cell) error) *v1beta1.Cell {
	b.Helper()
	return fixture.WaitFor(b, b, cell, what, ok)
}

// ready waits until the cell's agent answers.
func (b *bench) ready(cell *v1beta1.Cell) *v1beta1.Cell {
	b.Helper()
	return b.wait(cell, "the cell is Ready", func(is *v1beta1.Cell) error {
		return wantCondition(is, v1beta1.ConditionReady, metav1.ConditionTrue, v1beta1.ReasonAgentAnswers)
	})
}

// unready waits until the cell is not Ready for a reason, with a message that
// holds all of texts.
func (b *bench) unready(cell *v1beta1.Cell, reason string, texts ...string) *v1beta1.Cell {
	b.Helper()
	return b.wait(cell, "the cell is not ready because of "+reason, func(is *v1beta1.Cell) error {
		return wantCondition(is, v1beta1.ConditionReady, metav1.ConditionFalse, reason, texts...)
	})
}

// booting waits until the cell has an instance.
func (b *bench) booting(cell *v1beta1.Cell) *v1beta1.Cell {
	b.Helper()
	return b.wait(cell, "the cell has an instance", func(is *v1beta1.Cell) error {
		if is.Status.InstanceID == "" {
			return fmt.Errorf("status %+v", is.Status)
		}
		return nil
	})
}

func wantCondition(cell *v1beta1.Cell, kind string, status metav1.ConditionStatus, reason string, texts ...string) error {
	is := meta.FindStatusCondition(cell.Status.Conditions, kind)
	if is == nil || is.Status != status || is.Reason != reason {
		return fmt.Errorf("condition %+v of status %+v", is, cell.Status)
	}
	for _, text := range texts {
		if !strings.Contains(is.Message, text) {
			return fmt.Errorf("message %q lacks %q", is.Message, text)
		}
	}
	if is.ObservedGeneration != cell.Generation {
		return fmt.Errorf("condition of generation %d, the Cell has %d", is.ObservedGeneration, cell.Generation)
	}
	return nil
}

// wantOneLaunch checks that just one instance was ever made for the cell, and
// that it is the one in status.
func (b *bench) wantOneLaunch(cell *v1beta1.Cell) {
	b.Helper()
	instances := b.cloud.Instances(cell)
	if len(instances) != 1 || instances[0].ID != cell.Status.InstanceID || !instances[0].State.Live() {
		b.Errorf("instances %+v, want only a live %s", instances, cell.Status.InstanceID)
	}
}

// attemptCodes are the codes of the attempts, "" for one that has not failed.
func attemptCodes(cell *v1beta1.Cell) []string {
	var codes []string
	for _, attempt := range cell.Status.Attempts {
		codes = append(codes, attempt.Code)
	}
	return codes
}

// wantAttempts checks that so many attempts have been made, and have failed.
func wantAttempts(cell *v1beta1.Cell, n int) error {
	if len(cell.Status.Attempts) != n || openAttempt(cell) != nil {
		return fmt.Errorf("attempts %+v", cell.Status.Attempts)
	}
	return nil
}
