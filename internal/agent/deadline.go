package agent

import (
	"time"

	corev1 "k8s.io/api/core/v1"
)

// The kubelet's words for a pod that took too long.
const (
	reasonOverdue  = "DeadlineExceeded"
	messageOverdue = "Pod was active on the node longer than the specified deadline"
)

// overdue says whether the pod has been there for longer than it may.
func (m *machine) overdue(now time.Time) bool {
	seconds := m.rec.Pod.Spec.ActiveDeadlineSeconds
	if seconds == nil {
		return false
	}
	at := m.rec.AcceptedAt.Add(time.Duration(*seconds) * time.Second)
	if now.Before(at) {
		m.wakeAt(at)
		return false
	}
	if !m.rec.Overdue {
		m.rec.tell(now, "", corev1.EventTypeNormal, reasonOverdue, messageOverdue)
	}
	m.rec.Overdue = true
	return true
}

// noteOverdue makes the end of a pod that took too long a failure.
func (m *machine) noteOverdue(status *corev1.PodStatus) {
	if m.rec.Overdue && (status.Phase == corev1.PodSucceeded || status.Phase == corev1.PodFailed) {
		status.Phase, status.Reason, status.Message = corev1.PodFailed, reasonOverdue, messageOverdue
	}
}
