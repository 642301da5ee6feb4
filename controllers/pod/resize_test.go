package pod_test

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// enlarge gives the node room: the API server refuses resizes beyond it.
func (s *scene) enlarge() {
	s.t.Helper()
	node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: s.node}}
	room := client.RawPatch("application/merge-patch+json", []byte(`{"status":{"allocatable":{"cpu":"100"},"capacity":{"cpu":"100"}}}`))
	if err := cluster.admin.Status().Patch(s.t.Context(), node, room); err != nil {
		s.t.Fatal(err)
	}
}

// A resize by the subresource is answered as a kubelet does that cannot make
// it, and its withdrawal too; the container goes on.
func TestResizeIsInfeasible(t *testing.T) {
	s := newScene(t)
	s.operator()
	s.enlarge()
	p, _, _ := s.start("web", func(p *corev1.Pod) {
		p.Spec.Containers[0].Resources.Requests = corev1.ResourceList{"cpu": resource.MustParse("1")}
	})
	before := s.podIs(p, "running", func(p *corev1.Pod) bool {
		return len(p.Status.ContainerStatuses) > 0 && p.Status.ContainerStatuses[0].Ready
	})
	if got := before.Status.ContainerStatuses[0]; got.AllocatedResources.Cpu().String() != "1" || got.Resources.Requests.Cpu().String() != "1" {
		t.Errorf("before: %+v", got)
	}
	resize := func(amount string) *corev1.Pod {
		s.update(p, `{"spec":{"containers":[{"name":"main","resources":{"requests":{"cpu":"`+amount+`"}}}]}}`, "resize")
		return s.podIs(p, "seen as it is now", func(p *corev1.Pod) bool {
			return p.Generation > before.Generation && p.Status.ObservedGeneration == p.Generation
		})
	}
	after := resize("2")
	pending := condition(after, corev1.PodResizePending)
	if pending == nil || pending.Status != corev1.ConditionTrue || pending.Reason != corev1.PodReasonInfeasible || pending.ObservedGeneration != after.Generation {
		t.Fatalf("conditions: %+v", after.Status.Conditions)
	}
	if got := after.Status.ContainerStatuses[0]; got.ContainerID != before.Status.ContainerStatuses[0].ContainerID || got.RestartCount != 0 ||
		got.AllocatedResources.Cpu().String() != "1" || !got.Ready {
		t.Errorf("after: %+v", got)
	}
	s.event(p, "ResizeInfeasible", "Pod resize Infeasible: In-place resize is not supported")
	before = after
	if after = resize("1"); condition(after, corev1.PodResizePending) != nil {
		t.Errorf("conditions: %+v", after.Status.Conditions)
	}
}

// What the agent takes of a running pod reaches it although nothing that the pod
// refers to has changed, and so does what it refuses; both have been observed then.
func TestChangesAreObserved(t *testing.T) {
	s := newScene(t)
	s.operator()
	p, _, _ := s.start("web")
	s.update(p, `{"spec":{"activeDeadlineSeconds":3600}}`)
	observed := func(p *corev1.Pod) bool { return p.Status.ObservedGeneration == p.Generation }
	s.podIs(p, "observed", func(p *corev1.Pod) bool { return p.Spec.ActiveDeadlineSeconds != nil && observed(p) })
	s.update(p, `{"spec":{"containers":[{"name":"main","image":"other"}]}}`)
	s.podIs(p, "observed", func(p *corev1.Pod) bool { return p.Spec.Containers[0].Image == "other" && observed(p) })
}
