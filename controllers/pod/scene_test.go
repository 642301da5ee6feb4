package pod_test

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/rand"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/config"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"

	"k8s.io/apimachinery/pkg/labels"

	"kip.elotl.co/api/v1beta1"
	"kip.elotl.co/controllers/pod"
	"kip.elotl.co/internal/agent/fake"
	"kip.elotl.co/internal/cellagent"
	"kip.elotl.co/internal/lastlogs"
	"kip.elotl.co/internal/pki"
	"kip.elotl.co/internal/virtualnode"
)

// scene is a namespace and a class of their own, and the operators that see to
// them. The test itself plays the cell controller.
type scene struct {
	t         *testing.T
	namespace string
	class     string
	node      string
	logs      *lastlogs.Store
	ca        *pki.CA
	clock     *shiftedClock
	// fits is what operators choose among cells that are there by; nil: they do not.
	fits pod.Matcher
	// nodes is what nodes' clients are made from.
	nodes *rest.Config
}

// shiftedClock is the real time, moved on by hand.
type shiftedClock struct {
	clock.RealClock
	ahead atomic.Int64
}

func (c *shiftedClock) shift(d time.Duration)           { c.ahead.Add(int64(d)) }
func (c *shiftedClock) Now() time.Time                  { return time.Now().Add(time.Duration(c.ahead.Load())) }
func (c *shiftedClock) Since(t time.Time) time.Duration { return c.Now().Sub(t) }

// newScene makes a scene with its node, but without an operator.
func newScene(t *testing.T) *scene {
	t.Helper()
	if cluster == nil {
		t.Skip("bin/ lacks etcd or kube-apiserver: make bin")
	}
	t.Parallel()
	ca, err := pki.NewCA(time.Now(), "test")
	if err != nil {
		t.Fatal(err)
	}
	class := "c" + rand.String(6)
	s := &scene{t: t, namespace: "ns-" + class, class: class, node: v1beta1.NodeName(class), ca: ca, logs: lastlogs.New(lastlogs.Limits{Container: 1 << 20, Total: 1 << 22}), clock: &shiftedClock{},
		nodes: cluster.operator}
	s.create(&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: s.namespace}})
	s.create(&corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: "default", Namespace: s.namespace}})
	s.addNode(s.node, map[string]string{v1beta1.LabelCellClass: class})
	t.Cleanup(s.clear)
	return s
}

func (s *scene) addNode(name string, labels map[string]string) {
	s.t.Helper()
	s.addNodeOf(name, "kip://"+strings.TrimPrefix(name, v1beta1.NodeName("")), labels)
}

// addNodeOf adds a node with a provider ID that is not its class's alone.
func (s *scene) addNodeOf(name, providerID string, labels map[string]string) {
	s.t.Helper()
	s.create(&corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: labels}, Spec: corev1.NodeSpec{ProviderID: providerID}})
	s.t.Cleanup(func() {
		_ = cluster.admin.Delete(context.Background(), &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name}})
	})
}

// clear takes away what other scenes could stumble over.
func (s *scene) clear() {
	ctx := context.Background()
	_ = cluster.admin.DeleteAllOf(ctx, &corev1.Pod{}, client.InNamespace(s.namespace), client.GracePeriodSeconds(0))
	for _, cell := range s.cells() {
		s.release(&cell)
		_ = cluster.admin.Delete(ctx, &cell)
	}
}

// operator starts a pod controller with the operator's rights and answers what
// ends it.
func (s *scene) operator() (stop func()) {
	s.t.Helper()
	skip := true
	mgr, err := ctrl.NewManager(cluster.operator, ctrl.Options{
		Scheme:     cluster.scheme,
		Metrics:    metricsserver.Options{BindAddress: "0"},
		Controller: config.Controller{SkipNameValidation: &skip},
		Cache: cache.Options{ByObject: map[client.Object]cache.ByObject{
			&corev1.Pod{}:   {Transform: pod.Slim, Namespaces: map[string]cache.Config{s.namespace: {}}},
			&v1beta1.Cell{}: {Label: labels.SelectorFromSet(labels.Set{v1beta1.LabelCellClass: s.class})},
		}},
	})
	if err != nil {
		s.t.Fatal(err)
	}
	live, err := client.New(cluster.operator, client.Options{Scheme: cluster.scheme})
	if err != nil {
		s.t.Fatal(err)
	}
	clientset, err := kubernetes.NewForConfig(cluster.operator)
	if err != nil {
		s.t.Fatal(err)
	}
	recorders := virtualnode.NewRecorders(clientset.CoreV1())
	if err := mgr.Add(recorders); err != nil {
		s.t.Fatal(err)
	}
	err = pod.New(pod.Options{
		Client: mgr.GetClient(), Live: live, Nodes: virtualnode.NewClients(s.nodes), Agents: cellagent.New(s.ca, time.Now),
		Events: recorders, Logs: s.logs, Clock: s.clock, Fits: s.fits,
	}).SetupWithManager(mgr)
	if err != nil {
		s.t.Fatal(err)
	}
	return background(s.t, mgr.Start)
}

