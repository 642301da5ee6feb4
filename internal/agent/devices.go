package agent

import (
	"context"
	"fmt"
	"maps"
	"slices"

	corev1 "k8s.io/api/core/v1"

	"kip.elotl.co/internal/podsupport"
)

// Device is one accelerator of the cell that a container can be given.
type Device struct {
	// Resource is what a container asks for it by, e.g. nvidia.com/gpu.
	Resource corev1.ResourceName
	// Name is the device's qualified name of the Container Device Interface,
	// nvidia.com/gpu=0, or its path, /dev/neuron0.
	Name string
}

// devices finds those of the cell's that the container gets; nil when it asks
// for none.
func (a *Agent) devices(ctx context.Context, pod *corev1.Pod, container *corev1.Container) ([]Device, error) {
	var got []Device
	for _, resource := range slices.Sorted(maps.Keys(container.Resources.Limits)) {
		if !podsupport.IsDevice(resource) || wantedOf(container, resource) == 0 {
			continue
		}
		available, err := a.config.Runtime.Devices(ctx, resource)
		if err != nil {
			return nil, fmt.Errorf("resources.limits[%s]: %w", resource, err)
		}
		own, err := allot(pod, container.Name, resource, available)
		if err != nil {
			return nil, err
		}
		got = append(got, own...)
	}
	return got, nil
}

// allot answers the container's share of the devices of one resource. It follows
// from the pod alone, so that a container finds its devices again whenever it is
// restarted: in the pod's order each takes the first that are left. An init
// container gives them back, since it has ended before the next one begins.
func allot(pod *corev1.Pod, name string, resource corev1.ResourceName, available []Device) ([]Device, error) {
	left := available
	for _, container := range allContainers(pod) {
		wanted := wantedOf(container, resource)
		if wanted > int64(len(left)) {
			return nil, fmt.Errorf("resources.limits[%s]: container %s wants %d, the cell has %d, %d of them for other containers",
				resource, container.Name, wanted, len(available), len(available)-len(left))
		}
		if container.Name == name {
			return left[:wanted], nil
		}
		if roleOf(pod, container) != initContainer {
			left = left[wanted:]
		}
	}
	return nil, fmt.Errorf("the pod has no container %s", name)
}

func wantedOf(container *corev1.Container, resource corev1.ResourceName) int64 {
	wanted := container.Resources.Limits[resource]
	return wanted.Value()
}
