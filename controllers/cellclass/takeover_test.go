package cellclass

import (
	"context"
	"errors"
	"fmt"
	"net"
	"testing"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	nodev1 "k8s.io/api/node/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"kip.elotl.co/api/v1beta1"
	"kip.elotl.co/internal/virtualnode"
	"kip.elotl.co/test/fixture"
)

// manyNodes makes more classes than are worked on at a time, and gives their
// nodes when they are there.
func manyNodes(b *bench) []*corev1.Node {
	b.Helper()
	var nodes []*corev1.Node
	first := b.class()
	for i := range 2*workers + 1 {
		class := &v1beta1.CellClass{ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprint(b.name, "-", i), Labels: first.Labels}, Spec: first.Spec}
		b.create(class)
		node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: v1beta1.NodeName(class.Name)}}
		nodes = append(nodes, node)
		b.Cleanup(func() {
			_ = b.Delete(context.Background(), node)
			_ = b.Delete(context.Background(), &nodev1.RuntimeClass{ObjectMeta: metav1.ObjectMeta{Name: node.Name}})
		})
	}
	waitForObjects(b)
	for i, node := range nodes {
		nodes[i] = fixture.WaitFor(b, b, node, "the node is there", func(*corev1.Node) error { return nil })
	}
	return nodes
}

// TestNewLeader: while no class can be looked up in the cloud, all nodes tell
// the new leader's address, each with its port of before, and their leases live on.
func TestNewLeader(t *testing.T) {
	b := newBench(t)
	b.wrap = func(o *Options) { o.Ports = virtualnode.NewPorts("127.0.0.8", 30000, 100) }
	b.start()
	nodes := manyNodes(b)
	ports := map[int32]bool{}
	for _, node := range nodes {
		ports[portOf(node)] = true
	}
	if len(ports) != len(nodes) || ports[0] {
		t.Errorf("%d nodes have ports %v", len(nodes), ports)
	}
	b.stop()
	b.wrap = func(o *Options) {
		o.Cloud = &blackHole{Cloud: o.Cloud, bounded: make(chan bool, 1)}
		o.About.Kubelet, o.Ports = virtualnode.Endpoint{Address: "127.0.0.9"}, virtualnode.NewPorts("127.0.0.9", 29900, 200)
	}
	for _, node := range nodes {
		if err := b.Delete(t.Context(), &coordinationv1.Lease{ObjectMeta: metav1.ObjectMeta{Namespace: "kube-node-lease", Name: node.Name}}); err != nil {
			t.Fatal(err)
		}
	}
	b.start()
	for _, node := range nodes {
		fixture.WaitFor(b, b, node, "the node tells the new address", func(is *corev1.Node) error {
			if is.Status.Addresses[0].Address != "127.0.0.9" || portOf(is) != portOf(node) {
				return fmt.Errorf("addresses %v, endpoints %v", is.Status.Addresses, is.Status.DaemonEndpoints)
			}
			return nil
		})
		lease := &coordinationv1.Lease{ObjectMeta: metav1.ObjectMeta{Namespace: "kube-node-lease", Name: node.Name}}
		fixture.WaitFor(b, b, lease, "its lease is kept", func(*coordinationv1.Lease) error { return nil })
	}
}

// TestConditionsOverRestarts: a node that was Ready all along says since when,
// and says often enough that it is; one that was given up meanwhile says since
// when it is Ready again.
func TestConditionsOverRestarts(t *testing.T) {
	b := newBench(t).start()
	class := b.class()
	b.ready(class)
	node, _ := waitForObjects(b)
	since := conditionOf(node, corev1.NodeReady).LastTransitionTime
	b.stop()
	b.clock.Advance(time.Hour)
	b.start()
	node = fixture.WaitFor(b, b, node, "the heartbeat goes on", func(is *corev1.Node) error {
		if ready := conditionOf(is, corev1.NodeReady); ready.LastHeartbeatTime.Sub(since.Time) < time.Hour {
			return fmt.Errorf("condition %+v", ready)
		}
		return nil
	})
	for _, condition := range node.Status.Conditions {
		if !condition.LastTransitionTime.Equal(&since) {
			t.Errorf("condition %+v was so since %v", condition, since)
		}
	}
	b.clock.Advance(time.Hour)
	fixture.Eventually(t, "the node is given up", func(ctx context.Context) error {
		is, err := fixture.Get(ctx, b, node)
		if err != nil {
			return err
		}
		for i := range is.Status.Conditions {
			is.Status.Conditions[i].Status, is.Status.Conditions[i].Reason = corev1.ConditionUnknown, "NodeStatusUnknown"
		}
		is.Status.Conditions = append(is.Status.Conditions, corev1.NodeCondition{Type: "example.com/Checked", Status: corev1.ConditionTrue})
		return b.Status().Update(ctx, is)
	})
	node = fixture.WaitFor(b, b, node, "the node is Ready again", func(is *corev1.Node) error {
		ready := conditionOf(is, corev1.NodeReady)
		if ready.Status != corev1.ConditionTrue || ready.Reason != "OperatorReady" || ready.LastTransitionTime.Sub(since.Time) < 2*time.Hour {
			return fmt.Errorf("condition %+v", ready)
		}
		return nil
	})
	if conditionOf(node, "example.com/Checked").Status != corev1.ConditionTrue {
		t.Errorf("another's condition is gone: %+v", node.Status.Conditions)
	}
}