// background runs until the test ends, or stop is called.
func background(t *testing.T, run func(context.Context) error) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := run(ctx); err != nil {
			t.Error(err)
		}
	}()
	stop = func() {
		cancel()
		<-done
	}
	t.Cleanup(stop)
	return stop
}

func (s *scene) create(object client.Object) {
	s.t.Helper()
	if err := cluster.admin.Create(s.t.Context(), object); err != nil {
		s.t.Fatal(err)
	}
}

// newPod is a pod bound to the scene's node, with one container.
func (s *scene) newPod(name string, change ...func(*corev1.Pod)) *corev1.Pod {
	p := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: s.namespace, Name: name, Annotations: map[string]string{}},
		Spec: corev1.PodSpec{
			NodeName:           s.node,
			ServiceAccountName: "default",
			RestartPolicy:      corev1.RestartPolicyNever,
			Containers:         []corev1.Container{{Name: "main", Image: "registry.example/busybox:1"}},
		},
	}
	for _, f := range change {
		f(p)
	}
	return p
}

// add creates a pod.
func (s *scene) add(name string, change ...func(*corev1.Pod)) *corev1.Pod {
	s.t.Helper()
	p := s.newPod(name, change...)
	s.create(p)
	return p
}

// script says how the container runs.
func script(runs string) func(*corev1.Pod) {
	return func(p *corev1.Pod) { p.Annotations[fake.ScriptAnnotation] = `{"main":` + runs + `}` }
}

func policy(policy corev1.RestartPolicy) func(*corev1.Pod) {
	return func(p *corev1.Pod) { p.Spec.RestartPolicy = policy }
}

func grace(seconds int64) func(*corev1.Pod) {
	return func(p *corev1.Pod) { p.Spec.TerminationGracePeriodSeconds = &seconds }
}

// cells are those of the scene's class.
func (s *scene) cells() []v1beta1.Cell {
	s.t.Helper()
	var list v1beta1.CellList
	if err := cluster.admin.List(context.Background(), &list, client.MatchingLabels{v1beta1.LabelCellClass: s.class}); err != nil {
		s.t.Error(err)
	}
	return list.Items
}

// cellOf waits for the pod's Cell.
func (s *scene) cellOf(p *corev1.Pod) *v1beta1.Cell {
	s.t.Helper()
	cell := &v1beta1.Cell{}
	s.eventually("pod "+p.Name+" has a Cell", func() error {
		return cluster.admin.Get(context.Background(), client.ObjectKey{Name: v1beta1.CellNameForPod(p.UID)}, cell)
	})
	return cell
}

// boot makes the pod's Cell ready, with an agent that answers.
func (s *scene) boot(p *corev1.Pod, prepare ...func(*hollow, *v1beta1.Cell)) (*v1beta1.Cell, *hollow) {
	s.t.Helper()
	return s.bootAs(p, func(id pki.CellID) pki.CellID { return id }, prepare...)
}

// bootHeld is boot with an agent that accepts no pod before open is called.
func (s *scene) bootHeld(p *corev1.Pod) (cell *v1beta1.Cell, h *hollow, entered <-chan struct{}, open func()) {
	s.t.Helper()
	same := func(id pki.CellID) pki.CellID { return id }
	cell, h = s.bootAs(p, same, func(h *hollow, _ *v1beta1.Cell) { entered, open = h.hold(s.t) })
	return cell, h, entered, open
}

// bootAs lets the cell prove another identity than its own.
func (s *scene) bootAs(p *corev1.Pod, identity func(pki.CellID) pki.CellID, prepare ...func(*hollow, *v1beta1.Cell)) (*v1beta1.Cell, *hollow) {
	s.t.Helper()
	cell := s.cellOf(p)
	return cell, s.bootCellAs(cell, identity, prepare...)
}

