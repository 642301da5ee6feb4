package pod_test

import (
	"fmt"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"kip.elotl.co/api/v1beta1"
)

// terminated is how the pod's container ended on the cell.
func terminated(t *testing.T, s *scene, h *hollow, cell *v1beta1.Cell) *corev1.ContainerStateTerminated {
	t.Helper()
	reply := h.status(t, s.ca, cell)
	if len(reply.Status.ContainerStatuses) == 0 || reply.Status.ContainerStatuses[0].State.Terminated == nil {
		t.Fatalf("the cell's containers are not ended: %v", reply.Status)
	}
	return reply.Status.ContainerStatuses[0].State.Terminated
}

// However short the grace period is, containers get their SIGTERM: only the
// fake's answer to that is exit code 143.
func TestDeletedPodIsStoppedGracefully(t *testing.T) {
	for name, seconds := range map[string]int64{"usual": 30, "two seconds": 2, "one second": 1} {
		t.Run(name, func(t *testing.T) {
			s := newScene(t)
			s.operator()
			p, cell, h := s.start("web", grace(seconds))
			s.delete(p)
			s.podGone(p)
			if end := terminated(t, s, h, cell); end.ExitCode != 143 {
				t.Errorf("exit code is %d, want 143 of SIGTERM", end.ExitCode)
			}
			if _, graces, _ := h.runtime.seen(); len(graces) != 1 || graces[0] <= 0 || graces[0] > time.Duration(seconds)*time.Second {
				t.Errorf("grace periods were %v", graces)
			}
			s.cellEnds(cell)
			if cells := s.cells(); len(cells) > 0 {
				t.Errorf("cells are left: %v", cells)
			}
		})
	}
}

// Forced: the object is gone before the operator hears of it.
func TestForceDeletedPodLosesItsCell(t *testing.T) {
	s := newScene(t)
	s.operator()
	p, cell, _ := s.start("web")
	s.delete(p, client.GracePeriodSeconds(0))
	s.podGone(p)
	s.cellEnds(cell)
}

func TestForceDeletedWhileNoOperatorRuns(t *testing.T) {
	s := newScene(t)
	stop := s.operator()
	p, cell, _ := s.start("web")
	stop()
	s.delete(p, client.GracePeriodSeconds(0))
	s.podGone(p)
	s.operator()
	s.cellEnds(cell)
}

func TestSameNameMadeAgain(t *testing.T) {
	elsewhere := func(p *corev1.Pod) { p.Spec.NodeName = "another-node" }
	unbound := func(p *corev1.Pod) { p.Spec.NodeName = "" }
	tests := map[string]struct {
		change func(*corev1.Pod)
		cells  int
	}{
		"on the same node": {func(*corev1.Pod) {}, 1},
		"on another node":  {elsewhere, 0},
		"not bound yet":    {unbound, 0},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			s := newScene(t)
			stop := s.operator()
			old, oldCell, _ := s.start("web")
			// The operator never sees that there was no pod in between.
			stop()
			s.delete(old, client.GracePeriodSeconds(0))
			again := s.add("web", test.change)
			s.operator()
			s.cellEnds(oldCell)
			if test.cells > 0 {
				if cell := s.cellOf(again); cell.UID == oldCell.UID {
					t.Error("the new pod has the old Cell")
				}
				s.boot(again)
				s.running(again)
			}
			s.settled()
			if cells := s.cells(); len(cells) != test.cells {
				t.Errorf("cells are %v, want %d", cells, test.cells)
			}
		})
	}
}

func TestDeletedBeforeItsCellIsReady(t *testing.T) {
	s := newScene(t)
	s.operator()
	p := s.add("web")
	cell := s.cellOf(p)
	s.delete(p)
	s.podGone(p)
	s.cellEnds(cell)
}

