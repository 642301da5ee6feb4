package podspec

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"kip.elotl.co/internal/itzo"
)

// Reasons for the failure of a pod on an agent of the first Kip, which tries
// nothing again.
const (
	ReasonStartFailed  = "StartFailed"
	ReasonStartTimeout = "StartTimeout"
	ReasonAgentLostPod = "AgentLostPod"
)

const (
	// StartTimeout is how long the containers may take until all have been
	// started once: several ways to fail do not show on these agents.
	StartTimeout = 15 * time.Minute
	// restartTimeout is when a container that is to be restarted has not been: the
	// agent waits for 5 minutes at most.
	restartTimeout = 10 * time.Minute
	// exitUnknown is what the kubelet gives to containers whose end it did not see.
	exitUnknown = 137
	// maxMessage is Kubernetes' limit for termination messages, in bytes.
	maxMessage = 4096

	reasonCrashLoop     = "CrashLoopBackOff"
	reasonStatusUnknown = "ContainerStatusUnknown"
	reasonStartError    = "StartError"
	exitStartError      = 128
)

// ErrOtherUnits is that an agent runs other units than the pod's containers.
var ErrOtherUnits = errors.New("the agent runs another pod")

// UnitsView is what an agent's answers are seen against.
type UnitsView struct {
	Pod *corev1.Pod
	// PodIP is the pod's own address, if it has one, Host the cell's.
	PodIP, Host netip.Addr
	// Before is the status that was made last, zero at first.
	Before corev1.PodStatus
	Now    time.Time
}

// Status makes the pod's status of an agent's answer, as a kubelet would write
// it as far as that can be known. An exit code that the agent lost is no
// success. The error is ErrOtherUnits.
func (v *UnitsView) Status(reply itzo.PodStatusReply) (corev1.PodStatus, error) {
	units, err := v.units(reply)
	if err != nil {
		return corev1.PodStatus{}, err
	}
	status := v.blank()
	for i := range v.Pod.Spec.Containers {
		container := &v.Pod.Spec.Containers[i]
		status.ContainerStatuses = append(status.ContainerStatuses, v.container(container, units[container.Name]))
	}
	status.Phase = v.phase(&status)
	for i := range v.Pod.Spec.Containers {
		name := v.Pod.Spec.Containers[i].Name
		if why := finalFailure(units[name]); why != "" && status.Reason == "" {
			status.ContainerStatuses[i].State = corev1.ContainerState{Terminated: v.startError(why)}
			v.fail(&status, ReasonStartFailed, fmt.Sprintf("container %s: %s", name, why))
		}
	}
	if status.Phase == corev1.PodPending && v.Now.Sub(status.StartTime.Time) > StartTimeout {
		v.fail(&status, ReasonStartTimeout, fmt.Sprintf("the agent has not started the containers within %s, and does not say why", StartTimeout))
	}
	v.conditions(&status)
	return status, nil
}

// Lost is the status of a pod whose agent has forgotten it.
func (v *UnitsView) Lost() corev1.PodStatus {
	status := v.blank()
	status.ContainerStatuses = v.Before.DeepCopy().ContainerStatuses
	v.fail(&status, ReasonAgentLostPod, "the agent was started anew, and does not know the pod any more")
	v.conditions(&status)
	return status
}

func (v *UnitsView) blank() corev1.PodStatus {
	address := v.PodIP
	if !address.IsValid() {
		address = v.Host
	}
	status := corev1.PodStatus{
		StartTime: v.Before.StartTime,
		HostIP:    v.Host.String(), HostIPs: []corev1.HostIP{{IP: v.Host.String()}},
		PodIP: address.String(), PodIPs: []corev1.PodIP{{IP: address.String()}},
	}
	if status.StartTime == nil {
		status.StartTime = &metav1.Time{Time: v.Now.Truncate(time.Second)}
	}
	return status
}

// units are the agent's by name, each one of the pod's containers. A list may
// lack some that are yet to come.
func (v *UnitsView) units(reply itzo.PodStatusReply) (map[string]*itzo.UnitStatus, error) {
	if v.PodIP.IsValid() && reply.PodIP != v.PodIP.String() || len(reply.InitUnitStatus) > 0 {
		return nil, ErrOtherUnits
	}
	known := map[string]bool{}
	for i := range v.Pod.Spec.Containers {
		known[v.Pod.Spec.Containers[i].Name] = true
	}
	units := map[string]*itzo.UnitStatus{}
	for i := range reply.UnitStatus {
		unit := &reply.UnitStatus[i]
		if !known[unit.Name] || units[unit.Name] != nil {
			return nil, ErrOtherUnits
		}
		units[unit.Name] = unit
	}
	return units, nil
}

