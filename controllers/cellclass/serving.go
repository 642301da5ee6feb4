package cellclass

import (
	"context"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"kip.elotl.co/api/v1beta1"
)

// sayServing says on the class how the kubelet API of its nodes is served. What
// another operator said stays until this one knows.
func (c *Controller) sayServing(class *v1beta1.CellClass) {
	if c.Serving == nil {
		return
	}
	is, _ := c.Serving.Get()
	if is.Reason == "" {
		return
	}
	status := metav1.ConditionTrue
	if is.Reason == v1beta1.ReasonNotSigned {
		status = metav1.ConditionFalse
	}
	meta.SetStatusCondition(&class.Status.Conditions, metav1.Condition{
		Type: v1beta1.ConditionKubeletServing, Status: status, Reason: is.Reason, Message: is.Message, ObservedGeneration: class.Generation,
	})
}

// whenServingChanges enqueues all classes each time that the kubelet API comes to
// be served otherwise.
func (c *Controller) whenServingChanges(classes client.Reader) func(context.Context, queue) error {
	return func(ctx context.Context, q queue) error {
		if c.Serving == nil {
			return nil
		}
		go func() {
			_, changed := c.Serving.Get()
			for {
				select {
				case <-ctx.Done():
					return
				case <-changed:
				}
				_, changed = c.Serving.Get()
				enqueueAll(ctx, classes, q)
			}
		}()
		return nil
	}
}

func enqueueAll(ctx context.Context, classes client.Reader, q queue) {
	var all v1beta1.CellClassList
	if err := classes.List(ctx, &all); err != nil {
		log.FromContext(ctx).Error(err, "listing the classes")
	}
	for i := range all.Items {
		q.Add(reconcile.Request{NamespacedName: client.ObjectKeyFromObject(&all.Items[i])})
	}
}
