package cri

import (
	"slices"

	corev1 "k8s.io/api/core/v1"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// The kubelet's figures for cgroups.
const (
	minShares, maxShares = 2, 262144
	sharesPerCPU         = 1024
	cpuPeriod            = 100_000 // microseconds
	minQuota             = 1000    // microseconds

	oomGuaranteed = -997
	oomBestEffort = 1000
)

// resources computes a container's cgroup values as the kubelet does.
func resources(pod *corev1.Pod, container *corev1.Container, memoryCapacity int64) *runtimeapi.LinuxContainerResources {
	limits, requests := container.Resources.Limits, container.Resources.Requests
	request, requested := requests[corev1.ResourceCPU]
	if !requested {
		request = limits[corev1.ResourceCPU]
	}
	result := &runtimeapi.LinuxContainerResources{
		CpuShares:          min(max(request.MilliValue()*sharesPerCPU/1000, minShares), maxShares),
		CpuPeriod:          cpuPeriod,
		MemoryLimitInBytes: limits.Memory().Value(),
		OomScoreAdj:        oomScore(pod, container, memoryCapacity),
	}
	if limit := limits.Cpu().MilliValue(); limit > 0 {
		result.CpuQuota = max(limit*cpuPeriod/1000, minQuota)
	}
	return result
}

// oomScore makes those the first to be killed who asked for least.
func oomScore(pod *corev1.Pod, container *corev1.Container, memoryCapacity int64) int64 {
	switch qosClass(pod) {
	case corev1.PodQOSGuaranteed:
		return oomGuaranteed
	case corev1.PodQOSBestEffort:
		return oomBestEffort
	}
	score := int64(oomBestEffort)
	if memoryCapacity > 0 {
		score -= 1000 * container.Resources.Requests.Memory().Value() / memoryCapacity
	}
	return min(max(score, 1000+oomGuaranteed), oomBestEffort-1)
}

// qosClass is Kubernetes' class of the pod: guaranteed when every container's
// limits of CPU and memory equal its requests.
func qosClass(pod *corev1.Pod) corev1.PodQOSClass {
	guaranteed, bestEffort := true, true
	for _, container := range slices.Concat(pod.Spec.InitContainers, pod.Spec.Containers) {
		own := container.Resources
		for _, name := range []corev1.ResourceName{corev1.ResourceCPU, corev1.ResourceMemory} {
			limit, request := own.Limits[name], own.Requests[name]
			if !limit.IsZero() || !request.IsZero() {
				bestEffort = false
			}
			if limit.IsZero() || !request.IsZero() && request.Cmp(limit) != 0 {
				guaranteed = false
			}
		}
	}
	switch {
	case bestEffort:
		return corev1.PodQOSBestEffort
	case guaranteed:
		return corev1.PodQOSGuaranteed
	}
	return corev1.PodQOSBurstable
}
