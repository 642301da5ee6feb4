package pod

import (
	"context"
	"fmt"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	ctrl "sigs.k8s.io/controller-runtime"

	"kip.elotl.co/api/v1beta1"
	"kip.elotl.co/internal/errtext"
	"kip.elotl.co/internal/itzo"
)

const (
	// sayWhyAfter is how long a pod may wait before it says what for.
	sayWhyAfter = 10 * time.Second
	// settleTime is how long the containers may take to start before the steps
	// of that are written to the pod: most are running before anybody looks.
	settleTime = 3 * time.Second
)

// pending says on the pod what keeps its cell from being ready. What is only
// the time that it takes is said when that gets long.
func (c *Controller) pending(ctx context.Context, s *scope) (ctrl.Result, error) {
	ready := meta.FindStatusCondition(s.cell.Status.Conditions, v1beta1.ConditionReady)
	if ready != nil && !usual(ready.Reason) {
		return ctrl.Result{}, c.refused(ctx, s, blame(ready))
	}
	if ready == nil {
		ready = &metav1.Condition{Reason: v1beta1.ReasonCellPending, Message: fmt.Sprintf("cell %s has not been begun yet", s.cell.Name)}
	}
	left := sayWhyAfter - c.Clock.Since(s.cell.CreationTimestamp.Time)
	reason, message := ready.Reason, ready.Message
	if left > 0 || dispatched(s.pod) {
		reason, message = "", ""
	}
	after := ctrl.Result{RequeueAfter: max(left, 0)}
	if s.pod.Status.Reason == reason && s.pod.Status.Message == message {
		return after, nil
	}
	status := s.pod.Status.DeepCopy()
	status.Reason, status.Message = reason, message
	notReadyConditions(status, s.pod, reason, message, c.Clock.Now())
	return after, c.writeStatus(ctx, s, status)
}

func usual(reason string) bool {
	switch reason {
	case v1beta1.ReasonLaunching, v1beta1.ReasonWaitingForAgent:
		return true
	}
	return false
}

// awaitAgent says on a pod that waits for its agent's first word for long what
// it waits for.
func (c *Controller) awaitAgent(ctx context.Context, s *scope, seen observation) (ctrl.Result, error) {
	made := seen.calls[callDispatch]
	since, patience := seen.since, sayWhyAfter
	switch {
	case s.pod.Status.Phase == corev1.PodRunning:
		patience = silenceTime
	case made.failures > 0:
		return ctrl.Result{}, nil
	case made.began.After(since):
		since = made.began
	}
	return c.silent(ctx, s, seen, since.Add(patience))
}

// silenceTime is how long the agent of a running pod may not answer before the
// pod is no longer taken to be ready: as long as a node may be silent
// (kube-controller-manager's --node-monitor-grace-period once was).
const silenceTime = 40 * time.Second

// silent says on the pod, from a time on, that its agent does not answer. What
// is known of its containers stands.
func (c *Controller) silent(ctx context.Context, s *scope, seen observation, from time.Time) (ctrl.Result, error) {
	if left := from.Sub(c.Clock.Now()); left > 0 {
		return ctrl.Result{RequeueAfter: left}, nil
	}
	why := &refusal{reason: v1beta1.ReasonAgentSilent, message: fmt.Sprintf("the agent of cell %s at %s has not answered yet", s.cell.Name, s.cell.Status.IP)}
	if seen.err != nil {
		why.message = fmt.Sprintf("the agent of cell %s does not answer: %s", s.cell.Name, errtext.Of(seen.err))
	}
	if itzo.IsWrongIdentity(seen.err) || itzo.IsRefused(seen.err) {
		why.reason = v1beta1.ReasonWrongIdentity
	}
	return ctrl.Result{}, c.refused(ctx, s, why)
}

// settling is how long the agent's status may still be kept back: as long as
// the containers are only starting, without a problem, and nothing was written yet.
func (c *Controller) settling(pod *corev1.Pod, seen observation) time.Duration {
	if pod.Status.StartTime != nil || pod.Status.Reason != "" || !starting(seen.reply.Status) {
		return 0
	}
	return settleTime - c.Clock.Since(seen.taken)
}

func starting(status corev1.PodStatus) bool {
	if status.Phase != corev1.PodPending {
		return false
	}
	for _, container := range status.InitContainerStatuses {
		if container.State.Waiting == nil {
			return false // init containers that run are news
		}
	}
	for _, container := range slices.Concat(status.InitContainerStatuses, status.ContainerStatuses) {
		waiting := container.State.Waiting
		if waiting != nil && (waiting.Reason != reasonCreating && waiting.Reason != reasonInitializing || waiting.Message != "") {
			return false
		}
	}
	return true
}
