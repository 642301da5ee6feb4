package standby

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/intstr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"kip.elotl.co/api/v1beta1"
	"kip.elotl.co/internal/crashpoint"
)

// refusedAgain is how soon an eviction is tried again that a PodDisruptionBudget
// does not allow: nothing tells when it does.
const refusedAgain = 10 * time.Second

// replaceDrifted evicts pods of drifted cells, as many as the class's budget
// allows. Their controllers make others, which get new cells.
func (c *Controller) replaceDrifted(ctx context.Context, class *v1beta1.CellClass, cells []v1beta1.Cell) (again time.Duration, err error) {
	if class.Spec.Disruption.Drifted != v1beta1.DriftReplace || !class.DeletionTimestamp.IsZero() {
		return 0, nil
	}
	bound, down := 0, 0
	var drifted []*v1beta1.Cell
	for i := range cells {
		cell := &cells[i]
		if cell.Spec.PodRef == nil {
			continue
		}
		bound++
		switch {
		case !cell.DeletionTimestamp.IsZero(), !isReady(cell), c.wasEvicted(cell):
			down++
		case meta.IsStatusConditionTrue(cell.Status.Conditions, v1beta1.ConditionDrifted):
			drifted = append(drifted, cell)
		}
	}
	left := budgetOf(class, bound) - down
	slices.SortFunc(drifted, dispensableFirst)
	var errs []error
	for _, cell := range drifted {
		if left <= 0 {
			break
		}
		evicted, err := c.evict(ctx, class, cell)
		switch {
		case apierrors.IsTooManyRequests(err):
			again = refusedAgain
		case err != nil:
			errs = append(errs, err)
		case evicted:
			left--
		}
	}
	return again, errors.Join(errs...)
}

// budgetOf is how many of the class's cells with a pod may be without a running
// one.
func budgetOf(class *v1beta1.CellClass, bound int) int {
	budget := class.Spec.Disruption.Budget
	if budget == nil {
		return 1
	}
	n, err := intstr.GetScaledValueFromIntOrPercent(budget, bound, true)
	if err != nil {
		return 1 // the API server has checked its form
	}
	return n
}

// evict has the API server evict the Cell's pod, where its controller makes
// another.
func (c *Controller) evict(ctx context.Context, class *v1beta1.CellClass, cell *v1beta1.Cell) (evicted bool, err error) {
	ref := cell.Spec.PodRef
	pod := &corev1.Pod{}
	if err := c.Client.Get(ctx, client.ObjectKey{Namespace: ref.Namespace, Name: ref.Name}, pod); err != nil {
		return false, client.IgnoreNotFound(err)
	}
	switch {
	case string(pod.UID) != ref.UID, metav1.GetControllerOf(pod) == nil:
		return false, nil
	case pod.Status.Phase == corev1.PodSucceeded, pod.Status.Phase == corev1.PodFailed:
		return false, nil
	case !pod.DeletionTimestamp.IsZero():
		return true, nil
	}
	uid := pod.UID
	order := &policyv1.Eviction{DeleteOptions: &metav1.DeleteOptions{Preconditions: &metav1.Preconditions{UID: &uid}}}
	crashpoint.Reach(ctx, crashpoint.EvictBefore, cell)
	err = c.Client.SubResource("eviction").Create(ctx, pod, order)
	crashpoint.Reach(ctx, crashpoint.EvictAfter, cell)
	if apierrors.IsNotFound(err) || apierrors.IsConflict(err) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("evicting pod %s/%s: %w", ref.Namespace, ref.Name, err)
	}
	c.noteEvicted(cell)
	drift := meta.FindStatusCondition(cell.Status.Conditions, v1beta1.ConditionDrifted)
	about := &corev1.ObjectReference{APIVersion: "v1", Kind: "Pod", Namespace: ref.Namespace, Name: ref.Name, UID: uid}
	c.Events.Eventf(about, cell, corev1.EventTypeNormal, v1beta1.ReasonDriftedReplaced, "Evict",
		"evicted, as spec.disruption of CellClass %q says: %s", class.Name, drift.Message)
	return true, nil
}

func (c *Controller) noteEvicted(cell *v1beta1.Cell) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.evicted[cell.UID] = types.UID(cell.Spec.PodRef.UID)
}

func (c *Controller) wasEvicted(cell *v1beta1.Cell) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.evicted[cell.UID] != ""
}

// forget drops what is kept of a Cell that is gone.
func (c *Controller) forget(cell types.UID) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.evicted, cell)
}
