package pod

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/strategicpatch"

	"kip.elotl.co/api/v1beta1"
	"kip.elotl.co/internal/crashpoint"
)

// copyStatus writes the agent's status of the pod to the pod.
func (c *Controller) copyStatus(ctx context.Context, s *scope, seen observation) error {
	if terminal(s.pod) {
		return nil
	}
	status := merge(s.pod, seen.reply.Status, observedGeneration(s.pod, seen))
	if terminalPhase(status.Phase) {
		sandboxEnds(status, c.Clock.Now())
	}
	if !s.pod.DeletionTimestamp.IsZero() && sameButGeneration(&s.pod.Status, status) {
		return nil // that the deletion was seen shows soon enough
	}
	if err := c.writeStatus(ctx, s, status); err != nil {
		return err
	}
	c.tellProblems(s.pod, status, seen.reply.LastEvent > 0)
	return nil
}

// sameButGeneration says whether two statuses tell the same, of whatever
// generation of the pod.
func sameButGeneration(a, b *corev1.PodStatus) bool {
	a, b = a.DeepCopy(), b.DeepCopy()
	for _, status := range []*corev1.PodStatus{a, b} {
		status.ObservedGeneration = 0
		for i := range status.Conditions {
			status.Conditions[i].ObservedGeneration = 0
		}
	}
	return equality.Semantic.DeepEqual(a, b)
}

// observedGeneration is that of the version of the pod which the status is
// about: the newest that the agent has taken or refused. The deletion is the
// operator's own to see.
func observedGeneration(pod *corev1.Pod, seen observation) int64 {
	if agents := seen.reply.Status.ObservedGeneration; agents > 0 && pod.DeletionTimestamp.IsZero() {
		return min(max(agents, pod.Status.ObservedGeneration, seen.given.last().refused), pod.Generation)
	}
	return pod.Generation
}

// merge puts the agent's status over the pod's, and keeps what others write:
// conditions that the agent does not know, the QoS class, resize.
func merge(pod *corev1.Pod, agents corev1.PodStatus, generation int64) *corev1.PodStatus {
	status := agents.DeepCopy()
	is := pod.Status
	status.QOSClass = is.QOSClass
	status.NominatedNodeName = is.NominatedNodeName
	status.Resize = is.Resize
	status.ResourceClaimStatuses = is.ResourceClaimStatuses
	status.ExtendedResourceClaimStatus = is.ExtendedResourceClaimStatus
	status.EphemeralContainerStatuses = slices.DeleteFunc(status.EphemeralContainerStatuses, func(told corev1.ContainerStatus) bool {
		return !slices.ContainsFunc(pod.Spec.EphemeralContainers, func(has corev1.EphemeralContainer) bool { return has.Name == told.Name })
	})
	applyGates(pod, status)
	for i := range status.Conditions {
		condition := &status.Conditions[i]
		condition.ObservedGeneration = generation
		if known := findCondition(is.Conditions, condition.Type); known != nil && known.Status == condition.Status {
			condition.LastTransitionTime = known.LastTransitionTime
		}
	}
	for _, condition := range is.Conditions {
		if findCondition(agents.Conditions, condition.Type) == nil && !agentsAlone(condition.Type) {
			status.Conditions = append(status.Conditions, condition)
		}
	}
	status.ObservedGeneration = generation
	return status
}

// agentsAlone says whether a condition is over when the agent shows it no more.
func agentsAlone(kind corev1.PodConditionType) bool {
	return kind == corev1.PodResizePending || kind == corev1.PodResizeInProgress
}

func findCondition(conditions []corev1.PodCondition, kind corev1.PodConditionType) *corev1.PodCondition {
	for i := range conditions {
		if conditions[i].Type == kind {
			return &conditions[i]
		}
	}
	return nil
}

// notReadyConditions sets the conditions that readiness is read from.
func notReadyConditions(status *corev1.PodStatus, pod *corev1.Pod, reason, message string, now time.Time) {
	for _, kind := range []corev1.PodConditionType{corev1.ContainersReady, corev1.PodReady} {
		condition := corev1.PodCondition{
			Type: kind, Status: corev1.ConditionFalse, Reason: reason, Message: message,
			LastTransitionTime: metav1.NewTime(now), ObservedGeneration: pod.Generation,
		}
		if known := findCondition(status.Conditions, kind); known != nil {
			if known.Status == condition.Status {
				condition.LastTransitionTime = known.LastTransitionTime
			}
			*known = condition
			continue
		}
		status.Conditions = append(status.Conditions, condition)
	}
}

// sandboxEnds shows that a pod which has ended has no sandbox any more: that goes
// with its cell, after which nobody is there to tell.
func sandboxEnds(status *corev1.PodStatus, now time.Time) {
	if known := findCondition(status.Conditions, corev1.PodReadyToStartContainers); known != nil && known.Status != corev1.ConditionFalse {
		known.Status, known.LastTransitionTime = corev1.ConditionFalse, metav1.NewTime(now)
	}
}

