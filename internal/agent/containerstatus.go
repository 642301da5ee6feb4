package agent

import (
	corev1 "k8s.io/api/core/v1"
)

// mountStatuses are a container's mounts as its status shows them: no cell's
// runtime makes read-only ones so recursively.
func mountStatuses(mounts []corev1.VolumeMount) []corev1.VolumeMountStatus {
	var statuses []corev1.VolumeMountStatus
	for _, mount := range mounts {
		status := corev1.VolumeMountStatus{Name: mount.Name, MountPath: mount.MountPath, ReadOnly: mount.ReadOnly}
		if mount.ReadOnly {
			mode := corev1.RecursiveReadOnlyDisabled
			status.RecursiveReadOnly = &mode
		}
		statuses = append(statuses, status)
	}
	return statuses
}

// stopSignals says whether the cluster has the feature ContainerStopSignals: only
// then a pod names any, and the status may.
func (m *machine) stopSignals() bool {
	for _, c := range m.containers {
		if c.spec.Lifecycle != nil && c.spec.Lifecycle.StopSignal != nil {
			return true
		}
	}
	return false
}
