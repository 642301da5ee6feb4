package cellclass

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	nodev1 "k8s.io/api/node/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"kip.elotl.co/api/v1beta1"
	"kip.elotl.co/internal/cloud"
	"kip.elotl.co/test/fixture"
)

func (b *bench) node() *corev1.Node {
	return &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: v1beta1.NodeName(b.name)}}
}

func (b *bench) runtimeClass() *nodev1.RuntimeClass {
	return &nodev1.RuntimeClass{ObjectMeta: metav1.ObjectMeta{Name: v1beta1.NodeName(b.name)}}
}

// waitForObjects gives the class's node and RuntimeClass when they are there,
// and takes them away after the test.
func waitForObjects(b *bench) (*corev1.Node, *nodev1.RuntimeClass) {
	b.Helper()
	b.Cleanup(func() {
		_ = b.Delete(context.Background(), b.node())
		_ = b.Delete(context.Background(), b.runtimeClass())
	})
	node := fixture.WaitFor(b, b, b.node(), "the node is there", func(*corev1.Node) error { return nil })
	return node, fixture.WaitFor(b, b, b.runtimeClass(), "the RuntimeClass is there", func(*nodev1.RuntimeClass) error { return nil })
}

// sameNode compares what a class decides about its node.
func sameNode(want *corev1.Node) func(*corev1.Node) error {
	return func(is *corev1.Node) error {
		ready := 0
		for _, condition := range is.Status.Conditions {
			if condition.Type == corev1.NodeReady && condition.Status == corev1.ConditionTrue {
				ready++
			}
		}
		if ready != 1 {
			return fmt.Errorf("conditions %+v", is.Status.Conditions)
		}
		ours := func(taint corev1.Taint) bool { return taint.ToString() == "virtual-kubelet.io/provider=kip:NoSchedule" }
		if !slices.ContainsFunc(is.Spec.Taints, ours) || !cmp.Equal(is.Labels, want.Labels) || !equality.Semantic.DeepEqual(is.Status.Capacity, want.Status.Capacity) ||
			!equality.Semantic.DeepEqual(is.Status.Allocatable, want.Status.Allocatable) ||
			!equality.Semantic.DeepEqual(is.Status.Addresses, want.Status.Addresses) || is.Status.DaemonEndpoints != want.Status.DaemonEndpoints {
			return fmt.Errorf("labels %v, taints %v, status %+v", is.Labels, is.Spec.Taints, is.Status)
		}
		return nil
	}
}

