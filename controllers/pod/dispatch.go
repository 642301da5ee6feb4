package pod

import (
	"context"
	"errors"
	"net/http"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	ctrl "sigs.k8s.io/controller-runtime"

	"kip.elotl.co/api/v1beta1"
	"kip.elotl.co/internal/errtext"
	"kip.elotl.co/internal/itzo"
	"kip.elotl.co/internal/podspec"
)

// dispatchTimeout bounds one try at giving a pod to its agent.
const dispatchTimeout = 2 * time.Minute

// reasonFailedMount is the kubelet's reason for a volume that cannot be made.
const reasonFailedMount = "FailedMount"

// dispatch sees to it that the agent, which has no pod yet, is given this one.
func (c *Controller) dispatch(ctx context.Context, s *scope, agent *itzo.Client, seen observation) (ctrl.Result, error) {
	d, err := c.deliveryOf(ctx, s, agent, seen)
	if err != nil {
		return ctrl.Result{}, err
	}
	if refusal := refuseUnits(podspec.WithDNS(s.pod, d.dns), seen.generation); refusal != nil {
		if dispatched(s.pod) {
			return ctrl.Result{}, c.refused(ctx, s, refusal)
		}
		return ctrl.Result{}, c.noteRefusal(ctx, s, &agentRefusal{
			agent: seen.generation.Info(), generation: s.pod.Generation, message: refusal.message})
	}
	made := seen.calls[callDispatch]
	if delivering(seen) || made.state == answered && made.err == nil {
		return c.awaitAgent(ctx, s, seen)
	}
	if made.state == answered {
		result, due, err := c.notDispatched(ctx, s, seen)
		if err != nil || !due {
			return result, err
		}
	}
	c.observers.start(s.pod.UID, callDispatch, dispatchTimeout, func(ctx context.Context) error {
		if seen.generation != "" {
			return c.deliverUnits(ctx, unitDelivery{d, s.cell.Status.IP})
		}
		return c.deliver(ctx, d)
	})
	return ctrl.Result{RequeueAfter: sayWhyAfter}, nil
}

// notDispatched says on the pod why its agent has not got it, and whether the
// next try is due. A Forbidden just after binding is usual: the authorizer
// learns of the pod a little later.
func (c *Controller) notDispatched(ctx context.Context, s *scope, seen observation) (result ctrl.Result, due bool, err error) {
	made := seen.calls[callDispatch]
	why := &refusal{reason: v1beta1.ReasonDispatchFailed, message: errtext.Of(made.err)}
	retryAt := made.retryAt
	var missing *missingObject
	var refused *agentRefusal
	switch {
	case errors.As(made.err, &refused) && s.pod.Status.StartTime == nil:
		return ctrl.Result{}, false, c.noteRefusal(ctx, s, refused)
	case errors.As(made.err, &missing):
		why.reason, why.message = reasonFailedMount, missing.Error()
		awaited := seen.calls[callAwait]
		if awaited.began.Before(made.began) {
			c.observers.start(s.pod.UID, callAwait, awaitTimeout, missing.await)
		}
		if awaited.began.Before(made.began) || awaited.state == underWay {
			return ctrl.Result{}, false, c.refused(ctx, s, why)
		}
		retryAt = awaited.retryAt
	case apierrors.IsForbidden(made.err) && c.Clock.Since(s.pod.CreationTimestamp.Time) < newPod:
		why = nil
	case itzo.IsCode(made.err, http.StatusBadRequest):
		why.reason = v1beta1.ReasonUnsupportedField
	}
	if why != nil {
		err = c.refused(ctx, s, why)
	}
	left := retryAt.Sub(c.Clock.Now())
	return ctrl.Result{RequeueAfter: max(left, time.Millisecond)}, left <= 0, err
}
