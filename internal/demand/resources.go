package demand

import (
	corev1 "k8s.io/api/core/v1"
	resourcehelper "k8s.io/component-helpers/resource"

	"kip.elotl.co/api/v1beta1"
)

// Resources are what a pod needs of its cell's instance and volume, counted as the
// scheduler counts: containers together, init containers one after the other,
// restartable ones with all that runs beside them, the pod's own resources
// before its containers', and the RuntimeClass's overhead. A limit without a
// request counts as one. Nil when it asks for nothing.
func Resources(pod *corev1.Pod) corev1.ResourceList {
	needed := requests(pod)
	var out corev1.ResourceList
	for _, name := range []corev1.ResourceName{corev1.ResourceCPU, corev1.ResourceMemory, v1beta1.ResourceGPU, v1beta1.ResourceNeuron, corev1.ResourceEphemeralStorage} {
		if amount, ok := needed[name]; ok && !amount.IsZero() {
			if out == nil {
				out = corev1.ResourceList{}
			}
			out[name] = amount
		}
	}
	return out
}

func requests(pod *corev1.Pod) corev1.ResourceList {
	pod = pod.DeepCopy()
	for i := range pod.Spec.InitContainers {
		limitsAsRequests(&pod.Spec.InitContainers[i].Resources)
	}
	for i := range pod.Spec.Containers {
		limitsAsRequests(&pod.Spec.Containers[i].Resources)
	}
	if pod.Spec.Resources != nil {
		limitsAsRequests(pod.Spec.Resources)
	}
	return resourcehelper.PodRequests(pod, resourcehelper.PodResourcesOptions{})
}

// limitsAsRequests does what the API server does to a pod that is applied.
func limitsAsRequests(r *corev1.ResourceRequirements) {
	for name, limit := range r.Limits {
		if _, set := r.Requests[name]; set {
			continue
		}
		if r.Requests == nil {
			r.Requests = corev1.ResourceList{}
		}
		r.Requests[name] = limit
	}
}
