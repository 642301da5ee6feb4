package cellclass

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	eventsv1 "k8s.io/api/events/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"kip.elotl.co/api/v1beta1"
	"kip.elotl.co/hack/localaws/boot/boottest"
	"kip.elotl.co/hack/localaws/world"
	"kip.elotl.co/internal/virtualnode"
	"kip.elotl.co/test/fixture"
)

var apiServer fixture.APIServer

func TestMain(m *testing.M) { os.Exit(apiServer.Run(m)) }

const (
	subnetA = "subnet-0000000c0ffee0010"
	subnetB = "subnet-0000000c0ffee0011"
	vpc     = "vpc-0000000c0ffee0001"
	group   = "sg-0000000c0ffee0021"
)

// bench is one test's world: an API server, a cloud and an operator.
type bench struct {
	*testing.T
	client.WithWatch
	cloud *fixture.Cloud
	clock *fixture.Clock
	name  string
	// wrap changes what the controllers that are started get.
	wrap func(*Options)
	stop func()
}

func newBench(t *testing.T) *bench {
	t.Helper()
	t.Parallel()
	name := strings.ToLower(strings.NewReplacer("/", "-", "_", "-").Replace(strings.TrimPrefix(t.Name(), "Test")))
	return &bench{
		T: t, WithWatch: apiServer.Client(t), clock: &fixture.Clock{}, name: strings.Trim(name[:min(len(name), 50)], "-"),
		cloud: fixture.NewCloud(t, func(c *world.Config) { c.Backend = &boottest.Backend{} }),
	}
}

func (b *bench) start() *bench {
	b.Helper()
	b.stop = apiServer.StartManager(b, b.name, func(mgr ctrl.Manager) error {
		clientset, err := kubernetes.NewForConfig(mgr.GetConfig())
		if err != nil {
			return err
		}
		options := Options{
			Client: mgr.GetClient(), Live: mgr.GetAPIReader(), Cloud: b.cloud, Catalogue: fixture.Catalogue(b, mgr, b.cloud, b.clock), Events: mgr.GetEventRecorder("kip"), Clock: b.clock, Namespace: metav1.NamespaceDefault,
			Leases: virtualnode.NewLeases(clientset, b.clock), Ports: virtualnode.NewPorts("127.0.0.1", 20000, 10000), About: virtualnode.About{
				Kubelet: virtualnode.Endpoint{Address: "127.0.0.1"}, KubeletVersion: "v1.36.3+kip.1.2.3", Region: fixture.Region,
			},
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
			Itzo:                v1beta1.ItzoSpec{URL: "http://agents.example/itzo", Version: "v2"},
			ExtraSecurityGroups: []string{group},
			AWS:                 v1beta1.AWSSpec{Subnets: []string{subnetA, subnetB}},
		},
	}
	for _, e := range edit {
		e(&class.Spec)
	}
	b.create(class)
	return class
}

func (b *bench) create(object client.Object) {
	b.Helper()
	if err := b.Create(b.Context(), object); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		ctx := context.Background()
		_ = b.Delete(ctx, object)
		_ = b.Patch(ctx, object, client.RawPatch("application/merge-patch+json", []byte(`{"metadata":{"finalizers":null}}`)))
	})
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

// poke wakes the controller of a class, as its queue does when a time has come.
func (b *bench) poke(object client.Object) {
	b.Helper()
	patch := fmt.Appendf(nil, `{"metadata":{"annotations":{"test/poke":%q}}}`, time.Now().Format(time.RFC3339Nano))
	if err := b.Patch(b.Context(), object, client.RawPatch("application/merge-patch+json", patch)); err != nil {
		b.Fatal(err)
	}
}

// ready waits until the class as it is now can be used.
func (b *bench) ready(class *v1beta1.CellClass) *v1beta1.CellClass {
	b.Helper()
	return fixture.WaitFor(b, b, class, "the class is Ready", func(is *v1beta1.CellClass) error {
		return wantReady(is, metav1.ConditionTrue, v1beta1.ReasonReady)
	})
}

// unready waits until the class cannot be used for a reason, with a message
// that holds all of texts, and an event says so too.
func (b *bench) unready(class *v1beta1.CellClass, reason string, texts ...string) *v1beta1.CellClass {
	b.Helper()
	is := fixture.WaitFor(b, b, class, "the class is not ready because of "+reason, func(is *v1beta1.CellClass) error {
		return wantReady(is, metav1.ConditionFalse, reason, texts...)
	})
	fixture.Eventually(b, "there is an event "+reason, func(ctx context.Context) error {
		var events eventsv1.EventList
		if err := b.List(ctx, &events); err != nil {
			return err
		}
		for _, e := range events.Items {
			if e.Regarding.UID == class.UID && e.Reason == reason && e.Type == "Warning" && holdsAll(e.Note, texts) == nil {
				return nil
			}
		}
		return errors.New("there is none")
	})
	return is
}

func wantReady(class *v1beta1.CellClass, status metav1.ConditionStatus, reason string, texts ...string) error {
	is := meta.FindStatusCondition(class.Status.Conditions, v1beta1.ConditionReady)
	if is == nil || is.Status != status || is.Reason != reason || is.ObservedGeneration != class.Generation {
		return fmt.Errorf("condition %+v, generation %d", is, class.Generation)
	}
	return holdsAll(is.Message, texts)
}

func holdsAll(message string, texts []string) error {
	for _, text := range texts {
		if !strings.Contains(message, text) {
			return fmt.Errorf("message %q lacks %q", message, text)
		}
	}
	return nil
}