func TestNodeAndRuntimeClass(t *testing.T) {
	b := newBench(t).start()
	b.ready(b.class(func(s *v1beta1.CellClassSpec) {
		s.BootImageSpec = v1beta1.BootImageSpec{ImageIDs: "ami-0c0ffee0000000005"}
		s.DefaultInstanceType = "m7g.medium"
		s.AWS.Subnets = []string{subnetB}
		s.Capacity = corev1.ResourceList{"cpu": resource.MustParse("12"), "pods": resource.MustParse("7")}
	}))
	node, runtimeClass := waitForObjects(b)
	node = fixture.WaitFor(b, b, node, "the node is labelled", func(is *corev1.Node) error {
		if is.Labels[corev1.LabelArchStable] == "" || is.Status.NodeInfo.Architecture != "arm64" {
			return fmt.Errorf("labels %v, info %+v", is.Labels, is.Status.NodeInfo)
		}
		return nil
	})
	labels := map[string]string{
		"type": "virtual-kubelet", "kip.elotl.co/cell-class": b.name, "kubernetes.io/os": "linux",
		"kubernetes.io/arch": "arm64", "topology.kubernetes.io/zone": "us-east-1b", "topology.kubernetes.io/region": "us-east-1",
	}
	if diff := cmp.Diff(labels, node.Labels); diff != "" {
		t.Errorf("labels of the node (-want +got):\n%s", diff)
	}
	capacity := corev1.ResourceList{"cpu": resource.MustParse("12"), "pods": resource.MustParse("7")}
	if !equality.Semantic.DeepEqual(node.Status.Capacity, capacity) || !equality.Semantic.DeepEqual(node.Status.Allocatable, capacity) {
		t.Errorf("capacity %v, allocatable %v", node.Status.Capacity, node.Status.Allocatable)
	}
	if node.Spec.ProviderID != "kip://"+b.name || node.Status.NodeInfo.KubeletVersion != "v1.36.3+kip.1.2.3" || node.Status.NodeInfo.Architecture != "arm64" {
		t.Errorf("provider ID %s, info %+v", node.Spec.ProviderID, node.Status.NodeInfo)
	}
	if taints := node.Spec.Taints; len(taints) == 0 || taints[0].ToString() != "virtual-kubelet.io/provider=kip:NoSchedule" {
		t.Errorf("taints %v", node.Spec.Taints)
	}
	want := &nodev1.Scheduling{
		NodeSelector: map[string]string{"kip.elotl.co/cell-class": b.name},
		Tolerations: []corev1.Toleration{
			{Key: "virtual-kubelet.io/provider", Operator: "Equal", Value: "kip", Effect: "NoSchedule"},
			{Key: "node.kubernetes.io/not-ready", Operator: "Exists", Effect: "NoExecute"},
			{Key: "node.kubernetes.io/unreachable", Operator: "Exists", Effect: "NoExecute"},
		},
	}
	if diff := cmp.Diff(want, runtimeClass.Scheduling); diff != "" || runtimeClass.Handler != "kip" {
		t.Errorf("handler %s, scheduling (-want +got):\n%s", runtimeClass.Handler, diff)
	}
}

// TestEditedNodeIsMended: what others change on the node, or take from it,
// comes back; what they add stays.
func TestEditedNodeIsMended(t *testing.T) {
	b := newBench(t).start()
	b.ready(b.class())
	node, _ := waitForObjects(b)
	node = fixture.WaitFor(b, b, node, "the node is labelled", func(is *corev1.Node) error {
		if is.Labels[corev1.LabelArchStable] == "" {
			return fmt.Errorf("labels %v", is.Labels)
		}
		return nil
	})
	for name, change := range map[string]func(*corev1.Node){
		"metrics path":   func(n *corev1.Node) { n.Annotations = nil },
		"class label":    func(n *corev1.Node) { delete(n.Labels, v1beta1.LabelCellClass) },
		"type label":     func(n *corev1.Node) { n.Labels[v1beta1.LabelNodeType] = "other" },
		"all labels":     func(n *corev1.Node) { n.Labels = nil },
		"hostname label": func(n *corev1.Node) { n.Labels[corev1.LabelHostname] = n.Name },
		"taint's value":  func(n *corev1.Node) { n.Spec.Taints[0].Value = "other" },
		"region":         func(n *corev1.Node) { n.Labels[corev1.LabelTopologyRegion] = "elsewhere" },
		"taints":         func(n *corev1.Node) { n.Spec.Taints = nil },
	} {
		edit(b, node, change)
		fixture.WaitFor(b, b, node, "the node is mended: "+name, sameNode(node))
	}
	for name, change := range map[string]func(*corev1.NodeStatus){
		"capacity":   func(s *corev1.NodeStatus) { s.Capacity = corev1.ResourceList{"cpu": resource.MustParse("1")} },
		"addresses":  func(s *corev1.NodeStatus) { s.Addresses = nil },
		"conditions": func(s *corev1.NodeStatus) { s.Conditions = nil },
		"unknown": func(s *corev1.NodeStatus) {
			for i := range s.Conditions {
				s.Conditions[i].Status = corev1.ConditionUnknown
			}
		},
		"everything": func(s *corev1.NodeStatus) { *s = corev1.NodeStatus{} },
	} {
		fixture.Eventually(t, "the status is edited", func(ctx context.Context) error {
			is, err := fixture.Get(ctx, b, node)
			if err != nil {
				return err
			}
			change(&is.Status)
			return b.Status().Update(ctx, is)
		})
		fixture.WaitFor(b, b, node, "the node's status is mended: "+name, sameNode(node))
	}
	edit(b, node, func(n *corev1.Node) {
		n.Labels["team"], n.Annotations = "red", map[string]string{"mine": "yes"}
		n.Spec.Unschedulable = true
		n.Spec.Taints = append(n.Spec.Taints, corev1.Taint{Key: "mine", Effect: corev1.TaintEffectNoExecute})
	})
	edit(b, node, func(n *corev1.Node) { delete(n.Labels, v1beta1.LabelNodeType) })
	is := fixture.WaitFor(b, b, node, "the label is back", func(is *corev1.Node) error {
		if is.Labels[v1beta1.LabelNodeType] == "" {
			return fmt.Errorf("labels %v", is.Labels)
		}
		return nil
	})
	mine := 0
	for _, taint := range is.Spec.Taints {
		if taint.Key == "mine" {
			mine++
		}
	}
	if is.Labels["team"] != "red" || is.Annotations["mine"] != "yes" || !is.Spec.Unschedulable || mine != 1 {
		t.Errorf("labels %v, unschedulable %v, taints %v", is.Labels, is.Spec.Unschedulable, is.Spec.Taints)
	}
}

