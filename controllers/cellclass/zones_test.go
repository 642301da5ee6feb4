package cellclass

import (
	"context"
	"fmt"
	"slices"
	"testing"

	corev1 "k8s.io/api/core/v1"
	nodev1 "k8s.io/api/node/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"kip.elotl.co/api/v1beta1"
	"kip.elotl.co/test/fixture"
)

func nodePerZone(s *v1beta1.CellClassSpec) { s.NodePerZone = true }

func (b *bench) nodeNamed(name string) *corev1.Node {
	node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name}}
	b.Cleanup(func() {
		_ = b.Delete(context.Background(), node)
		_ = b.Delete(context.Background(), &nodev1.RuntimeClass{ObjectMeta: metav1.ObjectMeta{Name: name}})
	})
	return node
}

// zoneNode is the class's node of zone us-east-1a, say.
func (b *bench) zoneNode(letter string) *corev1.Node {
	return b.nodeNamed(v1beta1.NodeName(b.name) + "-us-east-1" + letter)
}

func takesPods(yes bool) func(*corev1.Node) error {
	return func(is *corev1.Node) error {
		if is.Spec.Unschedulable == yes {
			return fmt.Errorf("unschedulable: %v, annotations %v", is.Spec.Unschedulable, is.Annotations)
		}
		return nil
	}
}

// bound is a pod on a node.
func (b *bench) bound(name, node string, owner ...metav1.OwnerReference) *corev1.Pod {
	b.Helper()
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: metav1.NamespaceDefault, Name: b.name + name, OwnerReferences: owner},
		Spec:       corev1.PodSpec{NodeName: node, Containers: []corev1.Container{{Name: "main", Image: "i"}}},
	}
	b.create(pod)
	b.Cleanup(func() { _ = b.Delete(context.Background(), pod, client.GracePeriodSeconds(0)) })
	return pod
}

func (b *bench) remove(object client.Object) {
	b.Helper()
	if err := b.Delete(b.Context(), object, client.GracePeriodSeconds(0)); err != nil {
		b.Fatal(err)
	}
}

// TestNodePerZone: each zone has a node with its label and the class's capacity,
// and one RuntimeClass leads to all of them.
func TestNodePerZone(t *testing.T) {
	b := newBench(t).start()
	class := b.class(nodePerZone)
	b.ready(class)
	b.Cleanup(func() { _ = b.Delete(context.Background(), b.runtimeClass()) })
	for _, letter := range []string{"a", "b"} {
		node := fixture.WaitFor(b, b, b.zoneNode(letter), "the zone's node is there", takesPods(true))
		zone := "us-east-1" + letter
		if node.Labels[corev1.LabelTopologyZone] != zone || node.Labels[corev1.LabelTopologyRegion] != "us-east-1" || node.Labels[v1beta1.LabelCellClass] != b.name || node.Spec.ProviderID != "kip://"+b.name+"/"+zone {
			t.Errorf("labels %v, provider ID %s", node.Labels, node.Spec.ProviderID)
		}
		if cpu := node.Status.Allocatable.Cpu(); cpu.Cmp(*class.Spec.Capacity.Cpu()) != 0 {
			t.Errorf("it offers %s CPUs", cpu)
		}
	}
	runtimeClass := fixture.WaitFor(b, b, b.runtimeClass(), "the RuntimeClass is there", func(*nodev1.RuntimeClass) error { return nil })
	if selector := runtimeClass.Scheduling.NodeSelector; len(selector) != 1 || selector[v1beta1.LabelCellClass] != b.name {
		t.Errorf("selector %v", selector)
	}
	fixture.WaitFor(b, b, class, "the class names its nodes", func(is *v1beta1.CellClass) error {
		if want := []string{b.zoneNode("a").Name, b.zoneNode("b").Name}; !slices.Equal(is.Status.Nodes, want) || is.Status.Node != v1beta1.NodeName(b.name) {
			return fmt.Errorf("nodes %v, node %s", is.Status.Nodes, is.Status.Node)
		}
		return nil
	})
	if err := b.Get(t.Context(), client.ObjectKeyFromObject(b.node()), &corev1.Node{}); client.IgnoreNotFound(err) != nil || err == nil {
		t.Errorf("there is a node for all zones: %v", err)
	}
	b.remove(class)
	fixture.WaitGone(b, b, class)
	fixture.WaitGone(b, b, b.zoneNode("a"))
	fixture.WaitGone(b, b, b.zoneNode("b"))
	fixture.WaitGone(b, b, b.runtimeClass())
}

// TestSwitchedToZones: the old node takes no more pods, and goes when it has
// none: the one that runs there stays.
func TestSwitchedToZones(t *testing.T) {
	b := newBench(t).start()
	class := b.class()
	b.ready(class)
	old, _ := waitForObjects(b)
	pod := b.bound("-pod", old.Name)
	yes := true
	daemon := b.bound("-daemon", old.Name, metav1.OwnerReference{APIVersion: "apps/v1", Kind: "DaemonSet", Name: "d", UID: "d", Controller: &yes})
	edit(b, class, func(c *v1beta1.CellClass) { c.Spec.NodePerZone = true })
	fixture.WaitFor(b, b, b.zoneNode("a"), "the zone's node is there", takesPods(true))
	fixture.WaitFor(b, b, old, "the old node is cordoned", takesPods(false))
	fixture.WaitFor(b, b, class, "the class says what the node waits for", leavingFor(pod.Name))
	b.later(class)
	// Switched back and forth it takes pods again, and leaves again.
	edit(b, class, func(c *v1beta1.CellClass) { c.Spec.NodePerZone = false })
	fixture.WaitFor(b, b, old, "the old node takes pods again", takesPods(true))
	fixture.WaitFor(b, b, b.zoneNode("a"), "the zone's node is cordoned", takesPods(false))
	edit(b, class, func(c *v1beta1.CellClass) { c.Spec.NodePerZone = true })
	fixture.WaitFor(b, b, old, "the old node is cordoned again", takesPods(false))
	fixture.WaitFor(b, b, b.zoneNode("a"), "the zone's node takes pods again", takesPods(true))
	fixture.WaitFor(b, b, class, "the class says what the node waits for again", leavingFor(pod.Name))
	b.later(class)
	if is, err := fixture.Get(t.Context(), b, old); err != nil || is.UID != old.UID {
		t.Fatalf("the node with a pod: %v", err)
	}
	b.remove(pod)
	b.laterUntilGone(class, old)
	fixture.WaitFor(b, b, class, "no node leaves any more", func(is *v1beta1.CellClass) error {
		if len(is.Status.Nodes) != 2 || meta.FindStatusCondition(is.Status.Conditions, v1beta1.ConditionNodesLeaving) != nil {
			return fmt.Errorf("nodes %v, conditions %+v", is.Status.Nodes, is.Status.Conditions)
		}
		return nil
	})
	b.remove(daemon)
}

