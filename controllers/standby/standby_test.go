package standby

import (
	"context"
	"fmt"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"kip.elotl.co/api/v1beta1"
	"kip.elotl.co/test/fixture"
)

func refTo(name string) *v1beta1.PodReference {
	return &v1beta1.PodReference{Namespace: metav1.NamespaceDefault, Name: name, UID: "uid-of-" + name}
}

// The cells are there before any pod, and another takes the place of one that
// gets a pod. Fewer are kept when the class says so, none when it goes.
func TestKeepsStandbyCells(t *testing.T) {
	b := newBench(t).start()
	class := b.class(2)
	free := b.free(2)
	if free[0].Spec.InstanceType != "t3.small" || free[0].Spec.LaunchType != v1beta1.LaunchOnDemand {
		t.Errorf("made %+v", free[0].Spec)
	}
	b.claim(&free[0], refTo("web"))
	b.free(2)
	b.edit(class, func(c *v1beta1.CellClassSpec) { c.StandbyCells[0].Count = 1 })
	b.free(1)
	if n := len(b.cells()); n != 2 {
		t.Errorf("%d Cells are left, want that of the pod and one", n)
	}
	if err := b.Delete(t.Context(), class); err != nil {
		t.Fatal(err)
	}
	b.free(0)
	if is, err := fixture.Get(t.Context(), b, &free[0]); err != nil || !is.DeletionTimestamp.IsZero() {
		t.Errorf("the pod's Cell: %v, %v", is, err)
	}
}

// An operator that takes over makes nothing twice, and makes what lacks.
func TestOperatorRestarted(t *testing.T) {
	b := newBench(t).start()
	b.class(3)
	free := b.free(3)
	b.stop()
	b.claim(&free[0], refTo("web"))
	b.start()
	b.free(3)
	if n := len(b.cells()); n != 4 {
		t.Errorf("there are %d Cells, want 4", n)
	}
}

// What a class makes otherwise takes the place of what waits for a pod; what has
// one stays, and says so.
func TestReplacedWhenTheClassChanges(t *testing.T) {
	b := newBench(t).start()
	class := b.class(2)
	old := b.free(2)
	b.claim(&old[0], refTo("web"))
	b.edit(class, func(c *v1beta1.CellClassSpec) { c.CloudInit = "#cloud-config\nhostname: second\n" })
	fixture.WaitGone(t, b, &old[1])
	for _, c := range b.free(2) {
		if c.UID == old[1].UID {
			t.Error("the old one waits on")
		}
	}
	fixture.WaitFor(t, b, &old[0], "it has drifted", func(c *v1beta1.Cell) error {
		if !meta.IsStatusConditionTrue(c.Status.Conditions, v1beta1.ConditionDrifted) {
			return fmt.Errorf("conditions %+v", c.Status.Conditions)
		}
		return nil
	})
}

// One that is too old goes when another is Ready.
func TestReplacedByAge(t *testing.T) {
	b := newBench(t).start()
	class := b.class(1)
	old := b.free(1)[0]
	fixture.Eventually(t, "it was Ready long ago", func(ctx context.Context) error {
		is, err := fixture.Get(ctx, b, &old)
		if err != nil {
			return err
		}
		for i := range is.Status.PhaseTimes {
			is.Status.PhaseTimes[i].Time = metav1.NewMicroTime(time.Now().Add(-2 * time.Hour))
		}
		return b.Status().Update(ctx, is)
	})
	b.edit(class, func(c *v1beta1.CellClassSpec) { c.StandbyCells[0].MaxAge = &metav1.Duration{Duration: time.Hour} })
	fixture.WaitGone(t, b, &old)
	if is := b.free(1)[0]; is.UID == old.UID {
		t.Error("it is there")
	}
}

// A cell that was claimed since it was looked at is not ended.
func TestClaimedMeanwhile(t *testing.T) {
	b := newBench(t)
	seen := &v1beta1.Cell{ObjectMeta: metav1.ObjectMeta{Name: b.name, Labels: map[string]string{fixture.TestLabel: b.name}}, Spec: v1beta1.CellSpec{CellClassName: b.name}}
	if err := b.Create(t.Context(), seen); err != nil {
		t.Fatal(err)
	}
	b.claim(seen.DeepCopy(), refTo("web"))
	if err := New(Options{Client: b, Clock: b.clock}).end(t.Context(), seen); err != nil {
		t.Fatal(err)
	}
	if is, err := fixture.Get(t.Context(), b, seen); err != nil || !is.DeletionTimestamp.IsZero() {
		t.Errorf("it was ended: %v", err)
	}
}

// pod makes a pod of a controller, with a Cell that is Ready.
func (b *bench) pod(name string) (*corev1.Pod, *v1beta1.Cell) {
	b.Helper()
	yes := true
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: metav1.NamespaceDefault, Name: b.name + "-" + name, Labels: map[string]string{"app": b.name},
			OwnerReferences: []metav1.OwnerReference{{APIVersion: "apps/v1", Kind: "ReplicaSet", Name: "rs", UID: "rs", Controller: &yes}}},
		Spec: corev1.PodSpec{NodeName: "kip-" + b.name, Containers: []corev1.Container{{Name: "main", Image: "busybox"}}},
	}
	if err := b.Create(b.Context(), pod); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = b.Delete(context.Background(), pod, client.GracePeriodSeconds(0)) })
	pod.Status.Phase = corev1.PodRunning
	pod.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}}
	if err := b.Status().Update(b.Context(), pod); err != nil {
		b.Fatal(err)
	}
	c := &v1beta1.Cell{
		ObjectMeta: metav1.ObjectMeta{Name: v1beta1.CellNameForPod(pod.UID), Labels: map[string]string{fixture.TestLabel: b.name}},
		Spec: v1beta1.CellSpec{CellClassName: b.name, InstanceType: "t3.small",
			PodRef: &v1beta1.PodReference{Namespace: pod.Namespace, Name: pod.Name, UID: string(pod.UID)}},
	}
	if err := b.Create(b.Context(), c); err != nil {
		b.Fatal(err)
	}
	return pod, fixture.WaitFor(b, b, c, "the cell is Ready", func(is *v1beta1.Cell) error {
		if !isReady(is) {
			return fmt.Errorf("conditions %+v", is.Status.Conditions)
		}
		return nil
	})
}

