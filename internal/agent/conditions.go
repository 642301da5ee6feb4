package agent

import (
	"fmt"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// phase is the kubelet's: pending until every container was started once,
// running until none will run any more. ended says that nothing runs and nothing
// will be started.
func phase(spec *corev1.PodSpec, status *corev1.PodStatus, ended bool) corev1.PodPhase {
	if initPending(spec, status) {
		if ended {
			return corev1.PodFailed
		}
		return corev1.PodPending
	}
	var succeeded, final int
	for i := range status.ContainerStatuses {
		state, last := &status.ContainerStatuses[i].State, &status.ContainerStatuses[i].LastTerminationState
		switch {
		case state.Terminated != nil:
			if state.Terminated.ExitCode == 0 {
				succeeded++
			}
			if ended {
				final++
			}
		case state.Running == nil && last.Terminated == nil && !ended:
			return corev1.PodPending
		case ended:
			final++ // its turn never came
		}
	}
	switch {
	case final < len(status.ContainerStatuses):
		return corev1.PodRunning
	case succeeded == len(status.ContainerStatuses):
		return corev1.PodSucceeded
	default:
		return corev1.PodFailed
	}
}

// initPending says whether the init containers keep the pod from running. Those
// of a pod whose main containers have run do so only while they run again.
func initPending(spec *corev1.PodSpec, status *corev1.PodStatus) bool {
	begun := mainStarted(status)
	for i := range status.InitContainerStatuses {
		container := &status.InitContainerStatuses[i]
		if restartable(&spec.InitContainers[i]) {
			if !begun && (container.Started == nil || !*container.Started) && container.State.Terminated == nil {
				return true
			}
			continue
		}
		if container.State.Terminated == nil || container.State.Terminated.ExitCode != 0 {
			return true
		}
	}
	return false
}

// mainStarted says whether a main container runs or has just ended.
func mainStarted(status *corev1.PodStatus) bool {
	for i := range status.ContainerStatuses {
		if state := &status.ContainerStatuses[i].State; state.Running != nil || state.Terminated != nil {
			return true
		}
	}
	return false
}

func restartable(container *corev1.Container) bool {
	return container.RestartPolicy != nil && *container.RestartPolicy == corev1.ContainerRestartPolicyAlways
}

// initialized is the condition of that name, as the kubelet makes it.
func initialized(spec *corev1.PodSpec, status *corev1.PodStatus) corev1.PodCondition {
	condition := corev1.PodCondition{Type: corev1.PodInitialized, Status: corev1.ConditionTrue}
	var incomplete []string
	for i := range status.InitContainerStatuses {
		container := &status.InitContainerStatuses[i]
		complete := container.Ready
		if restartable(&spec.InitContainers[i]) {
			complete = container.Started != nil && *container.Started
		}
		if !complete {
			incomplete = append(incomplete, container.Name)
		}
	}
	switch {
	case status.Phase == corev1.PodSucceeded:
		condition.Reason = initializedReason(status.Phase)
	case len(incomplete) > 0 && !mainStarted(status):
		condition.Status = corev1.ConditionFalse
		condition.Reason = "ContainersNotInitialized"
		condition.Message = fmt.Sprintf("containers with incomplete status: [%s]", strings.Join(incomplete, " "))
	}
	return condition
}

func initializedReason(phase corev1.PodPhase) string {
	if phase == corev1.PodSucceeded {
		return "PodCompleted"
	}
	return ""
}

// conditions are those of the kubelet, with times of their own transitions.
func (m *machine) conditions(now time.Time, status *corev1.PodStatus) []corev1.PodCondition {
	ready := containersReady(&m.rec.Pod.Spec, status)
	conditions := []corev1.PodCondition{
		{Type: corev1.PodReadyToStartContainers, Status: boolStatus(m.sandboxUp())},
		initialized(&m.rec.Pod.Spec, status),
		ready,
		ready,
	}
	conditions[2].Type, conditions[3].Type = corev1.PodReady, corev1.ContainersReady
	conditions = append(conditions, m.resizeConditions()...)
	conditions = append(conditions, m.disruption()...)
	for i := range conditions {
		condition := &conditions[i]
		condition.ObservedGeneration = m.rec.Pod.Generation
		condition.LastTransitionTime = metav1.NewTime(now)
		for _, old := range m.rec.Status.Conditions {
			if old.Type == condition.Type && old.Type == corev1.PodInitialized && old.Status == corev1.ConditionTrue {
				// Once initialized a pod stays so, also while its init containers run again.
				condition.Status, condition.Reason, condition.Message = old.Status, initializedReason(status.Phase), ""
			}
			if old.Type == condition.Type && old.Status == condition.Status {
				condition.LastTransitionTime = old.LastTransitionTime
			}
		}
	}
	return conditions
}

func containersReady(spec *corev1.PodSpec, status *corev1.PodStatus) corev1.PodCondition {
	condition := corev1.PodCondition{Status: corev1.ConditionFalse}
	var unready []string
	for i := range status.InitContainerStatuses {
		if container := &status.InitContainerStatuses[i]; restartable(&spec.InitContainers[i]) && !container.Ready {
			unready = append(unready, container.Name)
		}
	}
	for _, container := range status.ContainerStatuses {
		if !container.Ready {
			unready = append(unready, container.Name)
		}
	}
	switch {
	case status.Phase == corev1.PodSucceeded:
		condition.Reason = "PodCompleted"
	case status.Phase == corev1.PodFailed:
		condition.Reason = "PodFailed"
	case len(unready) > 0:
		condition.Reason = "ContainersNotReady"
		condition.Message = fmt.Sprintf("containers with unready status: [%s]", strings.Join(unready, " "))
	default:
		condition.Status = corev1.ConditionTrue
	}
	return condition
}

func boolStatus(value bool) corev1.ConditionStatus {
	if value {
		return corev1.ConditionTrue
	}
	return corev1.ConditionFalse
}
