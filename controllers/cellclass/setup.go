package cellclass

import (
	"context"
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	nodev1 "k8s.io/api/node/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/workqueue"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	"sigs.k8s.io/controller-runtime/pkg/source"

	"kip.elotl.co/api/v1beta1"
	"kip.elotl.co/internal/cloudinit"
	"kip.elotl.co/internal/retry"
	"kip.elotl.co/internal/virtualnode"
)

// workers is how many classes are worked on at once; each may wait for the cloud.
const workers = 10

// +kubebuilder:rbac:groups=kip.elotl.co,resources=cellclasses,verbs=get;list;watch;update;patch
// +kubebuilder:rbac:groups=kip.elotl.co,resources=cellclasses/status,verbs=update
// +kubebuilder:rbac:groups=kip.elotl.co,resources=cells,verbs=get;list;watch
// +kubebuilder:rbac:groups="",resources=nodes,verbs=get;list;watch;create;patch;delete
// +kubebuilder:rbac:groups="",resources=pods,verbs=list
// +kubebuilder:rbac:groups="",resources=nodes/status,verbs=patch
// +kubebuilder:rbac:groups="",namespace=kip-system,resources=configmaps;secrets,verbs=get;list;watch
// +kubebuilder:rbac:groups=node.k8s.io,resources=runtimeclasses,verbs=get;list;watch;create;update;delete

// SetupWithManager registers the controller.
func (c *Controller) SetupWithManager(mgr ctrl.Manager) error {
	if err := mgr.Add(c.Leases); err != nil {
		return fmt.Errorf("adding the node leases: %w", err)
	}
	if err := mgr.Add(manager.RunnableFunc(c.takeOver)); err != nil {
		return fmt.Errorf("adding the nodes' addresses: %w", err)
	}
	return ctrl.NewControllerManagedBy(mgr).
		Named("cellclass").
		For(&v1beta1.CellClass{}).
		Watches(&v1beta1.Cell{}, handler.EnqueueRequestsFromMapFunc(classOfCell), builder.WithPredicates(countsChange())).
		Watches(&corev1.Node{}, nodeHandler{handler.EnqueueRequestsFromMapFunc(c.classesOfNode), c.drop}).
		Watches(&nodev1.RuntimeClass{}, handler.EnqueueRequestsFromMapFunc(classOfName)).
		Watches(&corev1.ConfigMap{}, handler.EnqueueRequestsFromMapFunc(c.classesOfSource)).
		Watches(&corev1.Secret{}, handler.EnqueueRequestsFromMapFunc(c.classesOfSource)).
		WatchesRawSource(source.Func(c.whenCatalogueIsReady(mgr.GetClient()))).
		WatchesRawSource(source.Func(c.whenServingChanges(mgr.GetClient()))).
		WithOptions(controller.Options{MaxConcurrentReconciles: workers, RateLimiter: retry.AfterErrors()}).
		Complete(reconcile.AsReconciler(mgr.GetClient(), c))
}

// whenCatalogueIsReady enqueues all classes once the instance types are known.
func (c *Controller) whenCatalogueIsReady(classes client.Reader) func(context.Context, queue) error {
	return func(ctx context.Context, q queue) error {
		go func() {
			select {
			case <-c.Catalogue.Ready():
			case <-ctx.Done():
				return
			}
			enqueueAll(ctx, classes, q)
		}()
		return nil
	}
}

type queue = workqueue.TypedRateLimitingInterface[reconcile.Request]

// countsChange lets pass what changes the counts of a class.
func countsChange() predicate.Predicate {
	return predicate.Funcs{UpdateFunc: func(e event.UpdateEvent) bool {
		was, wasOK := e.ObjectOld.(*v1beta1.Cell)
		is, isOK := e.ObjectNew.(*v1beta1.Cell)
		return wasOK && isOK && was.Status.Phase != is.Status.Phase
	}}
}

func classOfCell(_ context.Context, o client.Object) []reconcile.Request {
	cell, ok := o.(*v1beta1.Cell)
	if !ok {
		return nil
	}
	return []reconcile.Request{{NamespacedName: types.NamespacedName{Name: cell.Spec.CellClassName}}}
}

// classesOfSource are those that read their cloud-init document from the object.
// They are looked up anew.
func (c *Controller) classesOfSource(ctx context.Context, o client.Object) []reconcile.Request {
	var all v1beta1.CellClassList
	if err := c.Client.List(ctx, &all); err != nil {
		log.FromContext(ctx).Error(err, "listing the classes that read a cloud-init document", "object", client.ObjectKeyFromObject(o))
		return nil
	}
	var requests []reconcile.Request
	for i := range all.Items {
		if cloudinit.Uses(&all.Items[i], o) {
			c.resolved.forget(all.Items[i].UID)
			requests = append(requests, reconcile.Request{NamespacedName: client.ObjectKeyFromObject(&all.Items[i])})
		}
	}
	return requests
}

// nodeHandler stops being the kubelet of nodes that are gone, whoever has
// deleted them.
type nodeHandler struct {
	handler.EventHandler
	gone func(node string)
}

// Delete implements handler.EventHandler.
func (h nodeHandler) Delete(ctx context.Context, e event.DeleteEvent, q queue) {
	h.gone(e.Object.GetName())
	h.EventHandler.Delete(ctx, e, q)
}

// classesOfNode are the class whose node it is, or those that want a node of
// that name.
func (c *Controller) classesOfNode(ctx context.Context, o client.Object) []reconcile.Request {
	node, ok := o.(*corev1.Node)
	if !ok {
		return nil
	}
	id, ours := virtualnode.IdentityOf(node)
	if !strings.HasPrefix(node.Name, v1beta1.NodeName("")) {
		return nil
	}
	var all v1beta1.CellClassList
	if err := c.Client.List(ctx, &all); err != nil {
		log.FromContext(ctx).Error(err, "listing the classes that a node may be of", "node", node.Name)
		return nil
	}
	var requests []reconcile.Request
	for i := range all.Items {
		class := &all.Items[i]
		wants := func(id virtualnode.Identity) bool { return id.Name() == node.Name }
		if ours && id.Class == class.Name || slices.ContainsFunc(virtualnode.Identities(class), wants) {
			requests = append(requests, reconcile.Request{NamespacedName: client.ObjectKeyFromObject(class)})
		}
	}
	return requests
}

// classOfName goes by the name and not by a label: whether an object of that
// name is the class's is for Reconcile to say.
func classOfName(_ context.Context, o client.Object) []reconcile.Request {
	class, ok := strings.CutPrefix(o.GetName(), v1beta1.NodeName(""))
	if !ok || class == "" {
		return nil
	}
	return []reconcile.Request{{NamespacedName: types.NamespacedName{Name: class}}}
}