func TestDeletedBeforeItsAgentAnswers(t *testing.T) {
	s := newScene(t)
	s.operator()
	p := s.add("web", grace(1))
	cell := s.cellOf(p)
	cell.Status.Attempts = []v1beta1.LaunchAttempt{{Number: 1, InstanceType: "t3.nano", SubnetID: "subnet-1", ImageID: "ami-1", Fingerprint: "x", StartTime: metav1.Now().Rfc3339Copy()}}
	ip, listener := freeAddress(t)
	listener.Close()
	cell.Status.IP, cell.Status.PodIP = ip.String(), "10.0.0.2"
	s.setReady(cell, metav1.ConditionTrue, v1beta1.ReasonAgentAnswers, "the agent answered")
	s.delete(p)
	// It may be gone at once, or be about to be dispatched: then its agent has had its time. Nothing is waited for that long here.
	s.clock.shift(time.Hour)
	poke := client.RawPatch("application/merge-patch+json", []byte(`{"metadata":{"annotations":{"poke":"1"}}}`))
	if err := client.IgnoreNotFound(cluster.admin.Patch(t.Context(), p, poke)); err != nil {
		t.Fatal(err)
	}
	s.podGone(p)
	s.cellEnds(cell)
}

// An operator that starts while a pod is being deleted brings it to its end.
func TestStopIsGoneOnWithAfterARestart(t *testing.T) {
	s := newScene(t)
	stop := s.operator()
	p, cell, h := s.start("web")
	stop()
	s.delete(p)
	s.operator()
	s.podGone(p)
	if end := terminated(t, s, h, cell); end.ExitCode != 143 {
		t.Errorf("exit code is %d, want 143 of SIGTERM", end.ExitCode)
	}
	s.cellEnds(cell)
}

func TestEndedPodGoesAtOnce(t *testing.T) {
	s := newScene(t)
	s.operator()
	p := s.add("job", script(`[{}]`))
	cell, h := s.boot(p)
	s.podIs(p, "done", phase(corev1.PodSucceeded))
	s.cellEnds(cell)
	h.stop()
	s.delete(p)
	s.podGone(p)
}

// A grace period that is made shorter while the longer one runs counts.
func TestShorterGracePeriod(t *testing.T) {
	s := newScene(t)
	s.operator()
	p, cell, h := s.start("web", grace(3600))
	h.runtime.mu.Lock()
	h.runtime.obey = time.Minute
	h.runtime.mu.Unlock()
	s.delete(p)
	s.eventually("the container is told to end", func() error {
		if _, graces, _ := h.runtime.seen(); len(graces) != 1 {
			return fmt.Errorf("grace periods were %v", graces)
		}
		return nil
	})
	s.delete(p, client.GracePeriodSeconds(5))
	s.podGone(p)
	if _, graces, _ := h.runtime.seen(); len(graces) != 2 || graces[0] < 59*time.Minute || graces[1] > 5*time.Second {
		t.Errorf("grace periods were %v", graces)
	}
	s.cellEnds(cell)
}

func TestAgentDiesWhileItsPodIsStopped(t *testing.T) {
	s := newScene(t)
	s.operator()
	p, cell, h := s.start("web", grace(1))
	h.stop()
	s.delete(p)
	s.podIs(p, "being deleted", func(p *corev1.Pod) bool { return p.DeletionTimestamp != nil })
	s.clock.shift(time.Hour)
	s.update(p, `{"metadata":{"annotations":{"poke":"1"}}}`)
	s.podGone(p)
	s.cellEnds(cell)
}

// A pod with a finalizer of somebody else's ends all the same, once.
func TestPodWithFinalizer(t *testing.T) {
	s := newScene(t)
	s.operator()
	p, cell, _ := s.start("web", func(p *corev1.Pod) { p.Finalizers = []string{"example.com/hold"} })
	s.delete(p)
	s.cellEnds(cell)
	found := s.podIs(p, "ended", func(p *corev1.Pod) bool { return p.Status.Phase == corev1.PodFailed })
	if end := found.Status.ContainerStatuses[0].State.Terminated; end == nil || end.ExitCode != 143 {
		t.Errorf("container status is %v", found.Status.ContainerStatuses[0])
	}
	s.settled()
	if cells := s.cells(); len(cells) > 0 {
		t.Errorf("cells are left: %v", cells)
	}
	s.update(p, `{"metadata":{"finalizers":null}}`)
	s.podGone(p)
}
