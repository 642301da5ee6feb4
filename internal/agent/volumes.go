package agent

import (
	"errors"

	corev1 "k8s.io/api/core/v1"

	"kip.elotl.co/internal/podfields"
)

// makeVolumes makes those of the pod's volumes ready that its containers mount,
// and tells of each that cannot be made.
func (a *Agent) makeVolumes(pod *corev1.Pod) error {
	wanted := map[string]bool{}
	for _, container := range allContainers(pod) {
		for i := range container.VolumeMounts {
			wanted[container.VolumeMounts[i].Name] = true
		}
	}
	var failed []error
	for i := range pod.Spec.Volumes {
		volume := &pod.Spec.Volumes[i]
		if !wanted[volume.Name] {
			continue
		}
		if err := a.config.Host.MakeVolume(pod, volume); err != nil {
			failed = append(failed, &podfields.MountError{Volume: volume.Name, Err: err})
			a.tell("", corev1.EventTypeWarning, eventFailedMount, "%v", failed[len(failed)-1])
		}
	}
	return errors.Join(failed...)
}
