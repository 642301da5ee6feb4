package pod

import (
	"context"
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"kip.elotl.co/api/v1beta1"
	"kip.elotl.co/internal/cellagent"
	"kip.elotl.co/internal/crashpoint"
	"kip.elotl.co/internal/demand"
)

// cellOf is the Cell that runs the pod, nil when there is none. Others that
// name the pod are ended.
func (c *Controller) cellOf(ctx context.Context, pod *corev1.Pod) (*v1beta1.Cell, error) {
	cells, err := cellagent.CellsOf(ctx, c.Client, pod)
	if err != nil {
		return nil, err
	}
	cell, beyond := cellagent.CellOf(cells, pod)
	for i := range beyond {
		if cell.DeletionTimestamp.IsZero() && beyond[i].DeletionTimestamp.IsZero() {
			if err := c.deleteCell(ctx, &beyond[i]); err != nil {
				return nil, err
			}
		}
	}
	if cell != nil {
		return cell, nil
	}
	cell = &v1beta1.Cell{}
	err = c.Client.Get(ctx, client.ObjectKey{Name: v1beta1.CellNameForPod(pod.UID)}, cell)
	if apierrors.IsNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading the pod's Cell: %w", err)
	}
	return nil, fmt.Errorf("cell %s does not belong to this pod: its spec.podRef.uid is not %s", cell.Name, pod.UID)
}

// createCell makes the pod's Cell. Its name follows from the pod's UID, so
// there cannot be two; that it is not in the cache does not matter.
func (c *Controller) createCell(ctx context.Context, s *scope) error {
	cell := &v1beta1.Cell{
		ObjectMeta: metav1.ObjectMeta{
			Name:       v1beta1.CellNameForPod(s.pod.UID),
			Labels:     map[string]string{v1beta1.LabelCellClass: s.class},
			Finalizers: []string{v1beta1.Finalizer},
		},
		Spec: s.wanted,
	}
	crashpoint.Reach(ctx, crashpoint.CellCreateBefore, cell)
	err := c.Client.Create(ctx, cell)
	crashpoint.Reach(ctx, crashpoint.CellCreateAfter, cell)
	switch {
	case err == nil, apierrors.IsAlreadyExists(err):
		return nil
	case apierrors.IsInvalid(err):
		return c.refused(ctx, s, &refusal{reason: v1beta1.ReasonInvalidAnnotation, message: "no Cell can be made for the pod: " + err.Error()})
	}
	return fmt.Errorf("creating the pod's Cell: %w", err)
}

// classOf is the CellClass of that name; nil when there is none.
func (c *Controller) classOf(ctx context.Context, name string) (*v1beta1.CellClass, error) {
	class := &v1beta1.CellClass{}
	err := c.Client.Get(ctx, client.ObjectKey{Name: name}, class)
	if apierrors.IsNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading CellClass %q: %w", name, err)
	}
	return class, nil
}

// want reads from the pod what it asks of its cell, and says why that cannot be.
func want(s *scope, class *v1beta1.CellClass) *refusal {
	if refusal := refuseDaemon(s.pod, class); refusal != nil {
		return refusal
	}
	spec, refusals := demand.Of(s.pod, class, s.labels)
	if len(refusals) > 0 {
		messages := make([]string, 0, len(refusals))
		for _, r := range refusals {
			messages = append(messages, r.Message)
		}
		return &refusal{reason: refusals[0].Reason, message: strings.Join(messages, "; ")}
	}
	spec.CellClassName, spec.Zone = s.class, s.zone
	spec.PodRef = &v1beta1.PodReference{Namespace: s.pod.Namespace, Name: s.pod.Name, UID: string(s.pod.UID)}
	s.wanted = spec
	return nil
}

// lostForSure fails a pod that ran and whose Cell the cache does not show,
// once the API server does not show it either: the caches of Pods and of Cells
// do not keep step.
func (c *Controller) lostForSure(ctx context.Context, s *scope) error {
	for _, name := range []string{cellagent.DispatchedTo(s.pod), cellagent.ChosenCell(s.pod), v1beta1.CellNameForPod(s.pod.UID)} {
		cell, err := c.claims.live(ctx, name)
		if err != nil {
			return err
		}
		if cell != nil && isOf(cell, s.pod) {
			return nil // its event is on its way
		}
	}
	return c.lost(ctx, s, whyLost(nil, cellNone))
}

