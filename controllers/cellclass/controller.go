// Package cellclass resolves CellClasses against the cloud, and keeps the
// virtual node and the RuntimeClass of each.
package cellclass

import (
	"context"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/events"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"

	"kip.elotl.co/api/v1beta1"
	"kip.elotl.co/internal/cloud"
	"kip.elotl.co/internal/ownwrites"
	"kip.elotl.co/internal/virtualnode"
)

// How often a class is looked up again: images and subnets change by
// themselves, and what was missing may have been made.
const (
	resolveEvery = 10 * time.Minute
	retryEvery   = 15 * time.Second
)

// Cloud is what this controller needs of the cloud.
type Cloud interface {
	cloud.Images
	cloud.Networks
	cloud.InstanceTypes
}

// Options are what a Controller is made of.
type Options struct {
	Client client.Client
	Cloud  Cloud
	Leases *virtualnode.Leases
	Events events.EventRecorder
	Clock  clock.PassiveClock
	// Kubelet is where the operator serves the kubelet API.
	Kubelet virtualnode.Endpoint
	// Version is the operator's.
	Version string
}

// Controller reconciles CellClasses.
type Controller struct {
	Options
	resolved resolutions
	written  *ownwrites.Versions
}

// New makes a Controller; SetupWithManager registers it.
func New(options Options) *Controller {
	return &Controller{Options: options, resolved: newResolutions(), written: ownwrites.New()}
}

// Reconcile looks a class up in the cloud and makes its objects agree with it.
func (c *Controller) Reconcile(ctx context.Context, class *v1beta1.CellClass) (ctrl.Result, error) {
	if c.written.Stale(class) {
		return ctrl.Result{}, nil
	}
	if !class.DeletionTimestamp.IsZero() {
		return c.finalize(ctx, class)
	}
	if controllerutil.AddFinalizer(class, v1beta1.Finalizer) {
		if err := c.Client.Update(ctx, class); err != nil {
			return ctrl.Result{}, client.IgnoreNotFound(fmt.Errorf("adding the finalizer: %w", err))
		}
	}
	before := class.DeepCopy()
	after := c.resolve(ctx, class)
	if err := c.countCells(ctx, class); err != nil {
		return ctrl.Result{}, err
	}
	class.Status.Node = v1beta1.NodeName(class.Name)
	if err := c.writeStatus(ctx, before, class); err != nil {
		return ctrl.Result{}, err
	}
	if err := c.keepNode(ctx, class); err != nil {
		return ctrl.Result{}, err
	}
	return ctrl.Result{RequeueAfter: after}, c.keepRuntimeClass(ctx, class)
}

func (c *Controller) writeStatus(ctx context.Context, before, class *v1beta1.CellClass) error {
	if equality.Semantic.DeepEqual(before.Status, class.Status) {
		return nil
	}
	was := meta.FindStatusCondition(before.Status.Conditions, v1beta1.ConditionReady)
	is := meta.FindStatusCondition(class.Status.Conditions, v1beta1.ConditionReady)
	if is != nil && (was == nil || was.Reason != is.Reason || was.Message != is.Message) {
		kind := corev1.EventTypeWarning
		if is.Status == metav1.ConditionTrue {
			kind = corev1.EventTypeNormal
		}
		c.Events.Eventf(class, nil, kind, is.Reason, "Resolve", "%s", is.Message)
	}
	if err := c.Client.Status().Update(ctx, class); err != nil {
		// What was found is not in status: it is to be looked up again.
		c.resolved.forget(class.UID)
		return client.IgnoreNotFound(fmt.Errorf("writing status: %w", err))
	}
	c.written.Note(class)
	return nil
}

func (c *Controller) countCells(ctx context.Context, class *v1beta1.CellClass) error {
	var cells v1beta1.CellList
	if err := c.Client.List(ctx, &cells); err != nil {
		return fmt.Errorf("listing Cells: %w", err)
	}
	class.Status.Cells, class.Status.ReadyCells = 0, 0
	for i := range cells.Items {
		if cells.Items[i].Spec.CellClassName != class.Name {
			continue
		}
		class.Status.Cells++
		if cells.Items[i].Status.Phase == v1beta1.CellReady {
			class.Status.ReadyCells++
		}
	}
	return nil
}

// finalize holds the class until its Cells are gone, then takes its objects away.
func (c *Controller) finalize(ctx context.Context, class *v1beta1.CellClass) (ctrl.Result, error) {
	if !controllerutil.ContainsFinalizer(class, v1beta1.Finalizer) {
		return ctrl.Result{}, nil
	}
	before := class.DeepCopy()
	if err := c.countCells(ctx, class); err != nil {
		return ctrl.Result{}, err
	}
	if n := class.Status.Cells; n > 0 {
		meta.SetStatusCondition(&class.Status.Conditions, metav1.Condition{
			Type: v1beta1.ConditionInUse, Status: metav1.ConditionTrue, Reason: v1beta1.ReasonCellsExist,
			Message: fmt.Sprintf("%d Cells of this class exist; it goes when they are deleted (kubectl get cells)", n), ObservedGeneration: class.Generation,
		})
		return ctrl.Result{}, c.writeStatus(ctx, before, class)
	}
	c.Leases.Drop(v1beta1.NodeName(class.Name))
	c.resolved.forget(class.UID)
	c.written.Forget(class.UID)
	if err := c.removeObjects(ctx, class); err != nil {
		return ctrl.Result{}, err
	}
	controllerutil.RemoveFinalizer(class, v1beta1.Finalizer)
	if err := c.Client.Update(ctx, class); err != nil {
		return ctrl.Result{}, client.IgnoreNotFound(fmt.Errorf("removing the finalizer: %w", err))
	}
	return ctrl.Result{}, nil
}