func leavingFor(pod string) func(*v1beta1.CellClass) error {
	return func(is *v1beta1.CellClass) error {
		condition := meta.FindStatusCondition(is.Status.Conditions, v1beta1.ConditionNodesLeaving)
		if condition == nil || condition.Status != metav1.ConditionTrue || condition.Reason != v1beta1.ReasonPodsBound {
			return fmt.Errorf("condition %+v", condition)
		}
		return holdsAll(condition.Message, []string{"has 1: default/" + pod})
	}
}

// later puts the clock past the time that a node stays cordoned at least.
func (b *bench) later(class *v1beta1.CellClass) {
	b.Helper()
	b.clock.Advance(leaveAfter)
	b.poke(class)
}

func (b *bench) laterUntilGone(class *v1beta1.CellClass, node *corev1.Node) {
	b.Helper()
	fixture.Eventually(b, "node "+node.Name+" is gone", func(ctx context.Context) error {
		if is, err := fixture.Get(ctx, b, node); client.IgnoreNotFound(err) != nil || err == nil && is.UID == node.UID {
			b.later(class)
			return fmt.Errorf("it is there: %w", err)
		}
		return nil
	})
}

// TestZonesFollowTheSubnets: the node of a zone comes and goes with its last subnet.
func TestZonesFollowTheSubnets(t *testing.T) {
	b := newBench(t).start()
	class := b.class(nodePerZone, func(s *v1beta1.CellClassSpec) { s.AWS.Subnets = []string{subnetA} })
	b.ready(class)
	b.Cleanup(func() { _ = b.Delete(context.Background(), b.runtimeClass()) })
	first := fixture.WaitFor(b, b, b.zoneNode("a"), "the zone's node is there", takesPods(true))
	pod := b.bound("-pod", first.Name)
	edit(b, class, func(c *v1beta1.CellClass) { c.Spec.AWS.Subnets = []string{subnetB} })
	second := fixture.WaitFor(b, b, b.zoneNode("b"), "the other zone's node is there", takesPods(true))
	fixture.WaitFor(b, b, first, "the first zone's is cordoned", takesPods(false))
	b.remove(pod)
	b.laterUntilGone(class, first)
	// A user's own cordon is no sign that a node leaves.
	edit(b, second, func(n *corev1.Node) { n.Spec.Unschedulable = true })
	edit(b, class, func(c *v1beta1.CellClass) { c.Spec.AWS.Subnets = []string{subnetA, subnetB} })
	fixture.WaitFor(b, b, first, "the first zone's node is back", takesPods(true))
	fixture.WaitFor(b, b, second, "the other is cordoned still", takesPods(false))
}

// TestNodesOfTheSameName: the node of class x in a zone, and that of a class x-zone,
// have one name. Who comes second says so, and has it when the first has gone.
func TestNodesOfTheSameName(t *testing.T) {
	b := newBench(t).start()
	long := &v1beta1.CellClass{ObjectMeta: metav1.ObjectMeta{Name: b.name + "-us-east-1a", Labels: map[string]string{fixture.TestLabel: b.name}}}
	first := b.class()
	long.Spec = *first.Spec.DeepCopy()
	b.create(long)
	b.ready(long)
	taken := fixture.WaitFor(b, b, b.zoneNode("a"), "the node is there", takesPods(true))
	waitForObjects(b)
	edit(b, first, func(c *v1beta1.CellClass) { c.Spec.NodePerZone = true })
	b.unready(first, v1beta1.ReasonNodeNameTaken, taken.Name, `"kip://`+long.Name+`"`)
	if is, err := fixture.Get(t.Context(), b, taken); err != nil || is.UID != taken.UID || is.Spec.ProviderID != "kip://"+long.Name || is.Labels[v1beta1.LabelCellClass] != long.Name {
		t.Errorf("the node of %s: %v, %+v", long.Name, err, is)
	}
	if is, err := fixture.Get(t.Context(), b, b.node()); err != nil || is.Spec.Unschedulable {
		t.Errorf("the node that is to go when all others are there: %v, %+v", err, is.Spec)
	}
	b.remove(long)
	fixture.WaitGone(b, b, long)
	fixture.Eventually(t, "the name is the zone's", func(ctx context.Context) error {
		b.poke(first)
		is, err := fixture.Get(ctx, b, taken)
		if err != nil || is.Spec.ProviderID != "kip://"+b.name+"/us-east-1a" {
			return fmt.Errorf("node %+v: %w", is.Spec, err)
		}
		return nil
	})
	b.ready(first)
}
