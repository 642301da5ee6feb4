package cellagent

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"kip.elotl.co/api/v1beta1"
)

// PodIndex is the cache's index of Cells by the "namespace/name" of their pod,
// which PodIndexKey gives.
const PodIndex = "spec.podRef"

// PodIndexKey is the key of a Cell in PodIndex; none without a pod.
func PodIndexKey(o client.Object) []string {
	ref := o.(*v1beta1.Cell).Spec.PodRef
	if ref == nil {
		return nil
	}
	return []string{ref.Namespace + "/" + ref.Name}
}

// CellsOf are the Cells whose podRef is this very pod, by the cache with
// PodIndex.
func CellsOf(ctx context.Context, cells client.Reader, pod *corev1.Pod) ([]v1beta1.Cell, error) {
	var list v1beta1.CellList
	if err := cells.List(ctx, &list, client.MatchingFields{PodIndex: pod.Namespace + "/" + pod.Name}); err != nil {
		return nil, fmt.Errorf("listing the pod's Cells: %w", err)
	}
	return slices.DeleteFunc(list.Items, func(cell v1beta1.Cell) bool { return cell.Spec.PodRef.UID != string(pod.UID) }), nil
}

// CellOf is the one Cell that counts of those with the pod's podRef, nil where
// there are none: that to which it was dispatched, else that which was chosen for it,
// else that which was made for it. The others are beyond it: two operators at once
// may have made them.
func CellOf(cells []v1beta1.Cell, pod *corev1.Pod) (cell *v1beta1.Cell, beyond []v1beta1.Cell) {
	if len(cells) == 0 {
		return nil, nil
	}
	rank := func(cell *v1beta1.Cell) int {
		return slices.Index([]string{DispatchedTo(pod), ChosenCell(pod), v1beta1.CellNameForPod(pod.UID), cell.Name}, cell.Name)
	}
	slices.SortFunc(cells, func(a, b v1beta1.Cell) int {
		return cmp.Or(cmp.Compare(rank(&a), rank(&b)), strings.Compare(a.Name, b.Name))
	})
	return &cells[0], cells[1:]
}

const (
	// AnnotationDispatchedTo is written to a pod before it is given to the agent of
	// the Cell that it names, so that a pod whose containers may have run is known
	// as such, whoever looks after it then.
	AnnotationDispatchedTo = "kip.elotl.co/dispatched-to"
	// AnnotationCell is written to a pod before it claims the Cell that it names, so
	// that it claims no other after a crash, nor by another operator.
	AnnotationCell = "kip.elotl.co/cell"
)

// DispatchedTo is the name of the Cell in AnnotationDispatchedTo, empty where
// there is none; ChosenCell is that of AnnotationCell.
func DispatchedTo(pod *corev1.Pod) string { return named(pod, AnnotationDispatchedTo) }

// ChosenCell is the name of the Cell in AnnotationCell, empty where there is none.
func ChosenCell(pod *corev1.Pod) string { return named(pod, AnnotationCell) }

// CellNote is the value of an annotation of the pod that names a Cell. It holds
// the pod's UID, so that a copy of it, on another pod, counts for nothing.
func CellNote(pod *corev1.Pod, cell string) string {
	if cell == v1beta1.CellNameForPod(pod.UID) {
		return cell
	}
	return cell + "/" + string(pod.UID)
}

func named(pod *corev1.Pod, annotation string) string {
	name, _, _ := strings.Cut(pod.Annotations[annotation], "/")
	if name == "" || pod.Annotations[annotation] != CellNote(pod, name) {
		return ""
	}
	return name
}
