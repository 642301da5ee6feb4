package agent

import (
	"cmp"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Waiting and terminated reasons as the kubelet writes them.
const (
	reasonCreating        = "ContainerCreating"
	reasonInitializing    = "PodInitializing"
	reasonPull            = "ErrImagePull"
	reasonPullBackoff     = "ImagePullBackOff"
	reasonNeverPull       = "ErrImageNeverPull"
	reasonImageName       = "InvalidImageName"
	reasonCrashLoop       = "CrashLoopBackOff"
	reasonCreateConfig    = "CreateContainerConfigError"
	reasonCreateContainer = "CreateContainerError"
	reasonPostStart       = "PostStartHookError"
	reasonRunContainer    = "RunContainerError"
	reasonStatusUnknown   = "ContainerStatusUnknown"
	// reasonMount is no waiting reason: a kubelet tells of volumes by events alone.
	reasonMount = eventFailedMount
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
		list := &status.InitContainerStatuses
		switch c.role {
		case mainContainer:
			list = &status.ContainerStatuses
		case ephemeralContainer:
			list = &status.EphemeralContainerStatuses
		}
		*list = append(*list, m.containerStatus(now, c))
	}
	normalize(&status)
	if ended || m.terminal() {
		neverRan(&m.rec.Pod.Spec, &status)
	}
	status.Phase = phase(&m.rec.Pod.Spec, &status, ended)
	if m.terminal() {
		status.Phase = old.Phase
	}
	m.noteOverdue(&status)
	m.noteEvicted(&status)
	m.noteSilent(&status)
	m.noteInterrupted(&status)
	status.Conditions = m.conditions(now, &status)
	return status
}

// addresses shows the sandbox's, and keeps showing them after its end; the cell's
// where the pod shares its network.
func (m *machine) addresses(status *corev1.PodStatus) {
	if m.rec.Pod.Spec.HostNetwork {
		status.PodIP, status.PodIPs = status.HostIP, []corev1.PodIP{{IP: status.HostIP}}
		return
	}
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
		Name:    c.spec.Name,
		Image:   c.spec.Image,
		Started: new(bool),
	}
	status.VolumeMounts = mountStatuses(c.spec.VolumeMounts)
	if c.role == ephemeralContainer {
		status.Started = nil
	}
	if old := m.oldStatus(c.spec.Name); old != nil {
		status.RestartCount = old.RestartCount
		status.LastTerminationState = old.LastTerminationState
		status.Image, status.ImageID, status.ContainerID = old.Image, old.ImageID, old.ContainerID
		status.User, status.StopSignal = old.User, old.StopSignal
	}
	if latest := m.latest(c.spec.Name); latest != nil {
		status.Image, status.ImageID = latest.Image, latest.ImageRef
		status.ContainerID = latest.URI
		status.RestartCount = int32(latest.Attempt)
		status.User = latest.User
		if m.stopSignals() {
			status.StopSignal = latest.StopSignal
		}
		status.Resources, status.AllocatedResources = &c.spec.Resources, c.spec.Resources.Requests
		if previous := m.newestBefore(c.spec.Name, latest.Attempt); previous != nil && previous.State == ContainerExited {
			status.LastTerminationState = corev1.ContainerState{Terminated: termination(previous)}
		}
		if latest.State == ContainerRunning && !c.hookPending(latest) && c.postStart.problem == nil {
			status.State.Running = &corev1.ContainerStateRunning{StartedAt: metav1.NewTime(latest.StartedAt)}
			if c.role == ephemeralContainer {
				return status // which readiness knows nothing of
			}
			*status.Started = m.started(c, latest)
			status.Ready = m.readyNow(c, latest)
			return status
		}
	}
	if end, _, ended := m.ended(c); ended {
		status.State.Terminated = end
		status.Ready = c.role == initContainer && end.ExitCode == 0
	}
	if waiting := m.waiting(now, c); waiting != nil {
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
	case (m.stopWanted() || m.terminal()) && ended:
		return nil
	case m.replaced(c):
		// The API server lets no container that is never restarted come back from an
		// end that it was shown.
		ended = false
	}
	switch {
	case m.terminal():
		return &corev1.ContainerStateWaiting{Reason: m.startReason()}
	case !c.restartAt.IsZero():
		return &corev1.ContainerStateWaiting{Reason: reasonCrashLoop, Message: fmt.Sprintf(
			"back-off %s restarting failed container=%s pod=%s_%s(%s)",
			c.restartWait, c.spec.Name, m.rec.Pod.Name, m.rec.Pod.Namespace, m.rec.Pod.UID)}
	case c.postStart.problem != nil:
		return &corev1.ContainerStateWaiting{Reason: c.postStart.problem.reason, Message: c.postStart.problem.message}
	case c.pull.problem != nil:
		return pullWaiting(now, c)
	case c.start.problem != nil && !ended:
		return m.waitingFor(c.start.problem)
	case ended:
		return nil
	case m.sandbox.problem != nil:
		return m.waitingFor(m.sandbox.problem)
	}
	return &corev1.ContainerStateWaiting{Reason: m.startReason()}
}

// waitingFor shows what keeps a container from being started.
func (m *machine) waitingFor(p *problem) *corev1.ContainerStateWaiting {
	if p.reason == reasonMount {
		return &corev1.ContainerStateWaiting{Reason: m.startReason()}
	}
	return &corev1.ContainerStateWaiting{Reason: cmp.Or(p.reason, m.startReason()), Message: p.message}
}

// startReason is why a container waits that nothing keeps from being started.
func (m *machine) startReason() string {
	if len(m.rec.Pod.Spec.InitContainers) > 0 {
		return reasonInitializing
	}
	return reasonCreating
}

func pullWaiting(now time.Time, c *containerState) *corev1.ContainerStateWaiting {
	waiting := &corev1.ContainerStateWaiting{Reason: c.pull.problem.reason, Message: c.pull.problem.message}
	if waiting.Reason == reasonPull && !now.Before(c.pull.failedAt.Add(pullErrorShown)) {
		waiting.Reason = reasonPullBackoff
		waiting.Message = fmt.Sprintf("Back-off pulling image %q: %s: %s", c.spec.Image, reasonPull, c.pull.problem.message)
	}
	return waiting
}

// neverRan turns containers that still wait into ones that ended, since nothing
// will be started any more. Those whose turn never came stay waiting.
func neverRan(spec *corev1.PodSpec, status *corev1.PodStatus) {
	initialized := initialized(spec, status).Status == corev1.ConditionTrue
	for i := range status.InitContainerStatuses {
		endWaiting(&status.InitContainerStatuses[i], false)
	}
	for i := range status.ContainerStatuses {
		endWaiting(&status.ContainerStatuses[i], initialized)
	}
}

// endWaiting shows a container's last end; lost says that one without any has
// one nevertheless.
func endWaiting(status *corev1.ContainerStatus, lost bool) {
	end := status.LastTerminationState.Terminated
	if end == nil && lost {
		end = lostTermination()
	}
	if status.State.Waiting != nil && end != nil {
		status.State = corev1.ContainerState{Terminated: end}
	}
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
