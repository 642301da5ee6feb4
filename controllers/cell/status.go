package cell

import (
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"kip.elotl.co/api/v1beta1"
	"kip.elotl.co/internal/virtualnode"
)

func readyCondition(cell *v1beta1.Cell) *metav1.Condition {
	return meta.FindStatusCondition(cell.Status.Conditions, v1beta1.ConditionReady)
}

func isReady(cell *v1beta1.Cell) bool {
	ready := readyCondition(cell)
	return ready != nil && ready.Status == metav1.ConditionTrue
}

func readyReason(cell *v1beta1.Cell) string {
	if ready := readyCondition(cell); ready != nil {
		return ready.Reason
	}
	return ""
}

func setCondition(cell *v1beta1.Cell, kind string, status metav1.ConditionStatus, reason, message string) {
	meta.SetStatusCondition(&cell.Status.Conditions, metav1.Condition{
		Type: kind, Status: status, Reason: reason, Message: message, ObservedGeneration: cell.Generation,
	})
}

// notReady says why the cell cannot run a pod yet, or any more.
func notReady(cell *v1beta1.Cell, reason, message string) {
	setCondition(cell, v1beta1.ConditionReady, metav1.ConditionFalse, reason, message)
}

// notLaunched says why there is no instance.
func notLaunched(cell *v1beta1.Cell, reason, message string) {
	setCondition(cell, v1beta1.ConditionLaunched, metav1.ConditionFalse, reason, message)
	notReady(cell, reason, message)
}

// summarize fills in what follows from the spec and the conditions.
func (c *Controller) summarize(s *scope) {
	cell, status := s.cell, &s.cell.Status
	status.ControllerID = c.ClusterID
	status.Node = nodeOf(s)
	if ref := cell.Spec.PodRef; ref != nil {
		status.PodNamespace, status.PodName = ref.Namespace, ref.Name
	}
	status.Phase = phaseOf(cell)
	for _, reached := range status.PhaseTimes {
		if reached.Phase == status.Phase {
			return
		}
	}
	status.PhaseTimes = append(status.PhaseTimes, v1beta1.PhaseTime{
		Phase: status.Phase, Time: metav1.NewMicroTime(c.Clock.Now()),
	})
}

// nodeOf is the name of the virtual node of the cell's pod, or that of its
// class. A cell that was there before its pod need not have been asked for in a
// zone.
func nodeOf(s *scope) string {
	spec := &s.cell.Spec
	id := virtualnode.Identity{Class: spec.CellClassName}
	switch {
	case spec.PodRef == nil:
	case spec.Zone != "":
		id.Zone = spec.Zone
	case s.class != nil && s.class.Spec.NodePerZone && s.cell.Name != v1beta1.CellNameForPod(types.UID(spec.PodRef.UID)):
		id.Zone = s.cell.Status.Zone
	}
	return id.Name()
}

func phaseOf(cell *v1beta1.Cell) v1beta1.CellPhase {
	switch {
	case !cell.DeletionTimestamp.IsZero():
		return v1beta1.CellTerminating
	case gone(cell), readyReason(cell) == v1beta1.ReasonBootFailed:
		return v1beta1.CellFailed
	case isReady(cell):
		return v1beta1.CellReady
	case cell.Status.InstanceID != "":
		return v1beta1.CellBooting
	default:
		return v1beta1.CellPending
	}
}

// reached says whether the cell has ever been in the phase.
func reached(cell *v1beta1.Cell, phase v1beta1.CellPhase) bool {
	for _, p := range cell.Status.PhaseTimes {
		if p.Phase == phase {
			return true
		}
	}
	return false
}
