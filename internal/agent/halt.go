package agent

import (
	"time"

	corev1 "k8s.io/api/core/v1"
)

const (
	// defaultGrace is the API server's default of terminationGracePeriodSeconds.
	defaultGrace = 30 * time.Second
	// leastGrace is what a container gets whose time others have used up.
	leastGrace = 2 * time.Second
)

// gracePeriod is the time that the pod's containers have to end.
func gracePeriod(pod *corev1.Pod) time.Duration {
	if seconds := pod.Spec.TerminationGracePeriodSeconds; seconds != nil {
		return time.Duration(*seconds) * time.Second
	}
	return defaultGrace
}

// stepStop ends the containers.
func (m *machine) stepStop(now time.Time) []action {
	var actions []action
	for i, c := range m.containers {
		c.restartAt = time.Time{}
		if c.pull.pending {
			actions = append(actions, action{kind: cancelPull, container: c.spec.Name})
		}
		if c.start.pending {
			continue
		}
		if c.postStart.running != "" {
			actions = append(actions, action{kind: cancelHook, container: c.spec.Name})
		}
		latest := m.latest(c.spec.Name)
		switch {
		case latest == nil || latest.State == ContainerExited:
		case latest.State == ContainerCreated:
			actions = append(actions, m.mend(now, c)...)
		case m.mustWait(now, i):
			c.held = true
			m.wakeAt(m.rec.StopBy)
		default:
			actions = append(actions, m.stopOne(now, c, latest.ID, m.rec.StopBy)...)
		}
	}
	return actions
}

// mustWait says whether a container is to run on while others end: a sidecar
// as long as the time is not over and a main container or a later sidecar runs.
func (m *machine) mustWait(now time.Time, index int) bool {
	if m.containers[index].role != sidecar || !now.Before(m.rec.StopBy) {
		return false
	}
	for _, later := range m.containers[index+1:] {
		latest := m.latest(later.spec.Name)
		if (later.role == mainContainer || later.role == sidecar) && (later.start.pending || latest != nil && latest.State != ContainerExited) {
			return true
		}
	}
	return false
}

// stopOne stops a container, unless that is under way with the same deadline.
func (m *machine) stopOne(now time.Time, c *containerState, id string, by time.Time) []action {
	if !c.stopBy.IsZero() && !by.Before(c.stopBy) {
		return nil
	}
	if now.Before(c.stopAgain) {
		m.wakeAt(c.stopAgain)
		return nil
	}
	grace := max(by.Sub(now), 0)
	if c.held {
		grace = max(grace, leastGrace)
	}
	stop := action{kind: stopContainer, container: c.spec.Name, id: id, grace: grace, preStop: c.preStopped != id}
	if stop.preStop {
		m.killing(now, c, id)
	}
	c.stopBy, c.preStopped = by, id
	return []action{stop}
}

// stopSandboxes stops every sandbox, with what is left in it. One that is dead
// already still holds the pod's address until it is stopped.
func (m *machine) stopSandboxes(now time.Time) []action {
	var actions []action
	for _, sandbox := range m.obs.Sandboxes {
		if !m.stopped[sandbox.ID] || m.runsIn(sandbox.ID) {
			actions = append(actions, m.once(now, action{kind: stopSandbox, id: sandbox.ID})...)
		}
	}
	return actions
}