// lost fails a pod whose cell is gone. What ran is reported as the kubelet
// reports containers that it cannot ask any more.
func (c *Controller) lost(ctx context.Context, s *scope, message string) error {
	status := s.pod.Status.DeepCopy()
	reason := lostReason(s.cell)
	status.Phase, status.Reason, status.Message = corev1.PodFailed, reason, message
	now := metav1.NewTime(c.Clock.Now())
	for i := range status.InitContainerStatuses {
		if container := &status.InitContainerStatuses[i]; container.State.Running != nil {
			endUnseen(container, message, now)
		}
	}
	for i := range status.EphemeralContainerStatuses {
		if container := &status.EphemeralContainerStatuses[i]; container.State.Running != nil {
			endUnseen(container, message, now)
		}
	}
	for i := range status.ContainerStatuses {
		endUnseen(&status.ContainerStatuses[i], message, now)
	}
	notReadyConditions(status, s.pod, reason, message, c.Clock.Now())
	sandboxEnds(status, c.Clock.Now())
	disrupted(status, s.pod, message, c.Clock.Now())
	if err := c.writeProblem(ctx, s, status); err != nil {
		return err
	}
	return c.endCell(ctx, s)
}

// lostReason tells a cell that powered itself off from other ends.
func lostReason(cell *v1beta1.Cell) string {
	if cell != nil && cell.DeletionTimestamp.IsZero() {
		if ready := meta.FindStatusCondition(cell.Status.Conditions, v1beta1.ConditionReady); ready != nil && ready.Reason == v1beta1.ReasonPoweredOff {
			return v1beta1.ReasonCellPoweredOff
		}
	}
	return v1beta1.ReasonCellLost
}

// endUnseen shows a container as ended that nobody can look at any more.
func endUnseen(container *corev1.ContainerStatus, message string, now metav1.Time) {
	container.Ready = false
	if container.State.Terminated != nil {
		return
	}
	ended := &corev1.ContainerStateTerminated{
		ExitCode: exitCodeUnknown, Reason: "ContainerStatusUnknown", Message: message, FinishedAt: now,
		ContainerID: container.ContainerID,
	}
	if container.State.Running != nil {
		ended.StartedAt = container.State.Running.StartedAt
	}
	container.State = corev1.ContainerState{Terminated: ended}
}

// exitCodeUnknown is what the kubelet gives to containers whose end it did not see.
const exitCodeUnknown = 137

// writeProblem writes a status whose reason is worth a Warning event, and makes
// that when it is new.
func (c *Controller) writeProblem(ctx context.Context, s *scope, status *corev1.PodStatus) error {
	if err := c.writeStatus(ctx, s, status); err != nil {
		return err
	}
	if status.Reason != s.pod.Status.Reason || status.Message != s.pod.Status.Message {
		for _, note := range notes(&s.pod.Status, status) {
			c.warn(s.pod, status.Reason, note)
		}
	}
	return nil
}

// notes are the texts of the events about a problem: each volume that cannot be
// made has one, unless it was told of before.
func notes(was, is *corev1.PodStatus) []string {
	if is.Reason != reasonFailedMount {
		return []string{is.Message}
	}
	var told []string
	if was.Reason == is.Reason {
		told = strings.Split(was.Message, "\n")
	}
	return slices.DeleteFunc(strings.Split(is.Message, "\n"), func(note string) bool { return slices.Contains(told, note) })
}

// writeStatus patches the pod's status as its node, when it differs.
func (c *Controller) writeStatus(ctx context.Context, s *scope, status *corev1.PodStatus) error {
	if equality.Semantic.DeepEqual(&s.pod.Status, status) {
		return nil
	}
	patch, err := statusPatch(s.pod, status)
	if err != nil {
		return err
	}
	crashpoint.Reach(ctx, crashpoint.PodStatusBefore, s.pod)
	patched, err := s.node.CoreV1().Pods(s.pod.Namespace).Patch(ctx, s.pod.Name, types.StrategicMergePatchType, patch, metav1.PatchOptions{}, "status")
	crashpoint.Reach(ctx, crashpoint.PodStatusAfter, s.pod)
	if apierrors.IsNotFound(err) || apierrors.IsConflict(err) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("writing the pod's status: %w", err)
	}
	c.written.Note(patched)
	return nil
}

// statusPatch holds the differences and the UID, so that it can only be
// applied to this very pod.
func statusPatch(pod *corev1.Pod, status *corev1.PodStatus) ([]byte, error) {
	before, err := json.Marshal(corev1.Pod{Status: pod.Status})
	if err != nil {
		return nil, fmt.Errorf("encoding the pod's status: %w", err)
	}
	after, err := json.Marshal(corev1.Pod{ObjectMeta: metav1.ObjectMeta{UID: pod.UID}, Status: *status})
	if err != nil {
		return nil, fmt.Errorf("encoding the pod's status: %w", err)
	}
	patch, err := strategicpatch.CreateTwoWayMergePatch(before, after, corev1.Pod{})
	if err != nil {
		return nil, fmt.Errorf("comparing the pod's status: %w", err)
	}
	return patch, nil
}
