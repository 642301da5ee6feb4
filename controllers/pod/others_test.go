package pod_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"kip.elotl.co/api/v1beta1"
	"kip.elotl.co/controllers/pod"
	"kip.elotl.co/internal/virtualnode"
)

func (s *scene) nodeClient() kubernetes.Interface {
	s.t.Helper()
	c, err := virtualnode.NewClients(cluster.operator).ForNode(s.node)
	if err != nil {
		s.t.Fatal(err)
	}
	return c
}

// Pods elsewhere are none of ours, also on a node that is only named like ours.
func TestPodsOfOtherNodes(t *testing.T) {
	s := newScene(t)
	s.addNodeOf("kip-x"+s.class, "", map[string]string{v1beta1.LabelCellClass: "x" + s.class})
	s.addNodeOf("kip-y"+s.class, "kip://another", map[string]string{v1beta1.LabelCellClass: "y" + s.class})
	s.operator()
	pods := map[string]*corev1.Pod{}
	for _, node := range []string{"kip-x" + s.class, "kip-y" + s.class, "kip-absent-" + s.class, "worker-1", ""} {
		pods[node] = s.add("on-"+node+"-0", func(p *corev1.Pod) { p.Spec.NodeName = node })
	}
	s.settled()
	if cells := s.cells(); len(cells) > 0 {
		t.Errorf("cells were made: %v", cells)
	}
	var all v1beta1.CellList
	if err := cluster.admin.List(t.Context(), &all); err != nil {
		t.Fatal(err)
	}
	for node, p := range pods {
		found, err := s.get(p)
		if err != nil {
			t.Fatal(err)
		}
		if found.ResourceVersion != p.ResourceVersion {
			t.Errorf("pod on node %q was written to: %v", node, found.Status)
		}
		for _, cell := range all.Items {
			if cell.Spec.PodRef != nil && cell.Spec.PodRef.UID == string(p.UID) {
				t.Errorf("pod on node %q has Cell %s", node, cell.Name)
			}
		}
		s.delete(p, client.GracePeriodSeconds(0))
	}
}

// A pod may be bound before the operator knows the node.
func TestNodeSeenAfterItsPod(t *testing.T) {
	s := newScene(t)
	s.delete(&corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: s.node}})
	other := s.class + "-b"
	s.addNode(v1beta1.NodeName(other), map[string]string{v1beta1.LabelCellClass: other})
	s.operator()
	p := s.add("web")
	// A later pod of another node has its Cell: the operator has been at this one.
	later := s.add("later", func(p *corev1.Pod) { p.Spec.NodeName = v1beta1.NodeName(other) })
	cell := s.cellOf(later)
	s.delete(later, client.GracePeriodSeconds(0))
	s.delete(cell)
	s.release(cell)
	s.addNode(s.node, map[string]string{v1beta1.LabelCellClass: s.class})
	s.boot(p)
	s.running(p)
}

func TestConditionsOfOthersAreKept(t *testing.T) {
	s := newScene(t)
	s.operator()
	p := s.add("web")
	s.update(p, `{"status":{"conditions":[{"type":"PodScheduled","status":"True"},{"type":"example.com/reviewed","status":"True","reason":"Seen"}]}}`, "status")
	s.boot(p)
	p = s.running(p)
	check := func() {
		t.Helper()
		if !conditionIs(p, corev1.PodScheduled, corev1.ConditionTrue) {
			t.Errorf("conditions are %v", p.Status.Conditions)
		}
		if reviewed := condition(p, "example.com/reviewed"); reviewed == nil || reviewed.Reason != "Seen" {
			t.Errorf("conditions are %v", p.Status.Conditions)
		}
	}
	check()
	before := condition(p, corev1.PodReady)
	// As a controller does that thinks the node is gone.
	s.update(p, `{"status":{"conditions":[{"type":"Ready","status":"False","reason":"NodeNotReady"},{"type":"example.com/late","status":"True"}]}}`, "status")
	p = s.podIs(p, "mended", func(p *corev1.Pod) bool {
		return conditionIs(p, corev1.PodReady, corev1.ConditionTrue) && conditionIs(p, "example.com/late", corev1.ConditionTrue)
	})
	check()
	if after := condition(p, corev1.PodReady); after.Reason != "" || !after.LastTransitionTime.Equal(&before.LastTransitionTime) {
		t.Errorf("Ready was %v, is %v", before, after)
	}
}

func TestSlim(t *testing.T) {
	full := func(node string) *corev1.Pod {
		return &corev1.Pod{
			TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Pod"},
			ObjectMeta: metav1.ObjectMeta{
				Namespace: "default", Name: "web", UID: "uid", ResourceVersion: "7",
				Labels: map[string]string{"a": "b"}, ManagedFields: []metav1.ManagedFieldsEntry{{Manager: "kubectl"}},
			},
			Spec:   corev1.PodSpec{NodeName: node, Containers: []corev1.Container{{Name: "main"}}},
			Status: corev1.PodStatus{Phase: corev1.PodRunning},
		}
	}
	ours := full("kip-default")
	ours.ManagedFields = nil
	slim := func(node string) *corev1.Pod {
		return &corev1.Pod{
			TypeMeta:   metav1.TypeMeta{APIVersion: "v1", Kind: "Pod"},
			ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "web", UID: "uid", ResourceVersion: "7"},
			Spec:       corev1.PodSpec{NodeName: node},
		}
	}
	tests := map[string]struct{ in, want any }{
		"ours":           {full("kip-default"), ours},
		"another node's": {full("worker-1"), slim("worker-1")},
		"not bound":      {full(""), slim("")},
		"no pod":         {"text", "text"},
	}
	for name, test := range tests {
		got, err := pod.Slim(test.in)
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if diff := cmp.Diff(test.want, got); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}
