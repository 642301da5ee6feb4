package pod_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"kip.elotl.co/api/v1beta1"
	"kip.elotl.co/internal/cellagent"
)

// anyReady takes every cell that is Ready for fitting.
type anyReady struct{}

func (anyReady) Fitting(_ context.Context, cells []v1beta1.Cell, _ *v1beta1.CellSpec, _ *v1beta1.CellClass, _ string) ([]v1beta1.Cell, error) {
	var ready []v1beta1.Cell
	for _, cell := range cells {
		if meta.IsStatusConditionTrue(cell.Status.Conditions, v1beta1.ConditionReady) {
			ready = append(ready, cell)
		}
	}
	return ready, nil
}

// newStandbyScene is a scene whose class has standby cells, booted and Ready.
func newStandbyScene(t *testing.T, count int) (*scene, []*v1beta1.Cell) {
	t.Helper()
	s := newScene(t)
	s.fits = anyReady{}
	class := s.openClass()
	class.Spec.StandbyCells = []v1beta1.StandbyCells{{InstanceType: "t3.nano", Count: int32(count)}}
	if err := cluster.admin.Update(t.Context(), class); err != nil {
		t.Fatal(err)
	}
	var cells []*v1beta1.Cell
	for i := range count {
		cells = append(cells, s.standbyCell(fmt.Sprintf("standby-%s-%d", s.class, i)))
	}
	return s, cells
}

// standbyCell makes a Cell without a pod, with an agent that answers.
func (s *scene) standbyCell(name string) *v1beta1.Cell {
	s.t.Helper()
	cell := &v1beta1.Cell{
		ObjectMeta: metav1.ObjectMeta{Name: name, Finalizers: []string{v1beta1.Finalizer},
			Labels: map[string]string{v1beta1.LabelCellClass: s.class, v1beta1.LabelStandby: "true"}},
		Spec: v1beta1.CellSpec{CellClassName: s.class, InstanceType: "t3.nano"},
	}
	s.create(cell)
	s.bootCell(cell)
	return cell
}

// bound waits until the Cell is the pod's.
func (s *scene) bound(cell *v1beta1.Cell, p *corev1.Pod) *v1beta1.Cell {
	s.t.Helper()
	is := &v1beta1.Cell{}
	s.eventually("cell "+cell.Name+" is pod "+p.Name+"'s", func() error {
		if err := cluster.admin.Get(context.Background(), client.ObjectKeyFromObject(cell), is); err != nil {
			return err
		}
		if is.Spec.PodRef == nil || is.Spec.PodRef.UID != string(p.UID) {
			return fmt.Errorf("its podRef is %+v", is.Spec.PodRef)
		}
		return nil
	})
	return is
}

// cellsOf are the Cells with the pod's podRef.
func (s *scene) cellsOf(p *corev1.Pod) []string {
	s.t.Helper()
	var names []string
	for _, cell := range s.cells() {
		if cell.Spec.PodRef != nil && cell.Spec.PodRef.UID == string(p.UID) {
			names = append(names, cell.Name)
		}
	}
	return names
}

// A pod runs on a cell that was there, and ends it when it is deleted.
func TestPodClaimsAStandbyCell(t *testing.T) {
	s, cells := newStandbyScene(t, 1)
	s.operator()
	p := s.running(s.add("web"))
	s.bound(cells[0], p)
	if all := s.cells(); len(all) != 1 {
		t.Errorf("there are %d Cells", len(all))
	}
	if got, want := p.Annotations["kip.elotl.co/dispatched-to"], cells[0].Name+"/"+string(p.UID); got != want {
		t.Errorf("dispatched to %q, want %q", got, want)
	}
	s.delete(p)
	s.cellEnds(cells[0])
	s.podGone(p)
}

// Where there is none that does, the pod gets a cell of its own.
func TestNoStandbyCellIsLeft(t *testing.T) {
	s, cells := newStandbyScene(t, 1)
	s.operator()
	first := s.running(s.add("first"))
	second := s.add("second")
	s.boot(second)
	s.running(second)
	s.bound(cells[0], first)
	if names := s.cellsOf(second); len(names) != 1 || names[0] != v1beta1.CellNameForPod(second.UID) {
		t.Errorf("the second has %v", names)
	}
}

// Of many pods that come together each has one cell, and no cell has two pods;
// also under two operators at once. No standby cell is left then but by two.
func TestPodsRaceForStandbyCells(t *testing.T) {
	for _, operators := range []int{1, 2} {
		t.Run(fmt.Sprintf("%d operators", operators), func(t *testing.T) { raceForStandbyCells(t, operators) })
	}
}