func TestEditedRuntimeClassIsMended(t *testing.T) {
	b := newBench(t).start()
	b.ready(b.class())
	_, want := waitForObjects(b)
	same := func(is *nodev1.RuntimeClass) error {
		if diff := cmp.Diff(want.Scheduling, is.Scheduling); diff != "" || is.Labels[v1beta1.LabelCellClass] != b.name {
			return fmt.Errorf("labels %v, scheduling %s", is.Labels, diff)
		}
		return nil
	}
	for name, change := range map[string]func(*nodev1.RuntimeClass){
		"selector":    func(r *nodev1.RuntimeClass) { r.Scheduling.NodeSelector = map[string]string{"a": "b"} },
		"tolerations": func(r *nodev1.RuntimeClass) { r.Scheduling.Tolerations = nil },
		"scheduling":  func(r *nodev1.RuntimeClass) { r.Scheduling = nil },
		"label":       func(r *nodev1.RuntimeClass) { r.Labels = nil },
	} {
		edit(b, want, change)
		fixture.WaitFor(b, b, want, "the RuntimeClass is mended: "+name, same)
	}
}

// TestDeletedObjectsComeBack, with a lease of the new node.
func TestDeletedObjectsComeBack(t *testing.T) {
	b := newBench(t).start()
	b.ready(b.class())
	node, runtimeClass := waitForObjects(b)
	for _, object := range []client.Object{node, runtimeClass} {
		if err := b.Delete(t.Context(), object); err != nil {
			t.Fatal(err)
		}
	}
	newNode := fixture.WaitFor(b, b, node, "the node is back", func(is *corev1.Node) error {
		if is.UID == node.UID {
			return fmt.Errorf("it is the old one")
		}
		return nil
	})
	fixture.WaitFor(b, b, runtimeClass, "the RuntimeClass is back", func(is *nodev1.RuntimeClass) error {
		if is.UID == runtimeClass.UID {
			return fmt.Errorf("it is the old one")
		}
		return nil
	})
	lease := &coordinationv1.Lease{ObjectMeta: metav1.ObjectMeta{Namespace: "kube-node-lease", Name: node.Name}}
	fixture.WaitFor(b, b, lease, "the lease is the new node's", func(is *coordinationv1.Lease) error {
		if len(is.OwnerReferences) != 1 || is.OwnerReferences[0].UID != newNode.UID {
			return fmt.Errorf("owners %+v", is.OwnerReferences)
		}
		return nil
	})
}