// outdated says whether the pod asks for something else since its Cell, whose
// spec cannot be changed, was made for it, and no instance is launched yet.
// Another Cell takes its place.
func outdated(s *scope) bool {
	return s.cell.Name == v1beta1.CellNameForPod(s.pod.UID) && s.cell.Status.InstanceID == "" && !equality.Semantic.DeepEqual(s.cell.Spec, s.wanted)
}

// endCell deletes the pod's Cell, and with it the instance.
func (c *Controller) endCell(ctx context.Context, s *scope) error {
	c.observers.forget(s.pod.UID)
	if s.cell == nil || !s.cell.DeletionTimestamp.IsZero() {
		return nil
	}
	return c.deleteCell(ctx, s.cell)
}

// deleteCell deletes a Cell once, however long the cache shows it as before.
func (c *Controller) deleteCell(ctx context.Context, cell *v1beta1.Cell) error {
	if c.written.Removed(cell) {
		return nil
	}
	crashpoint.Reach(ctx, crashpoint.CellDeleteBefore, cell)
	err := c.Client.Delete(ctx, cell, client.Preconditions{UID: &cell.UID})
	crashpoint.Reach(ctx, crashpoint.CellDeleteAfter, cell)
	if client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("deleting Cell %s: %w", cell.Name, err)
	}
	c.written.NoteRemoved(cell)
	return nil
}

// endLeft deletes a Cell that came to be seen only after its pod was removed,
// when something else still holds the pod's object.
func (c *Controller) endLeft(ctx context.Context, pod *corev1.Pod) error {
	if !c.written.Removed(pod) {
		return nil
	}
	cell, err := c.cellOf(ctx, pod)
	if err != nil || cell == nil || !cell.DeletionTimestamp.IsZero() {
		return err
	}
	return c.deleteCell(ctx, cell)
}

// endCellsOf deletes the Cells of pods of this name that are gone: all but
// that of the pod with the UID.
func (c *Controller) endCellsOf(ctx context.Context, pod types.NamespacedName, uid types.UID) error {
	var cells v1beta1.CellList
	if err := c.Client.List(ctx, &cells, client.MatchingFields{cellagent.PodIndex: pod.String()}); err != nil {
		return fmt.Errorf("listing the pod's Cells: %w", err)
	}
	for i := range cells.Items {
		cell := &cells.Items[i]
		if cell.Spec.PodRef.UID == string(uid) || !cell.DeletionTimestamp.IsZero() {
			continue
		}
		live := &corev1.Pod{}
		err := c.Live.Get(ctx, pod, live)
		if client.IgnoreNotFound(err) != nil {
			return fmt.Errorf("reading pod: %w", err)
		}
		if err == nil && string(live.UID) == cell.Spec.PodRef.UID {
			continue
		}
		c.observers.forget(types.UID(cell.Spec.PodRef.UID))
		c.written.Forget(types.UID(cell.Spec.PodRef.UID))
		if err := c.deleteCell(ctx, cell); err != nil {
			return err
		}
	}
	return nil
}

type cellStateKind int

const (
	cellNone cellStateKind = iota
	cellNotReady
	cellReady
	cellLost
	cellEnding
)

func cellState(cell *v1beta1.Cell) cellStateKind {
	if cell == nil {
		return cellNone
	}
	ready := meta.FindStatusCondition(cell.Status.Conditions, v1beta1.ConditionReady)
	switch {
	case !cell.DeletionTimestamp.IsZero():
		return cellEnding
	case ready == nil:
		return cellNotReady
	case ready.Reason == v1beta1.ReasonInstanceGone, ready.Reason == v1beta1.ReasonAgentLost, ready.Reason == v1beta1.ReasonStatusCheckFailed, ready.Reason == v1beta1.ReasonPoweredOff:
		return cellLost
	case ready.Status == metav1.ConditionTrue:
		return cellReady
	}
	return cellNotReady
}

func whyLost(cell *v1beta1.Cell, state cellStateKind) string {
	switch state {
	case cellNone:
		return "its cell is gone"
	case cellEnding:
		return "its cell was deleted"
	}
	return meta.FindStatusCondition(cell.Status.Conditions, v1beta1.ConditionReady).Message
}