func (v *UnitsView) container(container *corev1.Container, unit *itzo.UnitStatus) corev1.ContainerStatus {
	status := corev1.ContainerStatus{Name: container.Name, Image: container.Image, Started: new(bool)}
	if unit == nil {
		status.State.Waiting = &corev1.ContainerStateWaiting{Reason: itzo.ReasonContainerCreating}
		return status
	}
	id := "itzo://" + unit.Name
	status.RestartCount = max(0, unit.RestartCount)
	if end := unit.LastState.Terminated; end != nil {
		status.LastTerminationState.Terminated = termination(end, id)
	}
	state := &unit.State
	switch {
	case state.Running != nil:
		status.ContainerID = id
		status.State.Running = &corev1.ContainerStateRunning{StartedAt: v.startedAt(container.Name, state.Running.StartedAt)}
		// 1.2 says nothing of it, and has no probe to wait for.
		*status.Started = unit.Started == nil || *unit.Started
		status.Ready = unit.Ready && *status.Started
	case state.Terminated != nil:
		status.ContainerID = id
		v.ended(&status, termination(state.Terminated, id))
	default:
		v.waiting(&status, state.Waiting)
	}
	return status
}

// startedAt is as the agent has it, or when it was first seen.
func (v *UnitsView) startedAt(container string, told metav1.Time) metav1.Time {
	if !told.IsZero() {
		return told
	}
	for i := range v.Before.ContainerStatuses {
		before := &v.Before.ContainerStatuses[i]
		if before.Name == container && before.State.Running != nil {
			return before.State.Running.StartedAt
		}
	}
	return metav1.NewTime(v.Now.Truncate(time.Second))
}

// ended shows an end, or, where the agent will start the container again, that
// this is waited for.
func (v *UnitsView) ended(status *corev1.ContainerStatus, end *corev1.ContainerStateTerminated) {
	if !v.restarts(end) {
		status.State.Terminated = end
		return
	}
	status.State.Waiting = &corev1.ContainerStateWaiting{Reason: reasonCrashLoop, Message: "the agent starts it again"}
	status.LastTerminationState.Terminated = end
}

func (v *UnitsView) restarts(end *corev1.ContainerStateTerminated) bool {
	overdue := !end.FinishedAt.IsZero() && v.Now.Sub(end.FinishedAt.Time) > restartTimeout
	switch v.Pod.Spec.RestartPolicy {
	case corev1.RestartPolicyNever:
		return false
	case corev1.RestartPolicyOnFailure:
		return end.ExitCode != 0 && !overdue
	}
	return !overdue
}

func (v *UnitsView) waiting(status *corev1.ContainerStatus, waiting *itzo.UnitStateWaiting) {
	switch {
	case waiting == nil || !waiting.StartFailure:
		status.State.Waiting = &corev1.ContainerStateWaiting{Reason: itzo.ReasonContainerCreating}
	case v.Pod.Spec.RestartPolicy == corev1.RestartPolicyNever:
		status.State.Terminated = v.startError(waiting.Reason)
	default:
		status.State.Waiting = &corev1.ContainerStateWaiting{Reason: reasonCrashLoop, Message: shortened(waiting.Reason)}
		status.LastTerminationState.Terminated = v.startError(waiting.Reason)
	}
}

// startError is as the kubelet shows a container that could not be started. When
// that was the agent does not say.
func (v *UnitsView) startError(why string) *corev1.ContainerStateTerminated {
	begun := *v.blank().StartTime
	return &corev1.ContainerStateTerminated{
		ExitCode: exitStartError, Reason: reasonStartError, Message: shortened(why), StartedAt: begun, FinishedAt: begun,
	}
}

// termination reads an end. That a signal was the cause the agents say by -1,
// and not which; a code that they lost is 0 with another reason than that of
// success.
func termination(end *itzo.UnitStateTerminated, id string) *corev1.ContainerStateTerminated {
	made := &corev1.ContainerStateTerminated{
		ExitCode: end.ExitCode, Reason: itzo.ReasonError, Message: shortened(end.Message),
		StartedAt: end.StartedAt, FinishedAt: end.FinishedAt, ContainerID: id,
	}
	switch {
	case end.ExitCode < 0:
		made.ExitCode = exitUnknown
	case end.ExitCode == 0 && end.Reason == itzo.ReasonCompleted:
		made.Reason = itzo.ReasonCompleted
	case end.ExitCode == 0:
		made.ExitCode, made.Reason = exitUnknown, reasonStatusUnknown
		if made.Message == "" {
			made.Message = "the agent lost the exit code"
		}
	}
	return made
}

