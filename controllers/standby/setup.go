package standby

import (
	"context"
	"fmt"

	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/workqueue"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"kip.elotl.co/api/v1beta1"
	"kip.elotl.co/internal/retry"
)

// workers is how many classes are worked on at once.
const workers = 4

// classIndex finds the Cells of a class.
const classIndex = "standby.cellClassName"

// +kubebuilder:rbac:groups=kip.elotl.co,resources=cells,verbs=get;list;watch;create;delete
// +kubebuilder:rbac:groups=kip.elotl.co,resources=cellclasses,verbs=get;list;watch
// +kubebuilder:rbac:groups="",resources=pods,verbs=get;list;watch
// +kubebuilder:rbac:groups="",resources=pods/eviction,verbs=create
// +kubebuilder:rbac:groups=events.k8s.io,resources=events,verbs=create;patch

// SetupWithManager registers the controller.
func (c *Controller) SetupWithManager(mgr ctrl.Manager) error {
	index := func(o client.Object) []string { return []string{o.(*v1beta1.Cell).Spec.CellClassName} }
	if err := mgr.GetFieldIndexer().IndexField(context.Background(), &v1beta1.Cell{}, classIndex, index); err != nil {
		return fmt.Errorf("indexing Cells by class: %w", err)
	}
	return ctrl.NewControllerManagedBy(mgr).
		Named("standby").
		For(&v1beta1.CellClass{}, builder.WithPredicates(classMatters())).
		Watches(&v1beta1.Cell{}, c.cellEvents()).
		WithOptions(controller.Options{MaxConcurrentReconciles: workers, RateLimiter: retry.AfterErrors()}).
		Complete(reconcile.AsReconciler(mgr.GetClient(), c))
}

// classMatters lets pass what a class asks for, and whether it can be had.
func classMatters() predicate.Predicate {
	return predicate.Or(predicate.GenerationChangedPredicate{}, predicate.Funcs{UpdateFunc: func(e event.UpdateEvent) bool {
		was, wasOK := e.ObjectOld.(*v1beta1.CellClass)
		is, isOK := e.ObjectNew.(*v1beta1.CellClass)
		return wasOK && isOK && !equality.Semantic.DeepEqual(meta.FindStatusCondition(was.Status.Conditions, v1beta1.ConditionReady),
			meta.FindStatusCondition(is.Status.Conditions, v1beta1.ConditionReady))
	}})
}

// cellEvents enqueues the classes of Cells that came, went, were claimed, or of
// which something else is known now.
func (c *Controller) cellEvents() handler.EventHandler {
	type queue = workqueue.TypedRateLimitingInterface[reconcile.Request]
	enqueue := handler.EnqueueRequestsFromMapFunc(func(_ context.Context, o client.Object) []reconcile.Request {
		return []reconcile.Request{{NamespacedName: types.NamespacedName{Name: o.(*v1beta1.Cell).Spec.CellClassName}}}
	})
	return handler.Funcs{
		CreateFunc: enqueue.Create,
		UpdateFunc: func(ctx context.Context, e event.UpdateEvent, q queue) {
			was, wasOK := e.ObjectOld.(*v1beta1.Cell)
			is, isOK := e.ObjectNew.(*v1beta1.Cell)
			if wasOK && isOK && cellMatters(was, is) {
				enqueue.Update(ctx, e, q)
			}
		},
		DeleteFunc: func(ctx context.Context, e event.DeleteEvent, q queue) {
			c.forget(e.Object.GetUID())
			enqueue.Delete(ctx, e, q)
		},
	}
}

// cellMatters leaves out what changes only in the status of a Cell that goes on
// as it was.
func cellMatters(was, is *v1beta1.Cell) bool {
	drifted := func(cell *v1beta1.Cell) bool {
		return meta.IsStatusConditionTrue(cell.Status.Conditions, v1beta1.ConditionDrifted)
	}
	return was.UID != is.UID || was.Generation != is.Generation || was.DeletionTimestamp.IsZero() != is.DeletionTimestamp.IsZero() ||
		isReady(was) != isReady(is) || drifted(was) != drifted(is) || !equality.Semantic.DeepEqual(was.Labels, is.Labels)
}
