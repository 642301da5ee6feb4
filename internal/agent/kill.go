package agent

import (
	"time"

	corev1 "k8s.io/api/core/v1"
)

// kill is the wish that one run of a container ends, without the pod's end.
type kill struct {
	run string
	by  time.Time
	// probe says that a probe asked for it: whatever the exit code, that counts
	// as a failure.
	probe bool
	// why is the text of the event.
	why string
}

// kill has a container's run ended, if that is not wanted already.
func (c *containerState) killRun(wanted kill) {
	if c.kill.run != wanted.run {
		c.kill = wanted
	}
}

// killing tells that a container is stopped, and why.
func (m *machine) killing(now time.Time, c *containerState, run string) {
	why := "Stopping container " + c.spec.Name
	if c.kill.run == run {
		why = c.kill.why
	}
	m.tell(now, c, corev1.EventTypeNormal, eventKilling, why)
}

func (c *containerState) killed(run *Container) bool {
	return run != nil && c.kill.run == run.ID
}

// failedProbe says whether the last run ended because a probe asked for it.
func (m *machine) failedProbe(c *containerState) bool {
	return c.kill.probe && c.killed(m.latest(c.spec.Name))
}

// carryOut ends the run that is to be ended, if it is still there.
func (m *machine) carryOut(now time.Time, c *containerState) []action {
	run := m.latest(c.spec.Name)
	m.killChanged(now, c, run)
	if !c.killed(run) || run.State != ContainerRunning {
		return nil
	}
	return m.stopOne(now, c, run.ID, c.kill.by)
}

// restartEvent is what the delay of a container's next start counts from: its
// end. One that a probe, or another image, had killed has the delay counted from
// the end before, as with the kubelet; ok is false when there was none.
func (m *machine) restartEvent(c *containerState, end *corev1.ContainerStateTerminated) (event time.Time, ok bool) {
	if !m.failedProbe(c) && !m.replaced(c) {
		return end.FinishedAt.Time, true
	}
	before := m.newestBefore(c.spec.Name, m.latest(c.spec.Name).Attempt)
	if before == nil {
		return time.Time{}, false
	}
	return before.FinishedAt, true
}