// finalFailure is why a unit will never be started, as far as that shows.
func finalFailure(unit *itzo.UnitStatus) string {
	if unit == nil || unit.State.Waiting == nil || !unit.State.Waiting.StartFailure {
		return ""
	}
	why := unit.State.Waiting.Reason
	for _, prefix := range []string{
		"Bad image spec for unit ", "Error pulling image for unit ", "Error saving unit ", "Error attaching mount ", "Error starting unit ", "Failed to start: ",
	} {
		if strings.HasPrefix(why, prefix) {
			return shortened(why)
		}
	}
	return ""
}

func shortened(text string) string {
	return strings.ToValidUTF8(text[:min(len(text), maxMessage)], "")
}

// phase is the kubelet's: pending until every container was started once,
// running until none will run any more.
func (v *UnitsView) phase(status *corev1.PodStatus) corev1.PodPhase {
	final, succeeded := 0, 0
	for i := range status.ContainerStatuses {
		is := &status.ContainerStatuses[i]
		switch {
		case is.State.Terminated != nil:
			final++
			if is.State.Terminated.ExitCode == 0 {
				succeeded++
			}
		case is.State.Running == nil && is.LastTerminationState.Terminated == nil:
			return corev1.PodPending
		}
	}
	switch {
	case final < len(status.ContainerStatuses):
		return corev1.PodRunning
	case succeeded == final:
		return corev1.PodSucceeded
	}
	return corev1.PodFailed
}

// fail ends a pod that nothing will come of any more. What still runs ends with
// its cell.
func (v *UnitsView) fail(status *corev1.PodStatus, reason, message string) {
	status.Phase, status.Reason, status.Message = corev1.PodFailed, reason, message
	for i := range status.ContainerStatuses {
		is := &status.ContainerStatuses[i]
		is.Ready = false
		if is.State.Terminated != nil {
			continue
		}
		end := &corev1.ContainerStateTerminated{ExitCode: exitUnknown, Reason: reasonStatusUnknown, Message: message, ContainerID: is.ContainerID}
		if is.State.Running != nil {
			end.StartedAt = is.State.Running.StartedAt
		}
		end.FinishedAt = metav1.NewTime(v.Now.Truncate(time.Second))
		is.State = corev1.ContainerState{Terminated: end}
	}
}

func (v *UnitsView) conditions(status *corev1.PodStatus) {
	ready := corev1.PodCondition{Status: corev1.ConditionTrue}
	var unready []string
	for i := range status.ContainerStatuses {
		if !status.ContainerStatuses[i].Ready {
			unready = append(unready, status.ContainerStatuses[i].Name)
		}
	}
	switch {
	case status.Phase == corev1.PodSucceeded:
		ready.Status, ready.Reason = corev1.ConditionFalse, "PodCompleted"
	case status.Phase == corev1.PodFailed:
		ready.Status, ready.Reason = corev1.ConditionFalse, "PodFailed"
	case len(unready) > 0:
		ready.Status, ready.Reason = corev1.ConditionFalse, "ContainersNotReady"
		ready.Message = fmt.Sprintf("containers with unready status: [%s]", strings.Join(unready, " "))
	}
	for _, condition := range []corev1.PodCondition{
		{Type: corev1.PodReadyToStartContainers, Status: corev1.ConditionTrue},
		{Type: corev1.PodInitialized, Status: corev1.ConditionTrue},
		{Type: corev1.PodReady, Status: ready.Status, Reason: ready.Reason, Message: ready.Message},
		{Type: corev1.ContainersReady, Status: ready.Status, Reason: ready.Reason, Message: ready.Message},
	} {
		condition.LastTransitionTime = metav1.NewTime(v.Now.Truncate(time.Second))
		for _, before := range v.Before.Conditions {
			if before.Type == condition.Type && before.Status == condition.Status {
				condition.LastTransitionTime = before.LastTransitionTime
			}
		}
		status.Conditions = append(status.Conditions, condition)
	}
}
