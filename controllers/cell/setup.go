package cell

import (
	"context"
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/client-go/util/workqueue"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	"sigs.k8s.io/controller-runtime/pkg/source"

	"kip.elotl.co/api/v1beta1"
	"kip.elotl.co/internal/retry"
)

// workers is how many Cells are worked on at once; each waits for the cloud
// most of the time.
const workers = 50

// classIndex finds the Cells of a class.
const classIndex = "spec.cellClassName"

// +kubebuilder:rbac:groups=kip.elotl.co,resources=cells,verbs=get;list;watch;update;patch
// +kubebuilder:rbac:groups=kip.elotl.co,resources=cells/status,verbs=update
// +kubebuilder:rbac:groups=kip.elotl.co,resources=cellclasses,verbs=get;list;watch
// +kubebuilder:rbac:groups=events.k8s.io,resources=events,verbs=create;patch

// SetupWithManager registers the controller.
func (c *Controller) SetupWithManager(mgr ctrl.Manager) error {
	if err := mgr.Add(c.probes); err != nil {
		return fmt.Errorf("adding the prober: %w", err)
	}
	if c.Metrics != nil {
		if err := c.Metrics.Register(c.probes.metrics()); err != nil {
			return fmt.Errorf("registering metrics: %w", err)
		}
	}
	index := func(o client.Object) []string { return []string{o.(*v1beta1.Cell).Spec.CellClassName} }
	if err := mgr.GetFieldIndexer().IndexField(context.Background(), &v1beta1.Cell{}, classIndex, index); err != nil {
		return fmt.Errorf("indexing Cells by class: %w", err)
	}
	return ctrl.NewControllerManagedBy(mgr).
		Named("cell").
		Watches(&v1beta1.Cell{}, c.cellEvents()).
		Watches(&v1beta1.CellClass{}, handler.EnqueueRequestsFromMapFunc(c.cellsOfClass), builder.WithPredicates(classMatters())).
		Watches(&corev1.ConfigMap{}, handler.EnqueueRequestsFromMapFunc(c.cellsOfSource)).
		Watches(&corev1.Secret{}, handler.EnqueueRequestsFromMapFunc(c.cellsOfSource)).
		WatchesRawSource(source.Channel(c.probes.events, &handler.TypedEnqueueRequestForObject[*v1beta1.Cell]{})).
		WithOptions(controller.Options{MaxConcurrentReconciles: workers, RateLimiter: retry.AfterErrors()}).
		Complete(reconcile.AsReconciler(mgr.GetClient(), c))
}

// cellEvents enqueues Cells, and takes note of those that appear while we
// watch and of those that are gone.
func (c *Controller) cellEvents() handler.EventHandler {
	type queue = workqueue.TypedRateLimitingInterface[reconcile.Request]
	enqueue := &handler.EnqueueRequestForObject{}
	return handler.Funcs{
		CreateFunc: func(ctx context.Context, e event.CreateEvent, q queue) {
			if e.IsInInitialList {
				c.learn(e.Object)
			} else {
				c.fresh.add(e.Object.GetUID())
			}
			enqueue.Create(ctx, e, q)
		},
		UpdateFunc: enqueue.Update,
		DeleteFunc: func(_ context.Context, e event.DeleteEvent, _ queue) {
			if cell, ok := e.Object.(*v1beta1.Cell); ok {
				c.forget(cell)
			}
		},
	}
}

// learn takes from a Cell of an earlier process what its agent reported.
func (c *Controller) learn(o client.Object) {
	cell, ok := o.(*v1beta1.Cell)
	if ok && cell.Status.Agent != nil && cell.Status.Agent.Memory != nil {
		c.Catalogue.Memory.Report(cell.Status.InstanceType, cell.Status.Agent.Memory.Value())
	}
}

// classMatters lets pass the changes of a class that may decide about its
// Cells: all but its metadata and what changes with every Cell, its counts and
// the free addresses of its subnets.
func classMatters() predicate.Predicate {
	return predicate.Funcs{UpdateFunc: func(e event.UpdateEvent) bool {
		was, wasOK := e.ObjectOld.(*v1beta1.CellClass)
		is, isOK := e.ObjectNew.(*v1beta1.CellClass)
		if !wasOK || !isOK || was.UID != is.UID || was.Generation != is.Generation {
			return true
		}
		return !equality.Semantic.DeepEqual(withoutCounts(was.Status), withoutCounts(is.Status))
	}}
}

func withoutCounts(status v1beta1.CellClassStatus) v1beta1.CellClassStatus {
	status.Cells, status.ReadyCells = 0, 0
	status.Subnets = slices.Clone(status.Subnets)
	for i := range status.Subnets {
		status.Subnets[i].FreeAddresses = 0
	}
	return status
}

func (c *Controller) cellsOfClass(ctx context.Context, class client.Object) []reconcile.Request {
	if !class.GetDeletionTimestamp().IsZero() {
		c.rules.forget(class.GetUID()) // nothing is chosen by them any more
		c.capacity.Forget(class.GetUID())
	}
	var cells v1beta1.CellList
	if err := c.Client.List(ctx, &cells, client.MatchingFields{classIndex: class.GetName()}); err != nil {
		return nil
	}
	requests := make([]reconcile.Request, 0, len(cells.Items))
	for i := range cells.Items {
		requests = append(requests, reconcile.Request{NamespacedName: client.ObjectKeyFromObject(&cells.Items[i])})
	}
	return requests
}
