package pod

import (
	"context"
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/workqueue"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	"sigs.k8s.io/controller-runtime/pkg/source"

	"kip.elotl.co/api/v1beta1"
	"kip.elotl.co/internal/cellagent"
	"kip.elotl.co/internal/retry"
	"kip.elotl.co/internal/virtualnode"
)

// workers is how many pods are worked on at once; each waits for the API server
// most of the time, none for an agent.
const workers = 50

// The operator's own identity:
// +kubebuilder:rbac:groups="",resources=pods,verbs=get;list;watch;patch
// +kubebuilder:rbac:groups="",resources=nodes,verbs=get;list;watch
// +kubebuilder:rbac:groups=kip.elotl.co,resources=cells,verbs=get;list;watch;create;delete;patch
// +kubebuilder:rbac:groups=kip.elotl.co,resources=cellclasses,verbs=get;list;watch
// +kubebuilder:rbac:groups="",resources=events,verbs=create;patch

// As a node (constrained impersonation, Kubernetes 1.36):
// +kubebuilder:rbac:groups=authentication.k8s.io,resources=nodes,verbs="impersonate:arbitrary-node"
// +kubebuilder:rbac:groups="",resources=secrets;configmaps,verbs="impersonate-on:arbitrary-node:get";"impersonate-on:arbitrary-node:watch"
// +kubebuilder:rbac:groups="",resources=services,verbs="impersonate-on:arbitrary-node:get";"impersonate-on:arbitrary-node:list"
// +kubebuilder:rbac:groups="",resources=serviceaccounts/token,verbs="impersonate-on:arbitrary-node:create"
// +kubebuilder:rbac:groups="",resources=pods/status,verbs="impersonate-on:arbitrary-node:patch"
// +kubebuilder:rbac:groups="",resources=pods,verbs="impersonate-on:arbitrary-node:delete"

// SetupWithManager registers the controller.
func (c *Controller) SetupWithManager(mgr ctrl.Manager) error {
	if err := mgr.Add(c.observers); err != nil {
		return fmt.Errorf("adding the observers: %w", err)
	}
	if err := mgr.GetFieldIndexer().IndexField(context.Background(), &v1beta1.Cell{}, cellagent.PodIndex, cellagent.PodIndexKey); err != nil {
		return fmt.Errorf("indexing Cells by pod: %w", err)
	}
	if err := mgr.GetFieldIndexer().IndexField(context.Background(), &v1beta1.Cell{}, freeIndex, freeIndexKey); err != nil {
		return fmt.Errorf("indexing Cells without a pod: %w", err)
	}
	if err := mgr.GetFieldIndexer().IndexField(context.Background(), &corev1.Pod{}, nodeIndex, nodeIndexKey); err != nil {
		return fmt.Errorf("indexing pods by node: %w", err)
	}
	return ctrl.NewControllerManagedBy(mgr).
		Named("pod").
		Watches(&corev1.Pod{}, c.podEvents(), builder.WithPredicates(predicate.NewPredicateFuncs(maybeOurs))).
		Watches(&v1beta1.Cell{}, c.cellEvents()).
		Watches(&corev1.Node{}, handler.EnqueueRequestsFromMapFunc(c.podsOfNode), builder.WithPredicates(predicate.LabelChangedPredicate{})).
		Watches(&v1beta1.CellClass{}, handler.EnqueueRequestsFromMapFunc(c.podsOfClass), builder.WithPredicates(launchesOtherwise())).
		WatchesRawSource(source.Channel(c.observers.events, &handler.TypedEnqueueRequestForObject[*corev1.Pod]{})).
		WithOptions(controller.Options{MaxConcurrentReconciles: workers, RateLimiter: retry.AfterErrors()}).
		Complete(c)
}

// podEvents enqueues pods, tells of changes that nobody takes up, and drops what
// is kept in memory of pods that are gone.
func (c *Controller) podEvents() handler.EventHandler {
	enqueue := &handler.EnqueueRequestForObject{}
	return handler.Funcs{
		CreateFunc: enqueue.Create,
		UpdateFunc: func(ctx context.Context, e event.UpdateEvent, q workqueue.TypedRateLimitingInterface[reconcile.Request]) {
			old, wasPod := e.ObjectOld.(*corev1.Pod)
			changed, isPod := e.ObjectNew.(*corev1.Pod)
			if wasPod && isPod {
				c.tellChanges(old, changed)
			}
			enqueue.Update(ctx, e, q)
		},
		DeleteFunc: func(ctx context.Context, e event.DeleteEvent, q workqueue.TypedRateLimitingInterface[reconcile.Request]) {
			if pod, ok := e.Object.(*corev1.Pod); ok {
				c.observers.forget(pod.UID)
				c.written.Forget(pod.UID)
				c.forgetLogs(pod)
			}
			enqueue.Delete(ctx, e, q)
		},
	}
}

