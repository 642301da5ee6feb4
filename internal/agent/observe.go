package agent

import (
	"slices"

	corev1 "k8s.io/api/core/v1"
)

// latest is the newest run of a container; nil when it has none.
func (m *machine) latest(name string) *Container {
	return m.newestBefore(name, ^uint32(0))
}

// newestBefore is the newest run of a container with a smaller attempt.
func (m *machine) newestBefore(name string, attempt uint32) *Container {
	var newest *Container
	for i := range m.obs.Containers {
		container := &m.obs.Containers[i]
		if container.Name == name && container.Attempt < attempt && (newest == nil || container.Attempt > newest.Attempt) {
			newest = container
		}
	}
	return newest
}

// ended answers how the last run of a container ended, if it did, and which
// attempt it was.
func (m *machine) ended(c *containerState) (*corev1.ContainerStateTerminated, uint32, bool) {
	if latest := m.latest(c.spec.Name); latest != nil {
		if latest.State != ContainerExited {
			return nil, 0, false
		}
		return termination(latest), latest.Attempt, true
	}
	// The runtime has forgotten it, but it did run: the last status knows.
	old := m.oldStatus(c.spec.Name)
	switch {
	case old == nil:
		return nil, 0, false
	case old.State.Terminated != nil:
		return old.State.Terminated, uint32(old.RestartCount), true
	case old.State.Running != nil:
		return lostTermination(), uint32(old.RestartCount), true
	case old.LastTerminationState.Terminated != nil:
		return old.LastTerminationState.Terminated, uint32(old.RestartCount), true
	}
	return nil, 0, false
}

func (m *machine) oldStatus(name string) *corev1.ContainerStatus {
	for _, list := range [][]corev1.ContainerStatus{
		m.rec.Status.InitContainerStatuses, m.rec.Status.ContainerStatuses, m.rec.Status.EphemeralContainerStatuses,
	} {
		for i := range list {
			if list[i].Name == name {
				return &list[i]
			}
		}
	}
	return nil
}

// readySandbox is the one to start containers in.
func (m *machine) readySandbox() *Sandbox {
	for i := range m.obs.Sandboxes {
		if sandbox := &m.obs.Sandboxes[i]; sandbox.Ready {
			if _, stopping := m.underWay[sandbox.ID]; !stopping {
				return sandbox
			}
		}
	}
	return nil
}

// sandboxUp says whether a sandbox is there, even one that is being stopped:
// its network is taken away last.
func (m *machine) sandboxUp() bool {
	return slices.ContainsFunc(m.obs.Sandboxes, func(s Sandbox) bool {
		_, stopping := m.underWay[s.ID]
		return s.Ready || stopping
	})
}

func (m *machine) stoppedSandboxes() int {
	count := 0
	for _, sandbox := range m.obs.Sandboxes {
		if m.stopped[sandbox.ID] {
			count++
		}
	}
	return count
}

func (m *machine) newestSandbox() string {
	var newest *Sandbox
	for i := range m.obs.Sandboxes {
		if sandbox := &m.obs.Sandboxes[i]; newest == nil || sandbox.Attempt > newest.Attempt {
			newest = sandbox
		}
	}
	if newest == nil {
		return ""
	}
	return newest.ID
}

func (m *machine) runsIn(sandbox string) bool {
	for _, container := range m.obs.Containers {
		if container.SandboxID == sandbox && container.State != ContainerExited {
			return true
		}
	}
	return false
}

func (m *machine) anyRunning() bool {
	for _, container := range m.obs.Containers {
		if container.State != ContainerExited {
			return true
		}
	}
	return false
}

// busy says whether something is under way whose end changes what runs.
func (m *machine) busy() bool {
	for _, c := range m.containers {
		if c.start.pending || c.pull.pending {
			return true
		}
	}
	return m.sandbox.pending
}

// steady says whether nothing is expected to happen soon.
func (m *machine) steady() bool {
	return !m.busy() && !m.stopWanted() && m.readySandbox() != nil
}
