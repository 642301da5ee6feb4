package pod

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"kip.elotl.co/api/v1beta1"
	"kip.elotl.co/internal/crashpoint"
)

// nextCell is the name of the Cell for the pod that comes after this one.
func nextCell(pod types.UID) string { return v1beta1.CellNameForPod(pod) + "-next" }

// prepareNext makes a Cell for the pod that the controller of this one will make
// when the cloud has taken this one's instance: it boots while this pod still
// runs, and waits for a pod of that controller. It is made once the Cell says
// that it is interrupted, for then the offering is known to be risky.
func (c *Controller) prepareNext(ctx context.Context, s *scope) error {
	owner := metav1.GetControllerOf(s.pod)
	if owner == nil || !interrupted(s.cell) || terminal(s.pod) || !s.pod.DeletionTimestamp.IsZero() {
		return nil
	}
	next := &v1beta1.Cell{ObjectMeta: metav1.ObjectMeta{
		Name: nextCell(s.pod.UID), Labels: map[string]string{v1beta1.LabelCellClass: s.class}, Finalizers: []string{v1beta1.Finalizer},
	}}
	err := c.Client.Get(ctx, client.ObjectKeyFromObject(next), &v1beta1.Cell{})
	if err == nil {
		return nil
	}
	if !apierrors.IsNotFound(err) {
		return fmt.Errorf("reading Cell %s: %w", next.Name, err)
	}
	class, err := c.classOf(ctx, s.class)
	if err != nil {
		return err
	}
	if refusal := want(s, class); refusal != nil {
		return nil // nor would the next pod get one
	}
	next.Spec = *s.wanted.DeepCopy()
	next.Spec.PodRef, next.Spec.ReservedFor = nil, &v1beta1.CellReservation{OwnerUID: string(owner.UID)}
	crashpoint.Reach(ctx, crashpoint.CellCreateBefore, next)
	err = c.Client.Create(ctx, next)
	crashpoint.Reach(ctx, crashpoint.CellCreateAfter, next)
	if err != nil && !apierrors.IsAlreadyExists(err) && !apierrors.IsInvalid(err) {
		return fmt.Errorf("creating a Cell for the next pod of %s %s: %w", owner.Kind, owner.Name, err)
	}
	if err == nil {
		c.Events.ForNode(s.pod.Spec.NodeName).Event(reference(s.pod, ""), corev1.EventTypeNormal, v1beta1.ReasonReplacementStarted,
			fmt.Sprintf("Cell %s boots for the next pod of %s %s", next.Name, owner.Kind, owner.Name))
	}
	return nil
}

// interrupted says whether the cloud takes the cell's instance back.
func interrupted(cell *v1beta1.Cell) bool {
	condition := meta.FindStatusCondition(cell.Status.Conditions, v1beta1.ConditionInterruption)
	return condition != nil && condition.Status == metav1.ConditionTrue && condition.Reason == v1beta1.ReasonInterrupted
}
