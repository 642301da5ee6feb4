// Package cellclass resolves CellClasses against the cloud, and keeps the
// virtual node and the RuntimeClass of each.
package cellclass

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
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
	"kip.elotl.co/internal/selection"
	"kip.elotl.co/internal/virtualnode"
)

// How often a class is looked up again: images and subnets change by
// themselves, and what was missing may have been made. What ends in an error of
// the API server is tried again by package retry.
const (
	resolveEvery = 10 * time.Minute
	retryEvery   = 15 * time.Second
	// resolveTimeout bounds one look-up, all its calls included.
	resolveTimeout = time.Minute
)

// Cloud is what this controller needs of the cloud.
type Cloud interface {
	cloud.Images
	cloud.Networks
	cloud.Parameters
	cloud.Profiles
}

// Catalogue tells which instance types there are.
type Catalogue interface {
	// Index is nil before they are known; Ready is closed then.
	Index() *selection.Index
	Ready() <-chan struct{}
	// NotReady says why there is no Index yet.
	NotReady() string
}

// Options are what a Controller is made of.
type Options struct {
	Client client.Client
	// Live reads what the cache may lack.
	Live      client.Reader
	Cloud     Cloud
	Catalogue Catalogue
	Leases    *virtualnode.Leases
	Ports     *virtualnode.Ports
	Events    events.EventRecorder
	Clock     clock.PassiveClock
	// About is what the nodes say of the operator; their Runtime and the port of
	// Kubelet are found out.
	About virtualnode.About
	// Serving tells how the kubelet API is served; nil: nothing is said of it.
	Serving *virtualnode.ServingState
	// ServesAgent: the operator serves an agent to cells whose class names none.
	ServesAgent bool
	// Version is the operator's, which the agent has that it serves.
	Version string
	// Namespace is the operator's own.
	Namespace string
}

// Controller reconciles CellClasses.
type Controller struct {
	Options
	resolved resolutions
	written  *ownwrites.Versions
	leaving  *leaving
}

// New makes a Controller; SetupWithManager registers it.
func New(options Options) *Controller {
	return &Controller{Options: options, resolved: newResolutions(), written: ownwrites.New(), leaving: newLeaving()}
}

// Reconcile keeps a class's objects, which needs no cloud, and then looks the
// class up in the cloud.
func (c *Controller) Reconcile(ctx context.Context, class *v1beta1.CellClass) (ctrl.Result, error) {
	if c.written.Stale(class) {
		return ctrl.Result{}, nil
	}
	if !class.DeletionTimestamp.IsZero() {
		return c.finalize(ctx, class)
	}
	if err := c.addFinalizer(ctx, class); err != nil {
		return ctrl.Result{}, client.IgnoreNotFound(err)
	}
	before := class.DeepCopy()
	cells, err := c.cellsOf(ctx, class)
	if err != nil {
		return ctrl.Result{}, err
	}
	count(class, cells)
	class.Status.Node = v1beta1.NodeName(class.Name)
	c.sayServing(class)
	after := retryEvery
	err = c.keepObjects(ctx, class, cells)
	if why := (*finding)(nil); errors.As(err, &why) {
		c.lacksObjects(class, why)
		err = nil
	} else {
		after = c.resolve(ctx, class)
	}
	c.noteAgents(class, cells)
	if meta.IsStatusConditionTrue(class.Status.Conditions, v1beta1.ConditionNodesLeaving) {
		after = min(after, leaveAfter)
	}
	// The nodes and their labels follow from what was found: the write's event brings them.
	return ctrl.Result{RequeueAfter: min(after, virtualnode.HeartbeatEvery)}, errors.Join(err, c.writeStatus(ctx, before, class))
}

// addFinalizer changes the metadata alone: an update would write the
// quantities of the spec anew, in another spelling than the user's.
func (c *Controller) addFinalizer(ctx context.Context, class *v1beta1.CellClass) error {
	before := class.DeepCopy()
	if !controllerutil.AddFinalizer(class, v1beta1.Finalizer) {
		return nil
	}
	if err := c.Client.Patch(ctx, class, client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{})); err != nil {
		return fmt.Errorf("adding the finalizer: %w", err)
	}
	return nil
}

func (c *Controller) writeStatus(ctx context.Context, before, class *v1beta1.CellClass) error {
	if equality.Semantic.DeepEqual(before.Status, class.Status) {
		return nil
	}
	if err := c.Client.Status().Update(ctx, class); err != nil {
		// What was found is not in status: it is to be looked up again.
		c.resolved.forget(class.UID)
		return client.IgnoreNotFound(fmt.Errorf("writing status: %w", err))
	}
	c.written.Note(class)
	c.announce(before, class)
	return nil
}