// TestCapacityFollowsTheClass: what the scheduler may place changes with it.
func TestCapacityFollowsTheClass(t *testing.T) {
	b := newBench(t).start()
	class := b.class()
	waitForObjects(b)
	edit(b, class, func(c *v1beta1.CellClass) {
		c.Spec.Capacity = corev1.ResourceList{"cpu": resource.MustParse("3"), "nvidia.com/gpu": resource.MustParse("2")}
	})
	fixture.WaitFor(b, b, b.node(), "the node offers what the class says", func(is *corev1.Node) error {
		if !equality.Semantic.DeepEqual(is.Status.Allocatable, corev1.ResourceList{"cpu": resource.MustParse("3"), "nvidia.com/gpu": resource.MustParse("2")}) {
			return fmt.Errorf("allocatable %v", is.Status.Allocatable)
		}
		return nil
	})
}

// TestNameTaken: a node, or RuntimeClass, of that name which is not ours is
// neither changed nor deleted, and the class says what is in its way.
func TestNameTaken(t *testing.T) {
	for name, test := range map[string]struct {
		object func(*bench) client.Object
		text   string
	}{
		"node": {func(b *bench) client.Object {
			node := b.node()
			node.Labels = map[string]string{"mine": "yes"}
			return node
		}, "spec.providerID"},
		"runtimeclass": {func(b *bench) client.Object {
			runtimeClass := b.runtimeClass()
			runtimeClass.Handler = "runc"
			return runtimeClass
		}, `handler is "runc"`},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			foreign := test.object(b)
			b.create(foreign)
			b.start()
			class := b.class()
			b.unready(class, v1beta1.ReasonNodeNameTaken, foreign.GetName(), test.text)
			is, err := fixture.Get(t.Context(), b, foreign)
			if err != nil || is.GetResourceVersion() != foreign.GetResourceVersion() {
				t.Errorf("the object was touched: %v %+v", err, is)
			}
			if err := b.Delete(t.Context(), foreign); err != nil {
				t.Fatal(err)
			}
			b.ready(class)
			waitForObjects(b)
		})
	}
}

// TestForeignObjectsAreLeftAlone also when the class goes.
func TestForeignObjectsAreLeftAlone(t *testing.T) {
	b := newBench(t)
	node, runtimeClass := b.node(), b.runtimeClass()
	node.Labels, runtimeClass.Handler = map[string]string{"mine": "yes"}, "runc"
	b.create(node)
	b.create(runtimeClass)
	b.start()
	class := b.class()
	b.unready(class, v1beta1.ReasonNodeNameTaken)
	if err := b.Delete(t.Context(), class); err != nil {
		t.Fatal(err)
	}
	fixture.WaitGone(b, b, class)
	for _, object := range []client.Object{node, runtimeClass} {
		is, err := fixture.Get(t.Context(), b, object)
		if err != nil || is.GetUID() != object.GetUID() || is.GetLabels()[v1beta1.LabelCellClass] != "" {
			t.Errorf("%T: %v %+v", object, err, is)
		}
	}
}

// TestLabelsFollowTheClass: what is said of the node's cells changes with the
// class, and is taken back when it is not true of all any more.
func TestLabelsFollowTheClass(t *testing.T) {
	b := newBench(t).start()
	class := b.class(func(s *v1beta1.CellClassSpec) { s.AWS.Subnets = []string{subnetB} })
	b.ready(class)
	node, _ := waitForObjects(b)
	labelled := func(architecture, zone string) {
		t.Helper()
		fixture.WaitFor(b, b, node, "the node is labelled", func(is *corev1.Node) error {
			if is.Labels[corev1.LabelArchStable] != architecture || is.Labels[corev1.LabelTopologyZone] != zone {
				return fmt.Errorf("labels %v", is.Labels)
			}
			return nil
		})
	}
	labelled("amd64", "us-east-1b") // there are images of both architectures; the default type is t3.nano
	edit(b, class, func(c *v1beta1.CellClass) {
		c.Spec.DefaultInstanceType, c.Spec.AWS.Subnets = "m7g.medium", []string{subnetA, subnetB}
	})
	labelled("arm64", "")
}

