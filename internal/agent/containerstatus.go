package agent

import (
	"slices"
	"strings"

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

// maxPodMessages is what the termination messages of a pod have at most together,
// in bytes: each container's share is the same (the kubelet's
// MaxPodTerminationMessageLogLength).
const maxPodMessages = 12 << 10

// normalize brings the containers' statuses to the form that the kubelet sends:
// sorted by name, but for init containers, and with messages of bounded length.
func normalize(status *corev1.PodStatus) {
	byName := func(a, b corev1.ContainerStatus) int { return strings.Compare(a.Name, b.Name) }
	slices.SortFunc(status.ContainerStatuses, byName)
	slices.SortFunc(status.EphemeralContainerStatuses, byName)
	lists := [][]corev1.ContainerStatus{status.InitContainerStatuses, status.ContainerStatuses, status.EphemeralContainerStatuses}
	share := maxPodMessages / max(len(slices.Concat(lists...)), 1)
	for _, list := range lists {
		for i := range list {
			cutMessage(&list[i].State, share)
			cutMessage(&list[i].LastTerminationState, share)
		}
	}
}

func cutMessage(state *corev1.ContainerState, size int) {
	if end := state.Terminated; end != nil && len(end.Message) > size {
		shorter := *end
		shorter.Message = strings.ToValidUTF8(end.Message[:size], "")
		state.Terminated = &shorter
	}
}
