// Package limits computes what the kernel has to hold a pod and its containers
// to, by the kubelet's rules.
package limits

import (
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	resourcehelper "k8s.io/component-helpers/resource"
)

// CPUPeriod is the period of CPU quotas, in microseconds.
const CPUPeriod = 100_000

// The kernel's and the kubelet's figures.
const (
	minShares, maxShares = 2, 262144
	sharesPerCPU         = 1024
	minQuota             = 1000 // microseconds per period
)

// Limits of a cgroup.
type Limits struct {
	// CPUShares is the weight of cgroup version 1, 2 to 262144.
	CPUShares int64
	// CPUQuota is in microseconds per CPUPeriod, and Memory in bytes; 0: unlimited.
	CPUQuota, Memory int64
}

// Pod answers the limits of the pod's cgroup, overhead included: what its
// containers have together, where each of them has a limit or the pod itself has one.
func Pod(pod *corev1.Pod) Limits {
	class := QOS(pod)
	if class == corev1.PodQOSBestEffort {
		return Limits{CPUShares: minShares}
	}
	cpu, memory := true, true
	for _, container := range slices.Concat(pod.Spec.InitContainers, pod.Spec.Containers) {
		one := container.Resources.Limits
		cpu, memory = cpu && !one.Cpu().IsZero(), memory && !one.Memory().IsZero()
	}
	limits := resourcehelper.PodLimits(pod, resourcehelper.PodResourcesOptions{})
	if own := pod.Spec.Resources; own != nil {
		cpu, memory = cpu || !own.Limits.Cpu().IsZero(), memory || !own.Limits.Memory().IsZero()
	}
	requests := resourcehelper.PodRequests(pod, resourcehelper.PodResourcesOptions{})
	result := Limits{CPUShares: shares(requests.Cpu().MilliValue())}
	if cpu || class == corev1.PodQOSGuaranteed {
		result.CPUQuota = quota(limits.Cpu().MilliValue())
	}
	if memory || class == corev1.PodQOSGuaranteed {
		result.Memory = limits.Memory().Value()
	}
	return result
}

// Sandbox answers what the pod's containers ask for together, and its overhead,
// as runtimes are told that give each pod a machine.
func Sandbox(pod *corev1.Pod) (together, overhead Limits) {
	options := resourcehelper.PodResourcesOptions{ExcludeOverhead: true}
	together = of(resourcehelper.PodRequests(pod, options), resourcehelper.PodLimits(pod, options))
	return together, of(pod.Spec.Overhead, pod.Spec.Overhead)
}

// Container answers a container's own limits. Where it has none, it may use all
// that its pod may.
func Container(pod *corev1.Pod, container *corev1.Container) Limits {
	limits := corev1.ResourceList{}
	for _, name := range []corev1.ResourceName{corev1.ResourceCPU, corev1.ResourceMemory} {
		limit := container.Resources.Limits[name]
		if limit.IsZero() && pod.Spec.Resources != nil {
			limit = pod.Spec.Resources.Limits[name]
		}
		limits[name] = limit
	}
	return of(container.Resources.Requests, limits)
}

func of(requests, limits corev1.ResourceList) Limits {
	request, requested := requests[corev1.ResourceCPU]
	if !requested {
		request = limits[corev1.ResourceCPU]
	}
	return Limits{
		CPUShares: shares(request.MilliValue()),
		CPUQuota:  quota(limits.Cpu().MilliValue()),
		Memory:    limits.Memory().Value(),
	}
}

func shares(milliCPU int64) int64 {
	return min(max(milliCPU*sharesPerCPU/1000, minShares), maxShares)
}

func quota(milliCPU int64) int64 {
	if milliCPU == 0 {
		return 0
	}
	return max(milliCPU*CPUPeriod/1000, minQuota)
}

// MemoryVolume answers the size in bytes of a volume in memory: its own limit, or
// the pod's, or all of the cell's memory, whichever is least.
func MemoryVolume(pod *corev1.Pod, limit *resource.Quantity, cell int64) int64 {
	size := cell
	if own := Pod(pod).Memory; own > 0 && own <= size {
		size = own
	}
	if limit != nil && limit.Sign() > 0 && limit.Value() <= size {
		size = limit.Value()
	}
	return size
}