// blackHole is a cloud that answers nothing until the caller gives up.
type blackHole struct {
	Cloud
	bounded chan bool
}

func (h *blackHole) Subnets(ctx context.Context, _ []string) ([]cloud.Subnet, error) {
	_, bounded := ctx.Deadline()
	select {
	case h.bounded <- bounded:
	default:
	}
	<-ctx.Done()
	return nil, ctx.Err()
}

// TestNodesNeedNoCloud: nodes and leases of all classes are kept while the
// cloud does not answer, and nothing waits for it for ever.
func TestNodesNeedNoCloud(t *testing.T) {
	b := newBench(t)
	hole := &blackHole{bounded: make(chan bool, 1)}
	b.wrap = func(o *Options) { hole.Cloud = o.Cloud; o.Cloud = hole }
	b.start()
	first := b.class()
	second := &v1beta1.CellClass{ObjectMeta: metav1.ObjectMeta{Name: b.name + "-2", Labels: first.Labels}, Spec: first.Spec}
	b.create(second)
	waitForObjects(b)
	other := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: v1beta1.NodeName(second.Name)}}
	b.Cleanup(func() {
		_ = b.Delete(context.Background(), other)
		_ = b.Delete(context.Background(), &nodev1.RuntimeClass{ObjectMeta: metav1.ObjectMeta{Name: other.Name}})
	})
	fixture.WaitFor(b, b, other, "the node of the second class is there", func(*corev1.Node) error { return nil })
	for _, name := range []string{v1beta1.NodeName(first.Name), other.Name} {
		lease := &coordinationv1.Lease{ObjectMeta: metav1.ObjectMeta{Namespace: "kube-node-lease", Name: name}}
		fixture.WaitFor(b, b, lease, "its lease is kept", func(*coordinationv1.Lease) error { return nil })
	}
	if !<-hole.bounded {
		t.Error("the look-up has no end")
	}
}

func TestWaitsFor(t *testing.T) {
	cells := func(n int) []v1beta1.Cell {
		var cells []v1beta1.Cell
		for i := range n {
			cells = append(cells, v1beta1.Cell{ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprint("c", i)}})
		}
		return cells
	}
	for n, want := range map[int]string{1: "its 1 Cells are deleted: c0", 5: "c0, c1, c2, c3, c4", 7: "its 7 Cells are deleted: c0, c1, c2, c3, c4 and 2 more"} {
		if got := waitsFor([]string{"kip-a"}, cells(n)); !strings.HasSuffix(got, want) {
			t.Errorf("%d: %q, want %q", n, got, want)
		}
	}
}