// announce makes events of conditions that are new.
func (c *Controller) announce(before, class *v1beta1.CellClass) {
	for _, kind := range []string{v1beta1.ConditionReady, v1beta1.ConditionDefaultType, v1beta1.ConditionKubeletServing} {
		was := meta.FindStatusCondition(before.Status.Conditions, kind)
		is := meta.FindStatusCondition(class.Status.Conditions, kind)
		if kind == v1beta1.ConditionKubeletServing && was != nil && is != nil && was.Reason == is.Reason && is.Status == metav1.ConditionTrue {
			continue // by another leader, or with a newer certificate
		}
		c.announceOne(class, was, is)
	}
	// Whose message counts down are told of once.
	for _, kind := range []string{v1beta1.ConditionInUse, v1beta1.ConditionNodesLeaving} {
		if meta.FindStatusCondition(before.Status.Conditions, kind) == nil {
			c.announceOne(class, nil, meta.FindStatusCondition(class.Status.Conditions, kind))
		}
	}
}

func (c *Controller) announceOne(class *v1beta1.CellClass, was, is *metav1.Condition) {
	if is == nil || (was != nil && was.Reason == is.Reason && was.Message == is.Message) {
		return
	}
	kind := corev1.EventTypeWarning
	if is.Status == metav1.ConditionTrue && is.Reason != v1beta1.ReasonNotRenewed {
		kind = corev1.EventTypeNormal
	}
	c.Events.Eventf(class, nil, kind, is.Reason, "Resolve", "%s", is.Message)
}

// cellsOf are the Cells of a class in the order of their names.
func (c *Controller) cellsOf(ctx context.Context, class *v1beta1.CellClass) ([]v1beta1.Cell, error) {
	var cells v1beta1.CellList
	if err := c.Client.List(ctx, &cells); err != nil {
		return nil, fmt.Errorf("listing Cells: %w", err)
	}
	ours := slices.DeleteFunc(cells.Items, func(cell v1beta1.Cell) bool { return cell.Spec.CellClassName != class.Name })
	slices.SortFunc(ours, func(a, b v1beta1.Cell) int { return strings.Compare(a.Name, b.Name) })
	return ours, nil
}

func count(class *v1beta1.CellClass, cells []v1beta1.Cell) {
	class.Status.Cells, class.Status.ReadyCells = int32(len(cells)), 0
	for i := range cells {
		if cells[i].Status.Phase == v1beta1.CellReady {
			class.Status.ReadyCells++
		}
	}
}

// finalize holds the class until its Cells are gone, its node cordoned, then
// takes its objects away.
func (c *Controller) finalize(ctx context.Context, class *v1beta1.CellClass) (ctrl.Result, error) {
	if !controllerutil.ContainsFinalizer(class, v1beta1.Finalizer) {
		return ctrl.Result{}, nil
	}
	before := class.DeepCopy()
	cells, err := c.cellsOf(ctx, class)
	if err != nil {
		return ctrl.Result{}, err
	}
	if count(class, cells); len(cells) > 0 {
		meta.SetStatusCondition(&class.Status.Conditions, metav1.Condition{
			Type: v1beta1.ConditionInUse, Status: metav1.ConditionTrue, Reason: v1beta1.ReasonCellsExist,
			Message: waitsFor(class.Status.Nodes, cells), ObservedGeneration: class.Generation,
		})
		err := c.keepObjects(ctx, class, cells)
		if why := (*finding)(nil); errors.As(err, &why) {
			err = nil // what cannot be is not needed any more
		}
		return ctrl.Result{RequeueAfter: virtualnode.HeartbeatEvery}, errors.Join(err, c.writeStatus(ctx, before, class))
	}
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

// namedAtMost is how many Cells or pods a message names at most.
const namedAtMost = 5

// waitsFor says which Cells hold up the deletion of their class, whose nodes are
// named.
func waitsFor(nodes []string, cells []v1beta1.Cell) string {
	names := make([]string, len(cells))
	for i := range cells {
		names[i] = cells[i].Name
		if pod := cells[i].Spec.PodRef; pod != nil {
			names[i] += fmt.Sprintf(" (pod %s/%s)", pod.Namespace, pod.Name)
		}
	}
	cordoned := "the node is cordoned"
	if len(nodes) > 1 {
		cordoned = "its nodes are cordoned"
	}
	return fmt.Sprintf("%s; the class goes when its %d Cells are deleted: %s", cordoned, len(cells), handful(names))
}

// handful lists some names, and says how many more there are.
func handful(names []string) string {
	list := strings.Join(names[:min(len(names), namedAtMost)], ", ")
	if more := len(names) - namedAtMost; more > 0 {
		list += fmt.Sprintf(" and %d more", more)
	}
	return list
}