// evicted are the pods that were.
func (b *bench) evicted(pods ...*corev1.Pod) (evicted []*corev1.Pod) {
	b.Helper()
	for _, pod := range pods {
		is := &corev1.Pod{}
		if err := b.Get(context.Background(), client.ObjectKeyFromObject(pod), is); err != nil || !is.DeletionTimestamp.IsZero() {
			evicted = append(evicted, is)
		}
	}
	return evicted
}

// Where the class says so, pods of drifted cells are evicted, as many at once as
// its budget has, and the next when the place of one is taken.
func TestDriftedPodsAreEvicted(t *testing.T) {
	b := newBench(t).start()
	one := intstr.FromInt32(1)
	class := b.class(0, func(c *v1beta1.CellClassSpec) {
		c.Disruption = v1beta1.DisruptionSpec{Drifted: v1beta1.DriftReplace, Budget: &one}
	})
	first, firstCell := b.pod("first")
	second, secondCell := b.pod("second")
	b.edit(class, func(c *v1beta1.CellClassSpec) { c.CloudInit = "#cloud-config\nhostname: second\n" })
	wait := func(n int) []*corev1.Pod {
		var evicted []*corev1.Pod
		fixture.Eventually(t, fmt.Sprintf("%d are evicted", n), func(context.Context) error {
			if evicted = b.evicted(first, second); len(evicted) != n {
				return fmt.Errorf("%d are", len(evicted))
			}
			return nil
		})
		return evicted
	}
	gone := wait(1)[0]
	its := firstCell
	if gone.Name == second.Name {
		its = secondCell
	}
	target := false
	for _, condition := range gone.Status.Conditions {
		target = target || condition.Type == corev1.DisruptionTarget && condition.Status == corev1.ConditionTrue
	}
	if !target {
		t.Errorf("it has no DisruptionTarget: %+v", gone.Status.Conditions)
	}
	if n := len(b.evicted(first, second)); n != 1 {
		t.Errorf("%d are evicted at once", n)
	}
	if err := b.Delete(t.Context(), its); err != nil {
		t.Fatal(err)
	}
	wait(2)
}

// A PodDisruptionBudget holds the eviction up; a pod that nobody makes again stays.
func TestEvictionIsHeldUp(t *testing.T) {
	b := newBench(t).start()
	none := intstr.FromInt32(0)
	budget := &policyv1.PodDisruptionBudget{ObjectMeta: metav1.ObjectMeta{Namespace: metav1.NamespaceDefault, Name: b.name},
		Spec: policyv1.PodDisruptionBudgetSpec{MaxUnavailable: &none, Selector: &metav1.LabelSelector{MatchLabels: map[string]string{"app": b.name}}}}
	if err := b.Create(t.Context(), budget); err != nil {
		t.Fatal(err)
	}
	class := b.class(0, func(c *v1beta1.CellClassSpec) { c.Disruption.Drifted = v1beta1.DriftReplace })
	held, heldCell := b.pod("held")
	b.edit(class, func(c *v1beta1.CellClassSpec) { c.CloudInit = "#cloud-config\nhostname: second\n" })
	drifted := fixture.WaitFor(t, b, heldCell, "it has drifted", func(c *v1beta1.Cell) error {
		if !meta.IsStatusConditionTrue(c.Status.Conditions, v1beta1.ConditionDrifted) {
			return fmt.Errorf("conditions %+v", c.Status.Conditions)
		}
		return nil
	})
	c, is := New(Options{Client: b, Clock: b.clock}), &v1beta1.CellClass{}
	if err := b.Get(t.Context(), client.ObjectKeyFromObject(class), is); err != nil {
		t.Fatal(err)
	}
	if again, err := c.replaceDrifted(t.Context(), is, []v1beta1.Cell{*drifted}); again != refusedAgain || err != nil {
		t.Errorf("again after %s, %v", again, err)
	}
	if n := len(b.evicted(held)); n != 0 {
		t.Error("it was evicted")
	}
	orphan := held.DeepCopy()
	if err := b.Get(t.Context(), client.ObjectKeyFromObject(held), orphan); err != nil {
		t.Fatal(err)
	}
	orphan.OwnerReferences = nil
	if err := b.Update(t.Context(), orphan); err != nil {
		t.Fatal(err)
	}
	if err := b.Delete(t.Context(), budget); err != nil {
		t.Fatal(err)
	}
	if again, err := c.replaceDrifted(t.Context(), is, []v1beta1.Cell{*drifted}); again != 0 || err != nil || len(b.evicted(held)) != 0 {
		t.Errorf("of nobody: again after %s, %v, evicted %d", again, err, len(b.evicted(held)))
	}
}

func TestBudget(t *testing.T) {
	class := &v1beta1.CellClass{}
	if n := budgetOf(class, 50); n != 1 {
		t.Errorf("none said: %d", n)
	}
	for text, want := range map[string]int{"3": 3, "10%": 5, "1%": 1, "100%": 50} {
		budget := intstr.Parse(text)
		class.Spec.Disruption.Budget = &budget
		if n := budgetOf(class, 50); n != want {
			t.Errorf("%s of 50: %d, want %d", text, n, want)
		}
	}
}
