package podfields

import (
	"fmt"
	"maps"
	"math"
	"strconv"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
)

// Cell is what a container without limits may use: all of its cell.
type Cell struct {
	MemoryBytes int64
	CPUs        int
	// StorageBytes is the size of its file system; 0: not known.
	StorageBytes int64
}

// Resource is the value of a container's request or limit in units of the
// divisor, rounded up, as the kubelet writes it: a limit that is not set is the
// pod's own, else the cell's, a request that is not set 0. own is the container that a selector
// without a name means; nil when there is none.
func Resource(pod *corev1.Pod, own *corev1.Container, selector *corev1.ResourceFieldSelector, cell Cell) (string, error) {
	container := own
	if selector.ContainerName != "" {
		if container = containerNamed(pod, selector.ContainerName); container == nil {
			return "", fmt.Errorf("containerName: the pod has no container %q", selector.ContainerName)
		}
	}
	if container == nil {
		return "", fmt.Errorf("containerName: required")
	}
	quantity, milli, err := quantityOf(withPodLimits(pod, container.Resources), selector.Resource, cell)
	if err != nil {
		return "", err
	}
	if selector.Resource == limitOfStorage && quantity.IsZero() {
		return "", fmt.Errorf("resource: container %s has no limit, and the cell's agent does not tell how much storage there is", container.Name)
	}
	divisor := selector.Divisor
	if divisor.IsZero() {
		divisor = resource.MustParse("1")
	}
	if milli {
		return ceil(quantity.MilliValue(), divisor.MilliValue()), nil
	}
	return ceil(quantity.Value(), divisor.Value()), nil
}

// CheckResource says whether Resource knows the selector's resource.
func CheckResource(selector *corev1.ResourceFieldSelector) error {
	_, _, err := quantityOf(&corev1.ResourceRequirements{}, selector.Resource, Cell{})
	return err
}

// withPodLimits are a container's resources with the pod's own limits where it has
// none.
func withPodLimits(pod *corev1.Pod, resources corev1.ResourceRequirements) *corev1.ResourceRequirements {
	if pod.Spec.Resources == nil {
		return &resources
	}
	limits := corev1.ResourceList{}
	maps.Copy(limits, resources.Limits)
	for _, name := range []corev1.ResourceName{corev1.ResourceCPU, corev1.ResourceMemory} {
		if limit := limits[name]; limit.IsZero() {
			limits[name] = pod.Spec.Resources.Limits[name]
		}
	}
	resources.Limits = limits
	return &resources
}

// limitOfStorage is the resource that an agent may not know the cell's amount of.
const limitOfStorage = "limits.ephemeral-storage"

func quantityOf(resources *corev1.ResourceRequirements, name string, cell Cell) (quantity resource.Quantity, milli bool, err error) {
	switch name {
	case "limits.cpu":
		return orElse(resources.Limits, corev1.ResourceCPU, int64(cell.CPUs)), true, nil
	case "limits.memory":
		return orElse(resources.Limits, corev1.ResourceMemory, cell.MemoryBytes), false, nil
	case limitOfStorage:
		return orElse(resources.Limits, corev1.ResourceEphemeralStorage, cell.StorageBytes), false, nil
	case "requests.cpu":
		return resources.Requests[corev1.ResourceCPU], true, nil
	case "requests.memory":
		return resources.Requests[corev1.ResourceMemory], false, nil
	case "requests.ephemeral-storage":
		return resources.Requests[corev1.ResourceEphemeralStorage], false, nil
	}
	return resource.Quantity{}, false, fmt.Errorf("resource: %q is not known: limits.cpu, limits.memory, limits.ephemeral-storage, requests.cpu, requests.memory and requests.ephemeral-storage are", name)
}

func orElse(limits corev1.ResourceList, name corev1.ResourceName, all int64) resource.Quantity {
	if limit, set := limits[name]; set && !limit.IsZero() {
		return limit
	}
	return *resource.NewQuantity(all, resource.DecimalSI)
}

func ceil(value, divisor int64) string {
	return strconv.FormatInt(int64(math.Ceil(float64(value)/float64(divisor))), 10)
}

func containerNamed(pod *corev1.Pod, name string) *corev1.Container {
	for _, containers := range [][]corev1.Container{pod.Spec.InitContainers, pod.Spec.Containers} {
		for i := range containers {
			if containers[i].Name == name {
				return &containers[i]
			}
		}
	}
	return nil
}
