package agent

import (
	corev1 "k8s.io/api/core/v1"
)

// role is what a container is for.
type role int

const (
	// mainContainer runs when all others are up; the pod is there for these.
	mainContainer role = iota
	// initContainer ends before the next one begins.
	initContainer
	// sidecar is a restartable init container: the next one begins when it has
	// started, and it runs until the main containers have ended.
	sidecar
	// ephemeralContainer is added to a running pod to look at it; nothing waits
	// for it, and it runs once.
	ephemeralContainer
)

func roleOf(pod *corev1.Pod, spec *corev1.Container) role {
	if ephemeralNamed(pod, spec.Name) != nil {
		return ephemeralContainer
	}
	for i := range pod.Spec.InitContainers {
		if &pod.Spec.InitContainers[i] != spec {
			continue
		}
		if restartable(spec) {
			return sidecar
		}
		return initContainer
	}
	return mainContainer
}

// allContainers are those of a pod in the order in which they are started, and
// then the ephemeral ones.
func allContainers(pod *corev1.Pod) []*corev1.Container {
	var all []*corev1.Container
	for i := range pod.Spec.InitContainers {
		all = append(all, &pod.Spec.InitContainers[i])
	}
	for i := range pod.Spec.Containers {
		all = append(all, &pod.Spec.Containers[i])
	}
	for i := range pod.Spec.EphemeralContainers {
		all = append(all, (*corev1.Container)(&pod.Spec.EphemeralContainers[i].EphemeralContainerCommon))
	}
	return all
}

// turn answers the containers that are to be kept as they should be now: in a
// sandbox that is not initialized the sidecars up to the init container whose
// turn it is, and that one; else the sidecars and the main containers. The
// ephemeral ones come first wherever there is a sandbox, which is nil as long as
// there is none.
func (m *machine) turn(sandbox *Sandbox) []*containerState {
	var now []*containerState
	for _, c := range m.containers {
		if c.role == ephemeralContainer && sandbox != nil {
			now = append(now, c)
		}
	}
	for i, c := range m.containers {
		switch c.role {
		case ephemeralContainer:
			continue
		case mainContainer:
			now = append(now, c)
			continue
		}
		passed := sandbox != nil && m.passed(i, sandbox.ID)
		if !passed || c.role == sidecar {
			now = append(now, c)
		}
		if !passed {
			return now
		}
	}
	return now
}

// passed says whether an init container has done in a sandbox what the next
// one waits for. That one's begin is proof enough: it may have been lost since.
func (m *machine) passed(index int, sandbox string) bool {
	for _, later := range m.containers[index+1:] {
		if later.role == ephemeralContainer {
			continue
		}
		if latest := m.latest(later.spec.Name); latest != nil && latest.SandboxID == sandbox {
			return true
		}
	}
	c := m.containers[index]
	latest := m.latest(c.spec.Name)
	if latest == nil || latest.SandboxID != sandbox || c.start.pending {
		return false
	}
	if c.role == sidecar {
		return m.started(c, latest)
	}
	return latest.State == ContainerExited && latest.ExitCode == 0
}

// again says whether a container that has ended is to be started once more, now
// that it is its turn.
func (m *machine) again(c *containerState, end *corev1.ContainerStateTerminated) bool {
	if c.role == ephemeralContainer {
		return false
	}
	if m.replaced(c) {
		return true
	}
	pod := m.rec.Pod
	if m.failedProbe(c) && restartsAfterProbe(pod, c.spec) {
		return true
	}
	switch c.role {
	case sidecar:
		return true
	case initContainer:
		// One that succeeded did so in another sandbox, else it would have passed.
		return end.ExitCode == 0 || restarts(pod, c.spec, end.ExitCode)
	default:
		return restarts(pod, c.spec, end.ExitCode)
	}
}

// finished says whether the pod has nothing left to do: its main containers
// have ended for good, or an init container has failed and is not tried again.
func (m *machine) finished() bool {
	finished := true
	for _, c := range m.containers {
		if c.role == sidecar || c.role == ephemeralContainer {
			continue
		}
		end, _, ended := m.ended(c)
		over := ended && !c.start.pending && !m.again(c, end)
		if c.role == initContainer && over {
			return true
		}
		finished = finished && (over || c.role == initContainer)
	}
	return finished
}
