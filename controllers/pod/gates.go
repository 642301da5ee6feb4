package pod

import (
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
)

// applyGates makes a pod not ready whose readiness gates are not all passed, in
// the kubelet's words. The agent knows only its containers; the gates are
// conditions that others write.
func applyGates(pod *corev1.Pod, status *corev1.PodStatus) {
	var shut []string
	for _, gate := range pod.Spec.ReadinessGates {
		condition := findCondition(pod.Status.Conditions, gate.ConditionType)
		switch {
		case condition == nil:
			shut = append(shut, fmt.Sprintf("corresponding condition of pod readiness gate %q does not exist.", gate.ConditionType))
		case condition.Status != corev1.ConditionTrue:
			shut = append(shut, fmt.Sprintf("the status of pod readiness gate %q is not \"True\", but %v", gate.ConditionType, condition.Status))
		}
	}
	ready := findCondition(status.Conditions, corev1.PodReady)
	if len(shut) == 0 || ready == nil || ready.Status != corev1.ConditionTrue {
		return
	}
	ready.Status, ready.Reason, ready.Message = corev1.ConditionFalse, "ReadinessGatesNotReady", strings.Join(shut, ", ")
}