func raceForStandbyCells(t *testing.T, operators int) {
	const pods, standby = 20, 5
	s, cells := newStandbyScene(t, standby)
	for range operators {
		s.operator()
	}
	var all []*corev1.Pod
	for i := range pods {
		all = append(all, s.add(fmt.Sprintf("racer-%d", i)))
	}
	for _, p := range append(all, s.add("last")) {
		s.eventually("pod "+p.Name+" has a Cell", func() error {
			if len(s.cellsOf(p)) == 0 {
				return errors.New("it has none")
			}
			return nil
		})
	}
	for _, p := range all {
		if names := s.cellsOf(p); len(names) != 1 {
			t.Errorf("pod %s has %v", p.Name, names)
		}
	}
	claimed := 0
	for _, cell := range cells {
		is := &v1beta1.Cell{}
		if err := cluster.admin.Get(t.Context(), client.ObjectKeyFromObject(cell), is); err != nil {
			t.Error(err)
			continue
		}
		if ref := is.Spec.PodRef; ref != nil {
			claimed++
			s.running(&corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: s.namespace, Name: ref.Name, UID: types.UID(ref.UID)}})
		}
	}
	if claimed == 0 || operators == 1 && claimed < standby {
		t.Errorf("%d of %d standby cells were claimed", claimed, standby)
	}
	if n, want := len(s.cells()), pods+1+standby-claimed; n != want {
		t.Errorf("there are %d Cells, want %d", n, want)
	}
}

// choose writes to a pod, as an operator does before it claims a cell.
func (s *scene) choose(p *corev1.Pod, value string) {
	s.t.Helper()
	s.update(p, annotationPatch(cellagent.AnnotationCell, value))
}

// What an operator that died has chosen, the next one claims, and nothing else.
func TestKilledBeforeTheClaim(t *testing.T) {
	s, cells := newStandbyScene(t, 3)
	p := s.add("web")
	s.choose(p, cellagent.CellNote(p, cells[2].Name))
	s.operator()
	s.bound(cells[2], s.running(p))
	if names := s.cellsOf(p); len(names) != 1 {
		t.Errorf("it has %v", names)
	}
}

// A pod that an operator has claimed a cell for, and died, goes on there.
func TestKilledAfterTheClaim(t *testing.T) {
	s, cells := newStandbyScene(t, 2)
	p := s.add("web")
	s.choose(p, cellagent.CellNote(p, cells[1].Name))
	s.claimFor(cells[1], p)
	s.operator()
	s.running(p)
	if names := s.cellsOf(p); len(names) != 1 || names[0] != cells[1].Name {
		t.Errorf("it has %v", names)
	}
}

// claimFor sets the Cell's podRef.
func (s *scene) claimFor(cell *v1beta1.Cell, p *corev1.Pod) {
	s.t.Helper()
	before := cell.DeepCopy()
	cell.Spec.PodRef = &v1beta1.PodReference{Namespace: p.Namespace, Name: p.Name, UID: string(p.UID)}
	if err := cluster.admin.Patch(s.t.Context(), cell, client.MergeFrom(before)); err != nil {
		s.t.Fatal(err)
	}
}

// A cell that was chosen and is another's by now, or gone, is not waited for.
func TestChosenCellIsNotToBeHad(t *testing.T) {
	s, cells := newStandbyScene(t, 2)
	taken, gone, copied := s.add("taken"), s.add("gone"), s.add("copied")
	s.claimFor(cells[0], &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: s.namespace, Name: "other", UID: "other"}})
	s.choose(taken, cellagent.CellNote(taken, cells[0].Name))
	s.choose(gone, cellagent.CellNote(gone, "standby-gone"))
	s.choose(copied, cells[1].Name+"/uid-of-another-pod")
	s.operator()
	for _, p := range []*corev1.Pod{taken, gone, copied} {
		s.eventually("pod "+p.Name+" has a Cell", func() error {
			if names := s.cellsOf(p); len(names) != 1 || names[0] == cells[0].Name {
				return fmt.Errorf("it has %v", names)
			}
			return nil
		})
	}
}

// Of two cells that name the same pod the one counts that was chosen; the other
// ends.
func TestTwoCellsNameThePod(t *testing.T) {
	s, cells := newStandbyScene(t, 1)
	p := s.add("web")
	own := &v1beta1.Cell{
		ObjectMeta: metav1.ObjectMeta{Name: v1beta1.CellNameForPod(p.UID), Labels: map[string]string{v1beta1.LabelCellClass: s.class}, Finalizers: []string{v1beta1.Finalizer}},
		Spec:       v1beta1.CellSpec{CellClassName: s.class, PodRef: &v1beta1.PodReference{Namespace: p.Namespace, Name: p.Name, UID: string(p.UID)}},
	}
	s.create(own)
	s.choose(p, cellagent.CellNote(p, cells[0].Name))
	s.claimFor(cells[0], p)
	s.operator()
	s.cellEnds(own)
	s.running(p)
	s.bound(cells[0], p)
}

// A pod on a claimed cell that vanishes fails, though no cell ever had its name.
func TestClaimedCellIsGone(t *testing.T) {
	s, cells := newStandbyScene(t, 1)
	stop := s.operator()
	p := s.running(s.add("web"))
	stop()
	s.delete(cells[0])
	s.release(cells[0])
	s.eventually("the cell is gone", func() error {
		err := cluster.admin.Get(context.Background(), client.ObjectKeyFromObject(cells[0]), &v1beta1.Cell{})
		if apierrors.IsNotFound(err) {
			return nil
		}
		return fmt.Errorf("it is there: %w", err)
	})
	s.operator()
	s.podIs(p, "failed", func(p *corev1.Pod) bool {
		return p.Status.Phase == corev1.PodFailed && p.Status.Reason == v1beta1.ReasonCellLost
	})
}