// bootCell makes a Cell ready, with an agent that answers.
func (s *scene) bootCell(cell *v1beta1.Cell) *hollow {
	s.t.Helper()
	return s.bootCellAs(cell, func(id pki.CellID) pki.CellID { return id })
}

func (s *scene) bootCellAs(cell *v1beta1.Cell, identity func(pki.CellID) pki.CellID, prepare ...func(*hollow, *v1beta1.Cell)) *hollow {
	s.t.Helper()
	attempt := v1beta1.LaunchAttempt{Number: 1, InstanceType: "t3.nano", SubnetID: "subnet-1", ImageID: "ami-1", Fingerprint: "x", StartTime: metav1.Now().Rfc3339Copy()}
	h := newHollow(s.t, s.ca, identity(cellagent.ID(cell, &attempt)))
	cell.Status.Attempts = []v1beta1.LaunchAttempt{attempt}
	for _, f := range prepare {
		f(h, cell)
	}
	cell.Status.IP, cell.Status.PodIP, cell.Status.InstanceID = h.ip.String(), h.podIP, "i-1"
	s.setReady(cell, metav1.ConditionTrue, v1beta1.ReasonAgentAnswers, "the agent answers")
	return h
}

// setReady writes the Cell's status with this condition.
func (s *scene) setReady(cell *v1beta1.Cell, status metav1.ConditionStatus, reason, message string) {
	s.t.Helper()
	s.setCondition(cell, metav1.Condition{Type: v1beta1.ConditionReady, Status: status, Reason: reason, Message: message})
}

func (s *scene) setCondition(cell *v1beta1.Cell, condition metav1.Condition) {
	s.t.Helper()
	s.eventually("the Cell's status is written", func() error {
		fresh := &v1beta1.Cell{}
		if err := cluster.admin.Get(context.Background(), client.ObjectKeyFromObject(cell), fresh); err != nil {
			return err
		}
		cell.ResourceVersion = fresh.ResourceVersion
		meta.SetStatusCondition(&cell.Status.Conditions, condition)
		return cluster.admin.Status().Update(context.Background(), cell)
	})
}

// start creates a pod and brings it to run.
func (s *scene) start(name string, change ...func(*corev1.Pod)) (*corev1.Pod, *v1beta1.Cell, *hollow) {
	s.t.Helper()
	p := s.add(name, change...)
	cell, h := s.boot(p)
	return s.running(p), cell, h
}

// release takes the finalizer away, as when the instance is gone.
func (s *scene) release(cell *v1beta1.Cell) {
	patch := client.RawPatch("application/merge-patch+json", []byte(`{"metadata":{"finalizers":null}}`))
	if err := client.IgnoreNotFound(cluster.admin.Patch(context.Background(), cell, patch)); err != nil {
		s.t.Error(err)
	}
}

// cellEnds waits until the Cell is being deleted, and lets it go.
func (s *scene) cellEnds(cell *v1beta1.Cell) {
	s.t.Helper()
	s.eventually("Cell "+cell.Name+" is deleted", func() error {
		found := &v1beta1.Cell{}
		err := cluster.admin.Get(context.Background(), client.ObjectKeyFromObject(cell), found)
		if apierrors.IsNotFound(err) || err == nil && (!found.DeletionTimestamp.IsZero() || found.UID != cell.UID) {
			return nil
		}
		if err != nil {
			return err
		}
		return errors.New("it is not")
	})
	s.release(cell)
}

// update changes the pod as a user would.
func (s *scene) update(p *corev1.Pod, patch string, subresource ...string) {
	s.t.Helper()
	data := client.RawPatch("application/strategic-merge-patch+json", []byte(patch))
	target := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: p.Namespace, Name: p.Name}}
	var err error
	if len(subresource) > 0 {
		err = cluster.admin.SubResource(subresource[0]).Patch(s.t.Context(), target, data)
	} else {
		err = cluster.admin.Patch(s.t.Context(), target, data)
	}
	if err != nil {
		s.t.Fatal(err)
	}
}

func (s *scene) delete(object client.Object, options ...client.DeleteOption) {
	s.t.Helper()
	if err := cluster.admin.Delete(s.t.Context(), object, options...); err != nil {
		s.t.Fatal(err)
	}
}

// settled says that the operator has dealt with all that came before: a pod
// made now has got its Cell. What should not happen has not happened then.
func (s *scene) settled() {
	s.t.Helper()
	p := s.add("settled-" + rand.String(5))
	cell := s.cellOf(p)
	s.delete(p, client.GracePeriodSeconds(0))
	s.cellEnds(cell)
}
