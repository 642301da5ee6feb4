package agent

import (
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
)

const messageInfeasible = "In-place resize is not supported on a cell, which was chosen for what the pod asked for at first: " +
	"its containers go on with that, a new pod gets the change"

// keepResources gives a newer version of a pod the resources that it was
// allocated, and says whether it asks for others. Both have the same init and
// main containers.
func keepResources(allocated, newer *corev1.Pod) (resized bool) {
	was, is := &allocated.Spec, &newer.Spec
	resized = !equality.Semantic.DeepEqual(was.Resources, is.Resources)
	is.Resources = was.Resources
	for _, lists := range [][2][]corev1.Container{{was.InitContainers, is.InitContainers}, {was.Containers, is.Containers}} {
		for i, container := range lists[0] {
			resized = resized || !equality.Semantic.DeepEqual(container.Resources, lists[1][i].Resources)
			lists[1][i].Resources = container.Resources
		}
	}
	return resized
}

// resizeConditions are those about a resize that was asked for.
func (m *machine) resizeConditions() []corev1.PodCondition {
	if !m.rec.ResizePending || m.terminal() {
		return nil
	}
	return []corev1.PodCondition{{Type: corev1.PodResizePending, Status: corev1.ConditionTrue,
		Reason: corev1.PodReasonInfeasible, Message: messageInfeasible}}
}
