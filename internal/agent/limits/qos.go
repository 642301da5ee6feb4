package limits

import (
	"slices"

	corev1 "k8s.io/api/core/v1"
	resourcehelper "k8s.io/component-helpers/resource"
)

// The kubelet's OOM scores.
const (
	oomGuaranteed = -997
	oomBestEffort = 1000
)

// QOS is Kubernetes' class of the pod: guaranteed when every container's limits of
// CPU and memory equal its requests. Where the pod has resources of its own, those
// alone count.
func QOS(pod *corev1.Pod) corev1.PodQOSClass {
	guaranteed, bestEffort := true, true
	for _, own := range counted(pod) {
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

func counted(pod *corev1.Pod) []corev1.ResourceRequirements {
	if pod.Spec.Resources != nil {
		return []corev1.ResourceRequirements{*pod.Spec.Resources}
	}
	var all []corev1.ResourceRequirements
	for _, container := range slices.Concat(pod.Spec.InitContainers, pod.Spec.Containers) {
		all = append(all, container.Resources)
	}
	return all
}

// OOMScore is a container's oom_score_adj: those are killed first who asked for
// least of the cell's memory, given in bytes. What the pod asked for beyond its
// containers counts for each of them alike, and a sidecar is not killed before the
// main containers.
func OOMScore(pod *corev1.Pod, container *corev1.Container, memoryCapacity int64) int64 {
	switch QOS(pod) {
	case corev1.PodQOSGuaranteed:
		return oomGuaranteed
	case corev1.PodQOSBestEffort:
		return oomBestEffort
	}
	asked := container.Resources.Requests.Memory().Value()
	if restartable(pod, container) {
		asked = max(asked, leastOfMain(pod))
	}
	score := int64(oomBestEffort)
	if memoryCapacity > 0 {
		score -= 1000 * (asked + restPerContainer(pod)) / memoryCapacity
	}
	return min(max(score, 1000+oomGuaranteed), oomBestEffort-1)
}

func restartable(pod *corev1.Pod, container *corev1.Container) bool {
	return container.RestartPolicy != nil && *container.RestartPolicy == corev1.ContainerRestartPolicyAlways &&
		slices.ContainsFunc(pod.Spec.InitContainers, func(one corev1.Container) bool { return one.Name == container.Name })
}

func leastOfMain(pod *corev1.Pod) int64 {
	least := pod.Spec.Containers[0].Resources.Requests.Memory().Value()
	for i := range pod.Spec.Containers {
		least = min(least, pod.Spec.Containers[i].Resources.Requests.Memory().Value())
	}
	return least
}

// restPerContainer is each container's part of the memory that the pod asks for
// beyond its containers, in bytes.
func restPerContainer(pod *corev1.Pod) int64 {
	if pod.Spec.Resources == nil || pod.Spec.Resources.Requests.Memory().IsZero() {
		return 0
	}
	asked := resourcehelper.AggregateContainerRequests(pod, resourcehelper.PodResourcesOptions{})
	return (pod.Spec.Resources.Requests.Memory().Value() - asked.Memory().Value()) / int64(len(pod.Spec.Containers)+len(pod.Spec.InitContainers))
}
