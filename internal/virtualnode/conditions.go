package virtualnode

import (
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// HeartbeatEvery is how often a node's conditions say that they still hold
// where nothing changes, as with kubelets. Its lease says more often that it lives.
const HeartbeatEvery = 5 * time.Minute

// conditions are a node's usual ones. The node is ready as long as the
// operator is: what keeps single cells from starting is said on their pods.
func conditions(now metav1.Time) []corev1.NodeCondition {
	condition := func(kind corev1.NodeConditionType, status corev1.ConditionStatus, reason, message string) corev1.NodeCondition {
		return corev1.NodeCondition{Type: kind, Status: status, Reason: reason, Message: message,
			LastHeartbeatTime: now, LastTransitionTime: now}
	}
	const machine = "every pod has its own machine"
	return []corev1.NodeCondition{
		condition(corev1.NodeReady, corev1.ConditionTrue, "OperatorReady", "the operator is running"),
		condition(corev1.NodeMemoryPressure, corev1.ConditionFalse, "NotApplicable", machine),
		condition(corev1.NodeDiskPressure, corev1.ConditionFalse, "NotApplicable", machine),
		condition(corev1.NodePIDPressure, corev1.ConditionFalse, "NotApplicable", machine),
		condition(corev1.NodeNetworkUnavailable, corev1.ConditionFalse, "NotApplicable", machine),
	}
}

// MergeConditions are the conditions that a node is to have: those that are
// wanted, which came true now, and others' that it has. One whose status is as
// it was keeps the time since when, whoever wrote it; and its heartbeat, as long
// as that is not HeartbeatEvery old.
func MergeConditions(is, want []corev1.NodeCondition) []corev1.NodeCondition {
	known := make(map[corev1.NodeConditionType]corev1.NodeCondition, len(is))
	for _, condition := range is {
		known[condition.Type] = condition
	}
	merged := make([]corev1.NodeCondition, 0, len(want))
	for _, condition := range want {
		now, was := condition.LastHeartbeatTime, known[condition.Type]
		delete(known, condition.Type)
		if was.Status == condition.Status && !was.LastTransitionTime.IsZero() {
			condition.LastTransitionTime = was.LastTransitionTime
		}
		same := was.Status == condition.Status && was.Reason == condition.Reason && was.Message == condition.Message
		if same && now.Sub(was.LastHeartbeatTime.Time) < HeartbeatEvery {
			condition.LastHeartbeatTime = was.LastHeartbeatTime
		}
		merged = append(merged, condition)
	}
	for _, condition := range is {
		if _, others := known[condition.Type]; others {
			merged = append(merged, condition)
		}
	}
	return merged
}
