package pod

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/client-go/kubernetes"
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
	made := seen.calls[callDispatch]
	if made.state == underWay || made.state == answered && made.err == nil {
		return c.awaitAgent(ctx, s, seen)
	}
	if made.state == answered {
		result, due, err := c.notDispatched(ctx, s, seen)
		if err != nil || !due {
			return result, err
		}
	}
	d := delivery{pod: s.pod.DeepCopy(), podIP: s.cell.Status.PodIP, node: s.node, agent: agent}
	c.observers.start(s.pod.UID, callDispatch, dispatchTimeout, func(ctx context.Context) error { return c.deliver(ctx, d) })
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
	switch {
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

// delivery is what one try at giving a pod to its agent takes.
type delivery struct {
	pod   *corev1.Pod // a copy
	podIP string
	node  kubernetes.Interface
	agent *itzo.Client
}

// errEnding: there is nothing to be given to an agent any more.
var errEnding = errors.New("the pod is being deleted")

// unsureError: the agent was asked to take the pod, and may have done so.
type unsureError struct{ error }

// Unwrap gives why there was no answer.
func (e *unsureError) Unwrap() error { return e.error }

// deliver gives the pod and the content of its volumes to the agent.
func (c *Controller) deliver(ctx context.Context, d delivery) error {
	objects := &nodeObjects{ctx: ctx, client: d.node, pod: d.pod}
	if err := deliverVolumes(ctx, d, objects); err != nil {
		return err
	}
	credentials, err := podspec.Credentials(d.pod, objects)
	if err != nil {
		return err
	}
	if err := c.mark(ctx, d.pod); err != nil {
		return err
	}
	if !d.pod.DeletionTimestamp.IsZero() {
		return errEnding
	}
	parameters := podspec.Parameters(d.pod, d.podIP)
	parameters.Credentials = credentials
	err = d.agent.UpdatePod(ctx, parameters)
	if refused := (*itzo.StatusError)(nil); err == nil || errors.As(err, &refused) {
		return err
	}
	return &unsureError{err}
}

func deliverVolumes(ctx context.Context, d delivery, objects *nodeObjects) error {
	packages, err := podspec.Packages(d.pod, objects)
	if missing := (*podspec.MissingError)(nil); errors.As(err, &missing) {
		return &missingObject{MissingError: missing, objects: objects, last: objects.last}
	}
	if err != nil {
		return err
	}
	name := itzo.FormatPodName(d.pod.Namespace, d.pod.Name)
	for _, p := range packages {
		var archive bytes.Buffer
		if err := itzo.WritePackage(&archive, p.Files); err != nil {
			return fmt.Errorf("packing volume %q: %w", p.Name, err)
		}
		if err := d.agent.Deploy(ctx, name, p.Name, &archive); err != nil {
			return fmt.Errorf("sending volume %q: %w", p.Name, err)
		}
	}
	return nil
}
