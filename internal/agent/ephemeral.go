package agent

import (
	"fmt"

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
// see; empty when it names none, or one that was never started.
func (m *machine) target(c *containerState) string {
	if c.role != ephemeralContainer {
		return ""
	}
	container := ephemeralNamed(m.rec.Pod, c.spec.Name)
	if container.TargetContainerName == "" {
		return ""
	}
	if run := m.latest(container.TargetContainerName); run != nil {
		return run.ID
	}
	return ""
}

// checkTarget refuses to start an ephemeral container whose target was never
// started, in the kubelet's words.
func checkTarget(j job) error {
	container := ephemeralNamed(j.pod, j.spec.Name)
	if container == nil || container.TargetContainerName == "" || j.target != "" {
		return nil
	}
	return fmt.Errorf("unable to find target container %s", container.TargetContainerName)
}