// cellEvents enqueues the pods of Cells, and drops what is kept in memory of
// Cells that are gone.
func (c *Controller) cellEvents() handler.EventHandler {
	enqueue := handler.EnqueueRequestsFromMapFunc(podOfCell)
	return handler.Funcs{
		CreateFunc: enqueue.Create,
		UpdateFunc: enqueue.Update,
		DeleteFunc: func(ctx context.Context, e event.DeleteEvent, q workqueue.TypedRateLimitingInterface[reconcile.Request]) {
			c.written.Forget(e.Object.GetUID())
			c.claims.gone(e.Object.GetUID())
			enqueue.Delete(ctx, e, q)
		},
	}
}

func podOfCell(_ context.Context, o client.Object) []reconcile.Request {
	cell, ok := o.(*v1beta1.Cell)
	if !ok || cell.Spec.PodRef == nil {
		return nil
	}
	ref := cell.Spec.PodRef
	return []reconcile.Request{{NamespacedName: types.NamespacedName{Namespace: ref.Namespace, Name: ref.Name}}}
}

// nodeIndex finds the pods of a node that may be one of ours.
const nodeIndex = "spec.nodeName"

func nodeIndexKey(o client.Object) []string {
	if !maybeOurs(o) {
		return nil
	}
	return []string{o.(*corev1.Pod).Spec.NodeName}
}

// podsOfNode are the pods that were bound to a node before it was seen here.
func (c *Controller) podsOfNode(ctx context.Context, node client.Object) []reconcile.Request {
	return c.podsOn(ctx, node.GetName())
}

// launchesOtherwise lets pass what may have a class grant other wishes, or its
// cells have another agent.
func launchesOtherwise() predicate.Predicate {
	return predicate.Or(predicate.GenerationChangedPredicate{}, predicate.Funcs{UpdateFunc: func(e event.UpdateEvent) bool {
		was, wasClass := e.ObjectOld.(*v1beta1.CellClass)
		is, isClass := e.ObjectNew.(*v1beta1.CellClass)
		return wasClass && isClass && (!equality.Semantic.DeepEqual(was.Status.Images, is.Status.Images) ||
			!equality.Semantic.DeepEqual(was.Status.Agents, is.Status.Agents))
	}})
}

// podsOfClass are the pods whose wishes the class, having been changed, may
// grant now.
func (c *Controller) podsOfClass(ctx context.Context, class client.Object) []reconcile.Request {
	var nodes corev1.NodeList
	if err := c.Client.List(ctx, &nodes); err != nil {
		log.FromContext(ctx).Error(err, "cannot list the nodes of a class", "class", class.GetName())
		return nil
	}
	var requests []reconcile.Request
	for i := range nodes.Items {
		if id, ours := virtualnode.IdentityOf(&nodes.Items[i]); ours && id.Class == class.GetName() {
			requests = append(requests, c.podsOn(ctx, nodes.Items[i].Name)...)
		}
	}
	return requests
}

func (c *Controller) podsOn(ctx context.Context, node string) []reconcile.Request {
	var pods corev1.PodList
	if err := c.Client.List(ctx, &pods, client.MatchingFields{nodeIndex: node}); err != nil {
		log.FromContext(ctx).Error(err, "cannot list the pods of a node", "node", node)
		return nil
	}
	requests := make([]reconcile.Request, 0, len(pods.Items))
	for i := range pods.Items {
		requests = append(requests, reconcile.Request{NamespacedName: client.ObjectKeyFromObject(&pods.Items[i])})
	}
	return requests
}

func maybeOurs(o client.Object) bool {
	pod, ok := o.(*corev1.Pod)
	return ok && strings.HasPrefix(pod.Spec.NodeName, v1beta1.NodeName(""))
}

// Slim keeps of the pods of other nodes what it takes to know that they are
// not ours, so that a large cluster's pods do not fill the cache. It is the
// cache's transform for pods.
func Slim(o any) (any, error) {
	pod, ok := o.(*corev1.Pod)
	if !ok {
		return o, nil
	}
	pod.ManagedFields = nil
	if maybeOurs(pod) {
		return pod, nil
	}
	return &corev1.Pod{
		TypeMeta: pod.TypeMeta,
		ObjectMeta: metav1.ObjectMeta{
			Namespace: pod.Namespace, Name: pod.Name, UID: pod.UID, ResourceVersion: pod.ResourceVersion,
		},
		Spec: corev1.PodSpec{NodeName: pod.Spec.NodeName},
	}, nil
}
