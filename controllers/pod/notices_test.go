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
