package agent

import (
	"time"

	corev1 "k8s.io/api/core/v1"
)

// ephemeralNamed is the pod's ephemeral container of that name; nil when it has
// none.
func ephemeralNamed(pod *corev1.Pod, name string) *corev1.EphemeralContainer {
	for i := range pod.Spec.EphemeralContainers {
		if container := &pod.Spec.EphemeralContainers[i]; container.Name == name {
			return container
		}
	}
	return nil
}

// target is the ID of the container whose processes an ephemeral container is to
// see; empty when it names none. One that was never started is the problem that
// the container waits for until then, in the kubelet's words.
func (m *machine) target(now time.Time, c *containerState) (id string, found bool) {
	if c.role != ephemeralContainer {
		return "", true
	}
	name := ephemeralNamed(m.rec.Pod, c.spec.Name).TargetContainerName
	if name == "" {
		return "", true
	}
	if run := m.latest(name); run != nil {
		if c.lacksTarget {
			c.lacksTarget, c.start = false, try{}
		}
		return run.ID, true
	}
	if !c.lacksTarget {
		c.lacksTarget, c.start.problem = true, &problem{reasonCreateConfig, "unable to find target container " + name}
		m.tell(now, c, corev1.EventTypeWarning, eventFailed, "Error: "+c.start.problem.message)
	}
	return "", false
}
