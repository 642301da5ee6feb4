package agent

import (
	"time"

	corev1 "k8s.io/api/core/v1"

	"kip.elotl.co/internal/podfields"
)

// environment makes the variables of a container, and gives them by name as well.
func (a *Agent) environment(j job) ([]corev1.EnvVar, map[string]string, error) {
	resources := a.config.Host.Resources()
	surroundings := &podfields.Surroundings{
		Pod: j.pod, ConfigMaps: j.configMaps, Secrets: j.secrets, Services: j.services,
		Addresses: podfields.Addresses{Pod: j.ip, Host: j.cellIP},
		Cell:      podfields.Cell{MemoryBytes: resources.MemoryBytes, CPUs: resources.CPUs, StorageBytes: resources.StorageBytes},
	}
	return surroundings.Environment(j.spec)
}

// retryConfig lets containers that lacked something of their configuration try
// again at once: it may have come with the pod's new version.
func (m *machine) retryConfig() {
	for _, c := range m.containers {
		if problem := c.start.problem; problem != nil && problem.reason == reasonCreateConfig {
			c.start.failedAt = time.Time{}
		}
	}
}
