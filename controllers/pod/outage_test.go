package pod_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"kip.elotl.co/api/v1beta1"
)

// readiness is the reason for which a running pod is not ready, empty when it is.
func readiness(p *corev1.Pod) string {
	for _, condition := range p.Status.Conditions {
		if condition.Type == corev1.PodReady && condition.Status != corev1.ConditionTrue {
			return condition.Reason
		}
	}
	return ""
}

// untilReadiness lets time pass until the running pod has that readiness.
func (s *scene) untilReadiness(p *corev1.Pod, reason string) {
	s.t.Helper()
	s.eventually("the pod's readiness is "+reason, func() error {
		s.clock.shift(time.Minute)
		s.poke(p)
		is, err := s.get(p)
		if err != nil {
			return err
		}
		if is.Status.Phase != corev1.PodRunning || readiness(is) != reason {
			return fmt.Errorf("phase %s, readiness %q", is.Status.Phase, readiness(is))
		}
		return nil
	})
}

// The agent of a running pod dies, or hangs: nobody shall send it traffic until
// it answers again.
func TestSilenceOfARunningPodIsTold(t *testing.T) {
	for name, end := range map[string]func(*hollow, *testing.T){
		"dead":    func(h *hollow, _ *testing.T) { h.stop() },
		"mute":    func(h *hollow, t *testing.T) { h.silence(t) },
		"another": func(h *hollow, t *testing.T) { h.silence(t) },
	} {
		t.Run(name, func(t *testing.T) {
			s := newScene(t)
			stop := s.operator()
			p, _, h := s.start("web", grace(1))
			if name == "another" { // operator, which knows only that the pod ran
				stop()
			}
			end(h, t)
			if name == "another" {
				s.operator()
			}
			s.untilReadiness(p, v1beta1.ReasonAgentSilent)
			s.event(p, v1beta1.ReasonAgentSilent, "the agent of cell ")
			if name == "dead" {
				h.restart(t)
				s.untilReadiness(p, "")
			}
		})
	}
}

// Not only what runs, also what waits for its cell outlives an outage.
func TestWaitingPodBearsOutages(t *testing.T) {
	s := newScene(t)
	s.operator()
	limit := int64(300)
	p := s.add("web", func(p *corev1.Pod) {
		p.Spec.Tolerations = append(p.Spec.Tolerations, corev1.Toleration{
			Key: corev1.TaintNodeUnreachable, Operator: corev1.TolerationOpExists, Effect: corev1.TaintEffectNoExecute, TolerationSeconds: &limit,
		})
	})
	s.cellOf(p)
	s.podIs(p, "without a time limit", func(p *corev1.Pod) bool {
		for _, t := range p.Spec.Tolerations {
			if t.Key == corev1.TaintNodeUnreachable && t.TolerationSeconds != nil {
				return false
			}
		}
		return true
	})
}

func TestDaemonSetPodsGetNoCell(t *testing.T) {
	s := newScene(t)
	class := s.openClass()
	s.operator()
	yes := true
	owned := func(p *corev1.Pod) {
		p.OwnerReferences = []metav1.OwnerReference{{APIVersion: "apps/v1", Kind: "DaemonSet", Name: "logs", UID: "uid", Controller: &yes}}
	}
	p := s.add("logs", owned)
	s.refusedWith(p, v1beta1.ReasonDaemonSet, "pods of DaemonSets get no cell: exclude nodes with label type=virtual-kubelet from DaemonSet logs "+
		"by node affinity, or set spec.runDaemonSets of the CellClass")
	if cells := s.cells(); len(cells) > 0 {
		t.Fatalf("a Cell was made: %v", cells)
	}
	patch := client.RawPatch("application/merge-patch+json", []byte(`{"spec":{"runDaemonSets":true}}`))
	if err := cluster.admin.Patch(t.Context(), class, patch); err != nil {
		t.Fatal(err)
	}
	s.cellOf(p)
}

// Something else holds the object of a pod that was removed, and only then its
// Cell comes to be seen: nobody would end that.
func TestCellOfARemovedPodEnds(t *testing.T) {
	s := newScene(t)
	s.operator()
	p := s.add("web", func(p *corev1.Pod) {
		p.Finalizers = []string{"example.com/held"}
		p.Annotations[v1beta1.AnnotationInstanceType] = "Large!"
	})
	s.refusedWith(p, v1beta1.ReasonInvalidAnnotation,
		`annotation pod.elotl.co/instance-type: "Large!": must be the name of an instance type, such as m5.large, or a pattern, such as c5*`)
	s.delete(p)
	s.eventually("the pod was removed", func() error {
		is, err := s.get(p)
		if err == nil && is.DeletionGracePeriodSeconds != nil && *is.DeletionGracePeriodSeconds == 0 {
			return nil
		}
		return errors.Join(err, errors.New("it was not"))
	})
	late := &v1beta1.Cell{
		ObjectMeta: metav1.ObjectMeta{
			Name: v1beta1.CellNameForPod(p.UID), Labels: map[string]string{v1beta1.LabelCellClass: s.class}, Finalizers: []string{v1beta1.Finalizer},
		},
		Spec: v1beta1.CellSpec{CellClassName: s.class, PodRef: &v1beta1.PodReference{Namespace: p.Namespace, Name: p.Name, UID: string(p.UID)}},
	}
	if err := cluster.admin.Create(context.Background(), late); err != nil {
		t.Fatal(err)
	}
	s.cellEnds(late)
	s.update(p, `{"metadata":{"$deleteFromPrimitiveList/finalizers":["example.com/held"]}}`)
}
