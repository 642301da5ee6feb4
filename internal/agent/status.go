package agent

import (
	"cmp"
	"fmt"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Waiting and terminated reasons as the kubelet writes them.
const (
	reasonCreating        = "ContainerCreating"
	reasonPull            = "ErrImagePull"
	reasonPullBackoff     = "ImagePullBackOff"
	reasonNeverPull       = "ErrImageNeverPull"
	reasonCrashLoop       = "CrashLoopBackOff"
	reasonCreateConfig    = "CreateContainerConfigError"
	reasonCreateContainer = "CreateContainerError"
	reasonRunContainer    = "RunContainerError"
	reasonStatusUnknown   = "ContainerStatusUnknown"
	// reasonAddressTaken is Kip's own: the pod's address is the cell's by mistake.
	reasonAddressTaken = "PodAddressTaken"
)

// exitLost is the exit code shown for a container whose end nobody saw.
const exitLost = 137

// pullErrorShown is how long a failed pull shows its error before it shows
// that the next try is waited for.
const pullErrorShown = 5 * time.Second

// status makes the pod's status from what the runtime shows and what the
// machine is about; the last status is where transition times come from. The
// QoS class and the condition PodScheduled are the API server's.
func (m *machine) status(now time.Time) corev1.PodStatus {
	old := &m.rec.Status
	status := corev1.PodStatus{
		ObservedGeneration: m.rec.Pod.Generation,
		StartTime:          &metav1.Time{Time: m.rec.AcceptedAt},
		HostIP:             m.rec.HostIP.String(),
		HostIPs:            []corev1.HostIP{{IP: m.rec.HostIP.String()}},
	}
	m.addresses(&status)
	ended := m.stopWanted() && !m.anyRunning() && !m.busy()
	for _, c := range m.containers {
		container := m.containerStatus(now, c)
		if ended || m.terminal() {
			neverRan(&container)
		}
		status.ContainerStatuses = append(status.ContainerStatuses, container)
	}
	status.Phase = phase(&m.rec.Pod.Spec, status.ContainerStatuses, ended)
	if m.terminal() {
		status.Phase = old.Phase
	}
	status.Conditions = m.conditions(now, &status)
	return status
}

// addresses shows the sandbox's, and keeps showing them after its end.
func (m *machine) addresses(status *corev1.PodStatus) {
	status.PodIP, status.PodIPs = m.rec.Status.PodIP, m.rec.Status.PodIPs
	sandbox := m.readySandbox()
	if sandbox == nil || len(sandbox.IPs) == 0 {
		return
	}
	status.PodIP = sandbox.IPs[0].String()
	status.PodIPs = nil
	for _, ip := range sandbox.IPs {
		status.PodIPs = append(status.PodIPs, corev1.PodIP{IP: ip.String()})
	}
}

func (m *machine) containerStatus(now time.Time, c *containerState) corev1.ContainerStatus {
	status := corev1.ContainerStatus{
		Name:      c.spec.Name,
		Image:     c.spec.Image,
		Resources: &c.spec.Resources,
		Started:   new(bool),
	}
	if old := m.oldStatus(c.spec.Name); old != nil {
		status.RestartCount = old.RestartCount
		status.LastTerminationState = old.LastTerminationState
		status.Image, status.ImageID, status.ContainerID = old.Image, old.ImageID, old.ContainerID
	}
	if latest := m.latest(c.spec.Name); latest != nil {
		status.Image, status.ImageID = latest.Image, latest.ImageRef
		status.ContainerID = latest.URI
		status.RestartCount = int32(latest.Attempt)
		if previous := m.newestBefore(c.spec.Name, latest.Attempt); previous != nil && previous.State == ContainerExited {
			status.LastTerminationState = corev1.ContainerState{Terminated: termination(previous)}
		}
		if latest.State == ContainerRunning {
			status.State.Running = &corev1.ContainerStateRunning{StartedAt: metav1.NewTime(latest.StartedAt)}
			*status.Started = true
			// Without probes a container is ready as soon as it runs.
			status.Ready = true
			return status
		}
	}
	if end, _, ended := m.ended(c); ended {
		status.State.Terminated = end
	}
	if waiting := m.waiting(now, c); waiting != nil && !m.terminal() {
		if status.State.Terminated != nil {
			status.LastTerminationState = corev1.ContainerState{Terminated: status.State.Terminated}
		}
		status.State = corev1.ContainerState{Waiting: waiting}
	}
	return status
}

// waiting says why a container that does not run is waited for; nil when it
// has ended and shows that, for good or until its restart.
func (m *machine) waiting(now time.Time, c *containerState) *corev1.ContainerStateWaiting {
	_, _, ended := m.ended(c)
	switch {
	case m.stopWanted() && ended:
		return nil
	case !c.restartAt.IsZero():
		return &corev1.ContainerStateWaiting{Reason: reasonCrashLoop, Message: fmt.Sprintf(
			"back-off %s restarting failed container=%s pod=%s_%s(%s)",
			c.restartWait, c.spec.Name, m.rec.Pod.Name, m.rec.Pod.Namespace, m.rec.Pod.UID)}
	case c.pull.problem != nil:
		return pullWaiting(now, c)
	case c.start.problem != nil && !ended:
		return &corev1.ContainerStateWaiting{Reason: c.start.problem.reason, Message: c.start.problem.message}
	case ended:
		return nil
	case m.sandbox.problem != nil:
		return &corev1.ContainerStateWaiting{Reason: cmp.Or(m.sandbox.problem.reason, reasonCreating), Message: m.sandbox.problem.message}
	}
	return &corev1.ContainerStateWaiting{Reason: reasonCreating}
}

func pullWaiting(now time.Time, c *containerState) *corev1.ContainerStateWaiting {
	waiting := &corev1.ContainerStateWaiting{Reason: c.pull.problem.reason, Message: c.pull.problem.message}
	if waiting.Reason == reasonPull && !now.Before(c.pull.failedAt.Add(pullErrorShown)) {
		waiting.Reason = reasonPullBackoff
		waiting.Message = fmt.Sprintf("Back-off pulling image %q: %s: %s", c.spec.Image, reasonPull, c.pull.problem.message)
	}
	return waiting
}

// neverRan turns a container that still waits into one that ended, since
// nothing will be started any more.
func neverRan(status *corev1.ContainerStatus) {
	if status.State.Waiting == nil {
		return
	}
	end := status.LastTerminationState.Terminated
	if end == nil {
		end = lostTermination()
	}
	status.State = corev1.ContainerState{Terminated: end}
}

func lostTermination() *corev1.ContainerStateTerminated {
	return &corev1.ContainerStateTerminated{ExitCode: exitLost, Reason: reasonStatusUnknown,
		Message: "The container could not be located when the pod was terminated"}
}

func termination(container *Container) *corev1.ContainerStateTerminated {
	reason := container.Reason
	if reason == "" {
		reason = "Completed"
		if container.ExitCode != 0 {
			reason = "Error"
		}
	}
	return &corev1.ContainerStateTerminated{
		ExitCode:    container.ExitCode,
		Reason:      reason,
		Message:     container.Message,
		StartedAt:   metav1.NewTime(container.StartedAt),
		FinishedAt:  metav1.NewTime(container.FinishedAt),
		ContainerID: container.URI,
	}
}

// phase is the kubelet's: pending until every container was started once,
// running until none will run any more.
func phase(spec *corev1.PodSpec, containers []corev1.ContainerStatus, ended bool) corev1.PodPhase {
	var running, succeeded, final int
	for i := range containers {
		state, last := &containers[i].State, &containers[i].LastTerminationState
		switch {
		case state.Running != nil:
			running++
		case state.Terminated != nil:
			if state.Terminated.ExitCode == 0 {
				succeeded++
			}
			if ended || !restarts(spec.RestartPolicy, state.Terminated.ExitCode) {
				final++
			}
		case last.Terminated == nil:
			return corev1.PodPending
		}
	}
	switch {
	case running > 0 || final < len(containers):
		return corev1.PodRunning
	case succeeded == len(containers):
		return corev1.PodSucceeded
	default:
		return corev1.PodFailed
	}
}

// conditions are those of the kubelet, with times of their own transitions.
func (m *machine) conditions(now time.Time, status *corev1.PodStatus) []corev1.PodCondition {
	ready := containersReady(status)
	conditions := []corev1.PodCondition{
		{Type: corev1.PodReadyToStartContainers, Status: boolStatus(m.sandboxUp())},
		{Type: corev1.PodInitialized, Status: corev1.ConditionTrue},
		ready,
		ready,
	}
	if status.Phase == corev1.PodSucceeded {
		conditions[1].Reason = "PodCompleted"
	}
	conditions[2].Type, conditions[3].Type = corev1.PodReady, corev1.ContainersReady
	for i := range conditions {
		condition := &conditions[i]
		condition.ObservedGeneration = m.rec.Pod.Generation
		condition.LastTransitionTime = metav1.NewTime(now)
		for _, old := range m.rec.Status.Conditions {
			if old.Type == condition.Type && old.Status == condition.Status {
				condition.LastTransitionTime = old.LastTransitionTime
			}
		}
	}
	return conditions
}

func containersReady(status *corev1.PodStatus) corev1.PodCondition {
	condition := corev1.PodCondition{Status: corev1.ConditionFalse}
	var unready []string
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
