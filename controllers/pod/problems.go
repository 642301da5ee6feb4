package pod

import (
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"kip.elotl.co/api/v1beta1"
	"kip.elotl.co/internal/cellagent"
	"kip.elotl.co/internal/podsupport"
)

// Why a container waits, or has ended, in the kubelet's words.
const (
	reasonCreating      = "ContainerCreating"
	reasonInitializing  = "PodInitializing"
	reasonPull          = "ErrImagePull"
	reasonPullBackOff   = "ImagePullBackOff"
	reasonNeverPull     = "ErrImageNeverPull"
	reasonCreateConfig  = "CreateContainerConfigError"
	reasonCreate        = "CreateContainerError"
	reasonRun           = "RunContainerError"
	reasonCrashLoop     = "CrashLoopBackOff"
	reasonPostStart     = "PostStartHookError"
	reasonStart         = "StartError"
	reasonFailed        = "Failed"
	reasonBackOff       = "BackOff"
	reasonFailedSandbox = "FailedCreatePodSandBox"

	reasonFailedPostStart  = "FailedPostStartHook"
	reasonResizeInfeasible = "ResizeInfeasible"
	reasonEvicted          = "Evicted"
)

// problem is what is worth a Warning event.
type problem struct{ reason, message string }

// tellProblems makes events of what has gone wrong on the cell since the last
// status, as the kubelet does, unless the agent tells by events of its own.
func (c *Controller) tellProblems(pod *corev1.Pod, status *corev1.PodStatus, told bool) {
	c.tellResize(pod, status)
	if status.Reason == reasonEvicted && pod.Status.Reason != reasonEvicted {
		c.warn(pod, reasonEvicted, status.Message)
	}
	if told {
		return
	}
	before := slices.Concat(pod.Status.InitContainerStatuses, pod.Status.ContainerStatuses)
	for _, is := range slices.Concat(status.InitContainerStatuses, status.ContainerStatuses) {
		was := &corev1.ContainerStatus{}
		for k := range before {
			if before[k].Name == is.Name {
				was = &before[k]
			}
		}
		for _, p := range newProblems(pod, was, &is) {
			c.warn(pod, p.reason, p.message)
		}
	}
}

// tellResize makes an event of a resize that the agent has not taken up.
func (c *Controller) tellResize(pod *corev1.Pod, status *corev1.PodStatus) {
	is, was := findCondition(status.Conditions, corev1.PodResizePending), findCondition(pod.Status.Conditions, corev1.PodResizePending)
	if is != nil && is.Reason == corev1.PodReasonInfeasible && (was == nil || was.ObservedGeneration != is.ObservedGeneration) {
		c.warn(pod, reasonResizeInfeasible, "Pod resize Infeasible: "+is.Message)
	}
}

// newProblems are those that a container has now and had not before.
func newProblems(pod *corev1.Pod, was, is *corev1.ContainerStatus) []problem {
	var found []problem
	if end := startError(is); end != nil {
		if known := startError(was); known == nil || known.ContainerID != end.ContainerID {
			found = append(found, problem{reasonFailed, "Error: " + end.Message})
		}
	}
	waiting := is.State.Waiting
	if waiting == nil || was.State.Waiting != nil && was.State.Waiting.Reason == waiting.Reason && (waiting.Message != "") == (was.State.Waiting.Message != "") {
		return found
	}
	if p := waitingProblem(pod, is.Name, waiting); p != nil {
		found = append(found, *p)
	}
	return found
}

func waitingProblem(pod *corev1.Pod, container string, waiting *corev1.ContainerStateWaiting) *problem {
	switch waiting.Reason {
	case reasonPull:
		return &problem{reasonFailed, fmt.Sprintf("Failed to pull image %q: %s", imageOf(pod, container), waiting.Message)}
	case reasonPullBackOff:
		return &problem{reasonBackOff, fmt.Sprintf("Back-off pulling image %q", imageOf(pod, container))}
	case reasonNeverPull:
		return &problem{reasonNeverPull, waiting.Message}
	case reasonCreateConfig, reasonCreate, reasonRun:
		return &problem{reasonFailed, "Error: " + waiting.Message}
	case reasonCrashLoop:
		return &problem{reasonBackOff, fmt.Sprintf("Back-off restarting failed container %s in pod %s_%s(%s)", container, pod.Name, pod.Namespace, pod.UID)}
	case reasonPostStart:
		return &problem{reasonFailedPostStart, waiting.Message}
	case reasonCreating, reasonInitializing:
		if waiting.Message != "" {
			return &problem{reasonFailedSandbox, waiting.Message}
		}
	}
	return nil
}

// startError is how the last start of a container failed; nil when it did not.
func startError(status *corev1.ContainerStatus) *corev1.ContainerStateTerminated {
	for _, end := range []*corev1.ContainerStateTerminated{status.State.Terminated, status.LastTerminationState.Terminated} {
		if end != nil && end.Reason == reasonStart {
			return end
		}
	}
	return nil
}

func imageOf(pod *corev1.Pod, container string) string {
	for _, one := range slices.Concat(pod.Spec.InitContainers, pod.Spec.Containers) {
		if one.Name == container {
			return one.Image
		}
	}
	return ""
}

// tellChanges makes an event of what was changed in a pod that has been
// dispatched and that its agent does not take up.
func (c *Controller) tellChanges(old, changed *corev1.Pod) {
	if old.UID != changed.UID || old.Generation == changed.Generation || cellagent.DispatchedTo(old) == "" || terminal(changed) {
		return
	}
	if errs := podsupport.Changes(old, changed); len(errs) > 0 {
		c.warn(changed, v1beta1.ReasonUnsupportedField, errs.ToAggregate().Error()+"; its containers go on as they were, a new pod gets the change")
	}
}

// maxNote is the API server's limit for the text of an event, in bytes.
const maxNote = 1024

// warn makes a Warning event about the pod.
func (c *Controller) warn(pod *corev1.Pod, reason, message string) {
	text := strings.ToValidUTF8(message[:min(len(message), maxNote)], "")
	c.Events.ForNode(pod.Spec.NodeName).Event(reference(pod, ""), corev1.EventTypeWarning, reason, text)
}
