package pod_test

import (
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"

	"kip.elotl.co/api/v1beta1"
	"kip.elotl.co/internal/pki"
)

// What an operator does not know any more the cell tells it.
func TestOperatorRestarted(t *testing.T) {
	s := newScene(t)
	stop := s.operator()
	p, cell, h := s.start("web", policy(corev1.RestartPolicyOnFailure))
	before := p.Status.ContainerStatuses[0]
	stop()
	// Somebody marks the pod meanwhile, so that there is something to be seen.
	s.update(p, `{"status":{"conditions":[{"type":"Ready","status":"False"}]}}`, "status")
	s.operator()
	p = s.running(p)
	if after := p.Status.ContainerStatuses[0]; after.ContainerID != before.ContainerID || after.RestartCount != 0 {
		t.Errorf("container was %v, is %v", before, after)
	}
	s.settled()
	if starts, _, _ := h.runtime.seen(); starts != 1 {
		t.Errorf("container was started %d times", starts)
	}
	if cells := s.cells(); len(cells) != 1 || cells[0].UID != cell.UID {
		t.Errorf("cells are %v", cells)
	}
}

func TestPodEndsWhileNoOperatorRuns(t *testing.T) {
	s := newScene(t)
	stop := s.operator()
	p := s.add("job", script(`[{"exitCode":3}]`))
	cell, h := s.boot(p)
	s.podIs(p, "failed", phase(corev1.PodFailed))
	stop()
	s.operator()
	s.cellEnds(cell)
	if starts, _, _ := h.runtime.seen(); starts != 1 {
		t.Errorf("container was started %d times", starts)
	}
}

func TestOperatorRestartedWhileTheCellBoots(t *testing.T) {
	s := newScene(t)
	stop := s.operator()
	p := s.add("web")
	cell := s.cellOf(p)
	stop()
	s.operator()
	booted, _ := s.boot(p)
	s.running(p)
	if booted.UID != cell.UID {
		t.Error("the pod got another Cell")
	}
}

// The agent comes back with another epoch, in which revisions begin anew.
func TestAgentRestarted(t *testing.T) {
	s := newScene(t)
	s.operator()
	p, cell, h := s.start("web", grace(5))
	id := p.Status.ContainerStatuses[0].ContainerID
	h.restart(t)
	h.runtime.FailSandbox(p.UID)
	p = s.podIs(p, "seen to have ended", phase(corev1.PodFailed))
	if status := p.Status.ContainerStatuses[0]; status.ContainerID != id || status.State.Terminated == nil || status.State.Terminated.ExitCode != 137 {
		t.Errorf("container status is %v", status)
	}
	s.cellEnds(cell)
}

// While the agent does not answer, what it said last stands.
func TestAgentAway(t *testing.T) {
	s := newScene(t)
	s.operator()
	p, _, h := s.start("web")
	h.stop()
	s.settled()
	if p = s.running(p); p.Status.ContainerStatuses[0].State.Running == nil {
		t.Errorf("container status is %v", p.Status.ContainerStatuses[0])
	}
	h.restart(t)
	s.update(p, `{"status":{"conditions":[{"type":"Ready","status":"False"}]}}`, "status")
	s.running(p)
}

// Who answers at the cell's address with another cell's certificate is given nothing.
func TestImpostor(t *testing.T) {
	s := newScene(t)
	s.operator()
	s.create(&corev1.Secret{ObjectMeta: s.meta("login"), StringData: map[string]string{"user": "ann"}})
	p := s.add("web", volume(corev1.VolumeSource{Secret: &corev1.SecretVolumeSource{SecretName: "login"}}))
	_, impostor := s.bootAs(p, func(id pki.CellID) pki.CellID {
		id.Attempt = 2
		return id
	})
	s.settled()
	s.clock.shift(time.Minute)
	s.poke(p)
	s.podIs(p, "told so", func(p *corev1.Pod) bool {
		return p.Status.Phase == corev1.PodPending && p.Status.Reason == v1beta1.ReasonWrongIdentity
	})
	if got := impostor.host.content("content", "user"); got != "" {
		t.Errorf("it was given %q", got)
	}
	if starts, _, _ := impostor.runtime.seen(); starts != 0 {
		t.Error("it runs the pod")
	}
}
