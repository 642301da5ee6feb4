package pod_test

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"kip.elotl.co/api/v1beta1"
)

// phases follows the pod's phase until the test asks for what there was.
func (s *scene) phases(p *corev1.Pod) func() []corev1.PodPhase {
	s.t.Helper()
	watch, err := cluster.admin.Watch(context.Background(), &corev1.PodList{}, client.InNamespace(s.namespace))
	if err != nil {
		s.t.Fatal(err)
	}
	var seen []corev1.PodPhase
	var reading sync.WaitGroup
	reading.Go(func() {
		for event := range watch.ResultChan() {
			if found, ok := event.Object.(*corev1.Pod); ok && found.UID == p.UID {
				seen = append(seen, found.Status.Phase)
			}
		}
	})
	end := sync.OnceFunc(func() {
		watch.Stop()
		reading.Wait()
	})
	s.t.Cleanup(end)
	return func() []corev1.PodPhase {
		end()
		return slices.Compact(seen)
	}
}

// isLost checks a pod whose cell went away under it.
func isLost(t *testing.T, p *corev1.Pod, message string) {
	t.Helper()
	if p.Status.Reason != v1beta1.ReasonCellLost || p.Status.Message != message {
		t.Errorf("reason is %s: %s", p.Status.Reason, p.Status.Message)
	}
	status := p.Status.ContainerStatuses[0]
	end := status.State.Terminated
	if end == nil || end.ExitCode != 137 || end.Reason != "ContainerStatusUnknown" || status.Ready || end.StartedAt.IsZero() || end.FinishedAt.IsZero() {
		t.Errorf("container status is %v", status)
	}
	for _, kind := range []corev1.PodConditionType{corev1.PodReady, corev1.ContainersReady, corev1.PodReadyToStartContainers} {
		if !conditionIs(p, kind, corev1.ConditionFalse) {
			t.Errorf("condition %s is %v", kind, condition(p, kind))
		}
	}
}

func TestCellDeletedUnderItsPod(t *testing.T) {
	s := newScene(t)
	s.operator()
	p, cell, _ := s.start("web")
	phases := s.phases(p)
	s.delete(cell)
	p = s.podIs(p, "failed", phase(corev1.PodFailed))
	isLost(t, p, "its cell was deleted")
	s.event(p, v1beta1.ReasonCellLost, "its cell was deleted")
	// The agent goes on for a while, and says that all is well.
	s.cellEnds(cell)
	s.settled()
	if cells := s.cells(); len(cells) > 0 {
		t.Errorf("the pod got another Cell: %v", cells)
	}
	if seen := phases(); slices.Index(seen, corev1.PodFailed) != len(seen)-1 {
		t.Errorf("phases were %v", seen)
	}
}

func TestInstanceGone(t *testing.T) {
	s := newScene(t)
	s.operator()
	p, cell, _ := s.start("web")
	phases := s.phases(p)
	s.setReady(cell, metav1.ConditionFalse, v1beta1.ReasonInstanceGone, "instance i-1 was terminated")
	p = s.podIs(p, "failed", phase(corev1.PodFailed))
	isLost(t, p, "instance i-1 was terminated")
	s.event(p, v1beta1.ReasonCellLost, "instance i-1 was terminated")
	s.cellEnds(cell)
	s.settled()
	if seen := phases(); slices.Index(seen, corev1.PodFailed) != len(seen)-1 {
		t.Errorf("phases were %v", seen)
	}
}

// TestCellPoweredOff: the pod says that its cell did it itself.
func TestCellPoweredOff(t *testing.T) {
	s := newScene(t)
	s.operator()
	p, cell, _ := s.start("web")
	s.setReady(cell, metav1.ConditionFalse, v1beta1.ReasonPoweredOff, "instance i-1 powered itself off")
	p = s.podIs(p, "failed", phase(corev1.PodFailed))
	if p.Status.Reason != v1beta1.ReasonCellPoweredOff || p.Status.Message != "instance i-1 powered itself off" {
		t.Errorf("reason is %s: %s", p.Status.Reason, p.Status.Message)
	}
	s.event(p, v1beta1.ReasonCellPoweredOff, "instance i-1 powered itself off")
	s.cellEnds(cell)
}

func TestCellGoneWhileNoOperatorRuns(t *testing.T) {
	s := newScene(t)
	stop := s.operator()
	p, cell, _ := s.start("web")
	stop()
	s.delete(cell)
	s.release(cell)
	s.operator()
	isLost(t, s.podIs(p, "failed", phase(corev1.PodFailed)), "its cell is gone")
	s.settled()
	if cells := s.cells(); len(cells) > 0 {
		t.Errorf("the pod got another Cell: %v", cells)
	}
}

// Nothing ran there yet, so the pod may have another cell.
func TestCellDeletedBeforeItsPodRan(t *testing.T) {
	s := newScene(t)
	s.operator()
	p := s.add("web")
	cell := s.cellOf(p)
	s.delete(cell)
	s.cellEnds(cell)
	s.anotherCell(p, cell)
	s.boot(p)
	s.running(p)
}

// Nor when its instance ends while the pod waits for an object.
func TestInstanceGoneBeforeItsPodRan(t *testing.T) {
	s := newScene(t)
	s.operator()
	p := s.add("web", volume(corev1.VolumeSource{ConfigMap: &corev1.ConfigMapVolumeSource{LocalObjectReference: corev1.LocalObjectReference{Name: "late"}}}))
	cell, _ := s.boot(p)
	s.refusedWith(p, "FailedMount", `MountVolume.SetUp failed for volume "content" : configmap "late" not found`)
	s.setReady(cell, metav1.ConditionFalse, v1beta1.ReasonInstanceGone, "instance i-1 was terminated")
	s.cellEnds(cell)
	s.anotherCell(p, cell)
	s.create(&corev1.ConfigMap{ObjectMeta: s.meta("late")})
	s.boot(p)
	s.running(p)
}

// anotherCell waits until the pod has a Cell that is not the old one.
func (s *scene) anotherCell(p *corev1.Pod, old *v1beta1.Cell) {
	s.t.Helper()
	s.eventually("the pod has another Cell", func() error {
		if another := s.cellOf(p); another.UID == old.UID || !another.DeletionTimestamp.IsZero() {
			return fmt.Errorf("it is the old one, in phase %s", another.Status.Phase)
		}
		return nil
	})
}

// A doubt about the cell is no reason to say that its pod waits to be run.
func TestCellInDoubtUnderARunningPod(t *testing.T) {
	s := newScene(t)
	s.operator()
	p, cell, _ := s.start("web")
	phases := s.phases(p)
	s.setReady(cell, metav1.ConditionFalse, v1beta1.ReasonAgentSilent, "the agent has not answered for 1m")
	p = s.podIs(p, "not ready", func(p *corev1.Pod) bool { return conditionIs(p, corev1.PodReady, corev1.ConditionFalse) })
	if reason := condition(p, corev1.PodReady).Reason; reason != v1beta1.ReasonAgentSilent {
		t.Errorf("reason is %s", reason)
	}
	if p.Status.ContainerStatuses[0].State.Running == nil {
		t.Errorf("container status is %v", p.Status.ContainerStatuses[0])
	}
	s.setReady(cell, metav1.ConditionTrue, v1beta1.ReasonAgentAnswers, "the agent answers")
	s.running(p)
	if seen := phases(); len(seen) != 1 || seen[0] != corev1.PodRunning {
		t.Errorf("phases were %v", seen)
	}
}