func portOf(node *corev1.Node) int32 { return node.Status.DaemonEndpoints.KubeletEndpoint.Port }

// onePort is a single port, which another node has.
func onePort(t *testing.T) *virtualnode.Ports {
	t.Helper()
	for port := int32(30000); port < 32000; port++ {
		ports := virtualnode.NewPorts("127.0.0.1", port, 1)
		t.Cleanup(ports.Close)
		if _, err := ports.Keep(t.Context(), "kip-other", 0, nil); err == nil {
			return ports
		}
	}
	t.Fatal("no port is free")
	return nil
}

// TestPortOfALostNode: nobody listens for a node that somebody else has deleted
// while no operator looked.
func TestPortOfALostNode(t *testing.T) {
	b := newBench(t)
	ports := virtualnode.NewPorts("127.0.0.1", 20000, 10000)
	t.Cleanup(ports.Close)
	b.wrap = func(o *Options) { o.Ports = ports }
	b.start()
	class := b.class()
	b.ready(class)
	node, _ := waitForObjects(b)
	b.stop()
	b.remove(node)
	b.remove(class)
	b.start()
	fixture.WaitGone(b, b, class)
	if conn, err := net.Dial("tcp", fmt.Sprint("127.0.0.1:", portOf(node))); err == nil {
		conn.Close()
		t.Error("somebody listens still")
	}
}

// TestFormerAnnotation: what an earlier operator told metrics-server goes, and
// what others tell it stays.
func TestFormerAnnotation(t *testing.T) {
	b := newBench(t).start()
	b.ready(b.class())
	node, _ := waitForObjects(b)
	key, value := virtualnode.FormerAnnotation(node.Name)
	annotate := func(value string) {
		t.Helper()
		patch := fmt.Sprintf(`{"metadata":{"annotations":{%q:%q}}}`, key, value)
		if err := b.Patch(t.Context(), node.DeepCopy(), client.RawPatch(types.MergePatchType, []byte(patch))); err != nil {
			t.Fatal(err)
		}
	}
	annotate(value)
	fixture.WaitFor(b, b, node, "the annotation is gone", func(is *corev1.Node) error {
		if is.Annotations[key] != "" {
			return errors.New("it is there")
		}
		return nil
	})
	annotate("/mine")
	if is, err := fixture.Get(t.Context(), b, node); err != nil || is.Annotations[key] != "/mine" {
		t.Errorf("%v: %v", is.Annotations, err)
	}
}

// TestNoPortForANode: a class whose node can have no port says so.
func TestNoPortForANode(t *testing.T) {
	b := newBench(t)
	ports := onePort(t)
	b.wrap = func(o *Options) { o.Ports = ports }
	b.start()
	class := b.class()
	b.unready(class, v1beta1.ReasonNoKubeletPort, v1beta1.NodeName(b.name), "--kubelet-ports")
	ports.Drop("kip-other")
	b.poke(class)
	b.ready(class)
}

func conditionOf(node *corev1.Node, kind corev1.NodeConditionType) corev1.NodeCondition {
	for _, condition := range node.Status.Conditions {
		if condition.Type == kind {
			return condition
		}
	}
	return corev1.NodeCondition{}
}

// TestNodeTellsItsCellsRuntime as long as all of them have the same, and after
// the last has gone.
func TestNodeTellsItsCellsRuntime(t *testing.T) {
	b := newBench(t).start()
	b.ready(b.class())
	node, _ := waitForObjects(b)
	tells := func(want string) {
		t.Helper()
		fixture.WaitFor(b, b, node, "the node tells "+want, func(is *corev1.Node) error {
			if got := is.Status.NodeInfo.ContainerRuntimeVersion; got != want {
				return fmt.Errorf("it tells %s", got)
			}
			return nil
		})
	}
	cell := func(name, runtime string) *v1beta1.Cell {
		cell := &v1beta1.Cell{
			ObjectMeta: metav1.ObjectMeta{Name: b.name + name, Labels: map[string]string{fixture.TestLabel: b.name}},
			Spec:       v1beta1.CellSpec{CellClassName: b.name},
		}
		b.create(cell)
		cell.Status.Phase, cell.Status.Agent = v1beta1.CellReady, &v1beta1.AgentStatus{Name: "kip", Runtime: runtime}
		if err := b.Status().Update(t.Context(), cell); err != nil {
			t.Fatal(err)
		}
		return cell
	}
	tells("kip://unknown")
	first := cell("-1", "containerd 1.7.2")
	tells("containerd://1.7.2")
	if err := b.Delete(t.Context(), first); err != nil {
		t.Fatal(err)
	}
	cell("-2", "containerd 2.1.3")
	tells("containerd://2.1.3")
}
