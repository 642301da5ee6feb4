package pod_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"kip.elotl.co/api/v1beta1"
	"kip.elotl.co/internal/itzo"
	"kip.elotl.co/test/fixture"
)

func targeted(p *corev1.Pod) error {
	c := condition(p, corev1.DisruptionTarget)
	if c == nil || c.Status != corev1.ConditionTrue || c.Reason != corev1.PodReasonTerminationByKubelet {
		return fmt.Errorf("condition %+v", c)
	}
	return nil
}

// noted waits until the Cell says what its agent was told.
func (s *scene) noted(cell *v1beta1.Cell, text string) {
	s.t.Helper()
	fixture.Eventually(s.t, "the Cell has the notices", func(ctx context.Context) error {
		is, err := fixture.Get(ctx, cluster.admin, cell)
		if err != nil {
			return err
		}
		if !strings.Contains(is.Annotations[v1beta1.AnnotationNotices], text) {
			return errors.New(is.Annotations[v1beta1.AnnotationNotices])
		}
		return nil
	})
}

// TestInterruptedPod: it is told by events, the Cell says it, and the pod fails
// marked as what podFailurePolicy knows.
func TestInterruptedPod(t *testing.T) {
	s := newScene(t)
	s.operator()
	p, cell, h := s.start("web")
	h.notices.Store(&itzo.Notices{Rebalance: new(time.Now())})
	s.event(p, v1beta1.ReasonRebalance, "EC2 says that the instance is more likely than usual to be taken back")
	s.noted(cell, `"rebalance"`)
	h.notices.Store(&itzo.Notices{Rebalance: new(time.Now()), Interruption: &itzo.Interruption{Action: "terminate", Time: time.Now().Add(2 * time.Minute)}})
	s.event(p, v1beta1.ReasonInterrupted, "EC2 takes the instance back: terminate at ")
	p = s.podIs(p, "failed", phase(corev1.PodFailed))
	if p.Status.Reason != "Terminated" {
		t.Errorf("reason %s: %s", p.Status.Reason, p.Status.Message)
	}
	if err := targeted(p); err != nil {
		t.Error(err)
	}
	s.cellEnds(cell)
}

// TestLostPodIsMarked: a cell that goes without a word is no fault of the pod's
// either.
func TestLostPodIsMarked(t *testing.T) {
	s := newScene(t)
	s.operator()
	p, cell, _ := s.start("web")
	s.setReady(cell, metav1.ConditionFalse, v1beta1.ReasonInstanceGone, "instance i-1 was terminated")
	if err := targeted(s.podIs(p, "failed", phase(corev1.PodFailed))); err != nil {
		t.Error(err)
	}
	s.cellEnds(cell)
}

// TestInterruptedBeforeItsPodRan: the pod gets another cell, once this one's
// offering is known to be risky.
func TestInterruptedBeforeItsPodRan(t *testing.T) {
	s := newScene(t)
	s.operator()
	p := s.add("web", volume(corev1.VolumeSource{ConfigMap: &corev1.ConfigMapVolumeSource{LocalObjectReference: corev1.LocalObjectReference{Name: "late"}}}))
	cell, h := s.boot(p)
	s.refusedWith(p, "FailedMount", `MountVolume.SetUp failed for volume "content" : configmap "late" not found`)
	h.notices.Store(&itzo.Notices{Interruption: &itzo.Interruption{Action: "terminate", Time: time.Now().Add(2 * time.Minute)}})
	s.noted(cell, `"interruption"`)
	s.setCondition(cell, metav1.Condition{Type: v1beta1.ConditionInterruption, Status: metav1.ConditionTrue, Reason: v1beta1.ReasonInterrupted})
	s.cellEnds(cell)
	s.anotherCell(p, cell)
	s.create(&corev1.ConfigMap{ObjectMeta: s.meta("late")})
	s.boot(p)
	s.running(p)
}

// forOwner lets pods claim what is reserved for their controller.
type forOwner struct{}

func (forOwner) Fitting(_ context.Context, cells []v1beta1.Cell, _ *v1beta1.CellSpec, _ *v1beta1.CellClass, owner string) ([]v1beta1.Cell, error) {
	var found []v1beta1.Cell
	for i := range cells {
		if r := cells[i].Spec.ReservedFor; r != nil && r.OwnerUID == owner {
			found = append(found, cells[i])
		}
	}
	return found, nil
}

// TestReplacementIsPrepared: the next pod of an interrupted one's controller
// claims a cell that has begun to boot before; no other pod does.
func TestReplacementIsPrepared(t *testing.T) {
	s := newScene(t)
	s.fits = forOwner{}
	s.openClass()
	s.operator()
	ownedBy := func(uid types.UID) func(*corev1.Pod) {
		yes := true
		return func(p *corev1.Pod) {
			p.OwnerReferences = []metav1.OwnerReference{{APIVersion: "apps/v1", Kind: "ReplicaSet", Name: "web", UID: uid, Controller: &yes}}
		}
	}
	p, cell, _ := s.start("web-1", ownedBy("replicas"))
	s.setCondition(cell, metav1.Condition{Type: v1beta1.ConditionInterruption, Status: metav1.ConditionTrue, Reason: v1beta1.ReasonInterrupted})
	next := &v1beta1.Cell{ObjectMeta: metav1.ObjectMeta{Name: v1beta1.CellNameForPod(p.UID) + "-next"}}
	next = fixture.WaitFor(t, cluster.admin, next, "a Cell is made for the next pod", func(is *v1beta1.Cell) error {
		if is.Spec.PodRef != nil || is.Spec.ReservedFor == nil || is.Spec.ReservedFor.OwnerUID != "replicas" {
			return fmt.Errorf("spec %+v", is.Spec)
		}
		return nil
	})
	s.event(p, v1beta1.ReasonReplacementStarted, "Cell "+next.Name+" boots for the next pod of ReplicaSet web")
	other := s.add("db-1", ownedBy("others"))
	s.boot(other)
	successor := s.add("web-2", ownedBy("replicas"))
	s.bound(next, successor)
	s.bootCell(next)
	s.running(successor)
	s.running(other)
	s.delete(p)
	s.cellEnds(cell)
}

// TestNoReplacementForABarePod: nobody makes another of it.
func TestNoReplacementForABarePod(t *testing.T) {
	s := newScene(t)
	s.operator()
	_, cell, h := s.start("web")
	s.setCondition(cell, metav1.Condition{Type: v1beta1.ConditionInterruption, Status: metav1.ConditionTrue, Reason: v1beta1.ReasonInterrupted})
	h.notices.Store(&itzo.Notices{Rebalance: new(time.Now())})
	s.noted(cell, `"rebalance"`) // it has been looked at since
	if all := s.cells(); len(all) != 1 {
		t.Errorf("there are %d Cells", len(all))
	}
}
