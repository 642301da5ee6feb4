package cellclass

import (
	"context"
	"fmt"

	nodev1 "k8s.io/api/node/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"kip.elotl.co/api/v1beta1"
	"kip.elotl.co/internal/virtualnode"
)

// keepObjects makes the class's nodes and RuntimeClass agree with it. The error
// is a *finding where one of them cannot be: most often it is somebody else's.
func (c *Controller) keepObjects(ctx context.Context, class *v1beta1.CellClass, cells []v1beta1.Cell) error {
	if err := c.keepNodes(ctx, class, cells); err != nil {
		return err
	}
	return c.keepRuntimeClass(ctx, class)
}

// lacksObjects says on the class why its node or RuntimeClass cannot be. The
// class is looked up anew once it is there.
func (c *Controller) lacksObjects(class *v1beta1.CellClass, why *finding) {
	c.resolved.forget(class.UID)
	meta.SetStatusCondition(&class.Status.Conditions, metav1.Condition{
		Type: v1beta1.ConditionReady, Status: metav1.ConditionFalse, Reason: why.reason,
		Message: why.message, ObservedGeneration: class.Generation,
	})
}

// keepRuntimeClass makes the class's RuntimeClass. Its handler cannot be
// changed, the rest is mended.
func (c *Controller) keepRuntimeClass(ctx context.Context, class *v1beta1.CellClass) error {
	want := virtualnode.RuntimeClass(class)
	is := &nodev1.RuntimeClass{}
	err := c.Client.Get(ctx, client.ObjectKeyFromObject(want), is)
	if apierrors.IsNotFound(err) {
		return wrap(c.Client.Create(ctx, want), "creating RuntimeClass "+want.Name)
	}
	if err != nil {
		return fmt.Errorf("reading RuntimeClass %s: %w", want.Name, err)
	}
	if !ownsRuntimeClass(is) {
		return found(v1beta1.ReasonNodeNameTaken, "RuntimeClass %s exists and is not this class's: its handler is %q, not %q; delete it, or give the class another name",
			is.Name, is.Handler, want.Handler)
	}
	if equality.Semantic.DeepEqual(is.Scheduling, want.Scheduling) && is.Labels[v1beta1.LabelCellClass] == class.Name {
		return nil
	}
	is.Scheduling = want.Scheduling
	if is.Labels == nil {
		is.Labels = map[string]string{}
	}
	is.Labels[v1beta1.LabelCellClass] = class.Name
	return wrap(c.Client.Update(ctx, is), "mending RuntimeClass "+want.Name)
}

// ownsRuntimeClass goes by a field that nobody can change, unlike labels.
func ownsRuntimeClass(r *nodev1.RuntimeClass) bool { return r.Handler == v1beta1.Provider }

// removeObjects takes away what stands for the class in the cluster. The cache
// may lack what was made just now.
func (c *Controller) removeObjects(ctx context.Context, class *v1beta1.CellClass) error {
	if err := c.removeNodes(ctx, class); err != nil {
		return err
	}
	runtimeClass := &nodev1.RuntimeClass{}
	key := client.ObjectKey{Name: v1beta1.NodeName(class.Name)}
	if err := client.IgnoreNotFound(c.Live.Get(ctx, key, runtimeClass)); err != nil {
		return fmt.Errorf("reading RuntimeClass %s: %w", key.Name, err)
	}
	if !ownsRuntimeClass(runtimeClass) {
		return nil
	}
	return wrap(client.IgnoreNotFound(c.Client.Delete(ctx, runtimeClass)), "deleting RuntimeClass "+key.Name)
}

func wrap(err error, doing string) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s: %w", doing, err)
}
