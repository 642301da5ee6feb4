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
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"kip.elotl.co/api/v1beta1"
	"kip.elotl.co/internal/itzo"
	"kip.elotl.co/internal/podspec"
)

// dispatchTimeout bounds one try at giving a pod to its agent.
const dispatchTimeout = 2 * time.Minute

// dispatch gives the pod and the content of its volumes to the agent.
func (c *Controller) dispatch(ctx context.Context, s *scope, agent *itzo.Client) (ctrl.Result, error) {
	ctx, cancel := context.WithTimeout(ctx, dispatchTimeout)
	defer cancel()
	if err := c.bearOutages(ctx, s.pod); err != nil {
		return ctrl.Result{}, err
	}
	objects := &nodeObjects{ctx: ctx, client: s.node, pod: s.pod}
	packages, err := podspec.Packages(s.pod, objects)
	if missing := (*podspec.MissingError)(nil); errors.As(err, &missing) {
		return ctrl.Result{RequeueAfter: lookAgain}, c.refused(ctx, s, &refusal{reason: reasonFailedMount, message: missing.Error()})
	}
	if err != nil {
		return c.notDispatched(ctx, s, err)
	}
	name := itzo.FormatPodName(s.pod.Namespace, s.pod.Name)
	for _, p := range packages {
		var archive bytes.Buffer
		if err := itzo.WritePackage(&archive, p.Files); err != nil {
			return c.notDispatched(ctx, s, fmt.Errorf("packing volume %q: %w", p.Name, err))
		}
		if err := agent.Deploy(ctx, name, p.Name, &archive); err != nil {
			return c.notDispatched(ctx, s, fmt.Errorf("sending volume %q: %w", p.Name, err))
		}
	}
	parameters := podspec.Parameters(s.pod, s.cell.Status.PodIP)
	if parameters.Credentials, err = podspec.Credentials(s.pod, objects); err != nil {
		return c.notDispatched(ctx, s, err)
	}
	err = agent.UpdatePod(ctx, parameters)
	if itzo.IsCode(err, http.StatusBadRequest) {
		return ctrl.Result{}, c.refused(ctx, s, &refusal{reason: v1beta1.ReasonUnsupportedField, message: err.Error()})
	}
	if err != nil {
		return c.notDispatched(ctx, s, err)
	}
	c.observers.dispatched(s.pod.UID)
	return ctrl.Result{}, nil
}

// reasonFailedMount is the kubelet's reason for a volume that cannot be made.
const reasonFailedMount = "FailedMount"

// notDispatched says so on the pod; the workqueue tries again. A Forbidden
// just after binding is usual: the authorizer learns of the pod a little later.
func (c *Controller) notDispatched(ctx context.Context, s *scope, cause error) (ctrl.Result, error) {
	if apierrors.IsForbidden(cause) && c.Clock.Since(s.pod.CreationTimestamp.Time) < lookAgain {
		return ctrl.Result{RequeueAfter: 100 * time.Millisecond}, nil
	}
	if err := c.refused(ctx, s, &refusal{reason: v1beta1.ReasonDispatchFailed, message: cause.Error()}); err != nil {
		return ctrl.Result{}, err
	}
	return ctrl.Result{}, fmt.Errorf("dispatching to cell %s: %w", s.cell.Name, cause)
}

// bearOutages clears the time limits of the tolerations that the API server
// gives every pod, so that an outage of the operator, which makes the virtual
// node look unreachable, evicts no healthy pod.
func (c *Controller) bearOutages(ctx context.Context, pod *corev1.Pod) error {
	before := pod.DeepCopy()
	for i := range pod.Spec.Tolerations {
		t := &pod.Spec.Tolerations[i]
		if t.Key == corev1.TaintNodeNotReady || t.Key == corev1.TaintNodeUnreachable {
			t.TolerationSeconds = nil
		}
	}
	patch := client.MergeFrom(before)
	if data, err := patch.Data(pod); err == nil && string(data) == "{}" {
		return nil
	}
	if err := c.Client.Patch(ctx, pod, patch); err != nil {
		return fmt.Errorf("clearing tolerationSeconds: %w", err)
	}
	c.written.Note(pod)
	return nil
}