// TestClassWaitsForItsCells: the node goes when the last Cell has gone.
func TestClassWaitsForItsCells(t *testing.T) {
	b := newBench(t).start()
	class := b.class()
	b.ready(class)
	node, runtimeClass := waitForObjects(b)
	cell := &v1beta1.Cell{
		ObjectMeta: metav1.ObjectMeta{Name: b.name, Labels: map[string]string{fixture.TestLabel: b.name}},
		Spec: v1beta1.CellSpec{
			CellClassName: b.name, PodRef: &v1beta1.PodReference{Namespace: "shop", Name: "web-0", UID: "uid"},
		},
	}
	b.create(cell)
	counted := func(cells, ready int32) {
		t.Helper()
		fixture.WaitFor(b, b, class, "the Cells are counted", func(is *v1beta1.CellClass) error {
			if is.Status.Cells != cells || is.Status.ReadyCells != ready {
				return fmt.Errorf("%d Cells, %d ready", is.Status.Cells, is.Status.ReadyCells)
			}
			return nil
		})
	}
	counted(1, 0)
	cell.Status.Phase = v1beta1.CellReady
	if err := b.Status().Update(t.Context(), cell); err != nil {
		t.Fatal(err)
	}
	counted(1, 1)
	if err := b.Delete(t.Context(), class); err != nil {
		t.Fatal(err)
	}
	fixture.WaitFor(b, b, class, "the class says what it waits for", func(is *v1beta1.CellClass) error {
		inUse := meta.FindStatusCondition(is.Status.Conditions, v1beta1.ConditionInUse)
		if inUse == nil || inUse.Status != metav1.ConditionTrue || inUse.Reason != v1beta1.ReasonCellsExist {
			return fmt.Errorf("conditions %+v", is.Status.Conditions)
		}
		return holdsAll(inUse.Message, []string{"1 Cells", cell.Name + " (pod shop/web-0)"})
	})
	fixture.Eventually(t, "an event says so", func(ctx context.Context) error {
		var events eventsv1.EventList
		if err := b.List(ctx, &events); err != nil {
			return err
		}
		if !slices.ContainsFunc(events.Items, func(e eventsv1.Event) bool {
			return e.Regarding.UID == class.UID && e.Reason == v1beta1.ReasonCellsExist
		}) {
			return errors.New("none does")
		}
		return nil
	})
	cordoned := func(is *corev1.Node) error {
		if !is.Spec.Unschedulable || is.UID != node.UID {
			return fmt.Errorf("node %s, spec %+v", is.UID, is.Spec)
		}
		return nil
	}
	fixture.WaitFor(b, b, node, "the node is cordoned", cordoned)
	// The pods of the cells that are left live on: whoever starts next keeps the lease.
	b.stop()
	lease := &coordinationv1.Lease{ObjectMeta: metav1.ObjectMeta{Namespace: "kube-node-lease", Name: node.Name}}
	if err := b.Delete(t.Context(), lease); err != nil {
		t.Fatal(err)
	}
	b.start()
	fixture.WaitFor(b, b, lease, "the lease is kept", func(*coordinationv1.Lease) error { return nil })
	fixture.WaitFor(b, b, node, "the node is cordoned", cordoned)
	if err := b.Delete(t.Context(), cell); err != nil {
		t.Fatal(err)
	}
	fixture.WaitGone(b, b, class)
	fixture.WaitGone(b, b, node)
	fixture.WaitGone(b, b, runtimeClass)
}

// TestClassMadeAnew at once after the old one has gone has a node, a lease and a
// RuntimeClass of its own.
func TestClassMadeAnew(t *testing.T) {
	b := newBench(t).start()
	class := b.class()
	for range 3 {
		b.ready(class)
		old, _ := waitForObjects(b)
		if err := b.Delete(t.Context(), class); err != nil {
			t.Fatal(err)
		}
		fixture.WaitGone(b, b, class)
		class = b.class()
		b.ready(class)
		node := fixture.WaitFor(b, b, old, "the node is a new one", func(is *corev1.Node) error {
			if is.UID == old.UID || is.Spec.Unschedulable {
				return fmt.Errorf("node %s, unschedulable %v", is.UID, is.Spec.Unschedulable)
			}
			return nil
		})
		fixture.WaitFor(b, b, b.runtimeClass(), "the RuntimeClass is back", func(*nodev1.RuntimeClass) error { return nil })
		lease := &coordinationv1.Lease{ObjectMeta: metav1.ObjectMeta{Namespace: "kube-node-lease", Name: node.Name}}
		fixture.WaitFor(b, b, lease, "the lease is the new node's", func(is *coordinationv1.Lease) error {
			if len(is.OwnerReferences) != 1 || is.OwnerReferences[0].UID != node.UID {
				return fmt.Errorf("owners %+v", is.OwnerReferences)
			}
			return nil
		})
	}
}
