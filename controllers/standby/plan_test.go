package standby

import (
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"kip.elotl.co/api/v1beta1"
)

func planClass(entries ...v1beta1.StandbyCells) *v1beta1.CellClass {
	class := &v1beta1.CellClass{ObjectMeta: metav1.ObjectMeta{Name: "default", UID: "uid"}}
	class.Spec.DefaultLaunchType, class.Spec.StandbyCells = v1beta1.LaunchOnDemand, entries
	class.Status.SecurityGroups = []string{"sg-1"}
	meta.SetStatusCondition(&class.Status.Conditions, metav1.Condition{Type: v1beta1.ConditionReady, Status: metav1.ConditionTrue, Reason: "Ready"})
	return class
}

// planned is a standby Cell as the class makes its n-th, of an age.
func planned(class *v1beta1.CellClass, n int, age time.Duration, edit ...func(*v1beta1.Cell)) v1beta1.Cell {
	cell := newCell(class, wantedKey(class, &class.Spec.StandbyCells[0]), n)
	cell.CreationTimestamp = metav1.NewTime(planTime().Add(-age))
	cell.Status.PhaseTimes = []v1beta1.PhaseTime{{Phase: v1beta1.CellReady, Time: metav1.NewMicroTime(planTime().Add(-age))}}
	for _, e := range edit {
		e(&cell)
	}
	return cell
}

func planTime() time.Time { return time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC) }

func is(kind string) func(*v1beta1.Cell) {
	return func(cell *v1beta1.Cell) {
		meta.SetStatusCondition(&cell.Status.Conditions, metav1.Condition{Type: kind, Status: metav1.ConditionTrue, Reason: "X"})
	}
}

func claimed(cell *v1beta1.Cell) { cell.Spec.PodRef = &v1beta1.PodReference{} }

func TestPlan(t *testing.T) {
	week := &metav1.Duration{Duration: 7 * 24 * time.Hour}
	class := planClass(v1beta1.StandbyCells{InstanceType: "m5.large", Count: 2, MaxAge: week})
	ready, drifted := is(v1beta1.ConditionReady), is(v1beta1.ConditionDrifted)
	now := metav1.NewTime(planTime())
	name := func(n int) string { return planned(class, n, 0).Name }
	const young, old = time.Hour, 8 * 24 * time.Hour
	for what, test := range map[string]struct {
		have      []v1beta1.Cell
		make, end []string
	}{
		"none":                     {nil, []string{name(0), name(1)}, nil},
		"enough":                   {[]v1beta1.Cell{planned(class, 0, young), planned(class, 1, young)}, nil, nil},
		"one was claimed":          {[]v1beta1.Cell{planned(class, 0, young, claimed), planned(class, 1, young)}, []string{name(2)}, nil},
		"one ends":                 {[]v1beta1.Cell{planned(class, 0, young, func(c *v1beta1.Cell) { c.DeletionTimestamp = &now }), planned(class, 1, young)}, []string{name(2)}, nil},
		"one has drifted":          {[]v1beta1.Cell{planned(class, 0, young, ready, drifted), planned(class, 1, young)}, []string{name(2)}, []string{name(0)}},
		"one drifted with its pod": {[]v1beta1.Cell{planned(class, 0, young, drifted, claimed), planned(class, 1, young), planned(class, 2, young)}, nil, nil},
		"one is old":               {[]v1beta1.Cell{planned(class, 0, old, ready), planned(class, 1, young, ready)}, []string{name(2)}, nil},
		"its successor boots":      {[]v1beta1.Cell{planned(class, 0, old, ready), planned(class, 1, young, ready), planned(class, 2, 0)}, nil, nil},
		"its successor is Ready":   {[]v1beta1.Cell{planned(class, 0, old, ready), planned(class, 1, young, ready), planned(class, 2, 0, ready)}, nil, []string{name(0)}},
		"one too many boots":       {[]v1beta1.Cell{planned(class, 0, young, ready), planned(class, 1, young, ready), planned(class, 2, old/2)}, nil, []string{name(2)}},
		"one too many is the oldest": {[]v1beta1.Cell{planned(class, 0, young, ready), planned(class, 1, 2*young, ready), planned(class, 2, young, ready)},
			nil, []string{name(1)}},
		"one of another type": {[]v1beta1.Cell{planned(class, 0, young), planned(class, 1, young), planned(class, 2, young, func(c *v1beta1.Cell) { c.Spec.InstanceType = "m5.xlarge" })},
			nil, []string{name(2)}},
		"one of a user": {[]v1beta1.Cell{planned(class, 0, young), planned(class, 1, young), planned(class, 2, young, func(c *v1beta1.Cell) { c.Labels = nil })}, nil, nil},
	} {
		p := planOf(class, test.have, planTime())
		var made, ended []string
		for i := range p.make {
			made = append(made, p.make[i].Name)
		}
		for i := range p.end {
			ended = append(ended, p.end[i].Name)
		}
		slices.Sort(made)
		slices.Sort(test.make)
		if diff := cmp.Diff(test.make, made); diff != "" {
			t.Errorf("%s: made (-want +got):\n%s", what, diff)
		}
		if diff := cmp.Diff(test.end, ended); diff != "" {
			t.Errorf("%s: ended (-want +got):\n%s", what, diff)
		}
	}
}

// The next look is when the first gets too old; without a limit there is none.
func TestPlanLooksAgain(t *testing.T) {
	class := planClass(v1beta1.StandbyCells{InstanceType: "m5.large", Count: 2, MaxAge: &metav1.Duration{Duration: 10 * time.Hour}})
	have := []v1beta1.Cell{planned(class, 0, 3*time.Hour), planned(class, 1, time.Hour)}
	if p := planOf(class, have, planTime()); p.next != 7*time.Hour {
		t.Errorf("next look in %s", p.next)
	}
	class.Spec.StandbyCells[0].MaxAge = &metav1.Duration{}
	if p := planOf(class, have, planTime()); p.next != 0 || len(p.end) != 0 {
		t.Errorf("next look in %s, ended %v", p.next, p.end)
	}
}

// Nothing is made of a class that is not ready, or goes; in the latter case all go.
func TestPlanOfAClassThatMakesNone(t *testing.T) {
	class := planClass(v1beta1.StandbyCells{InstanceType: "m5.large", Count: 2})
	have := []v1beta1.Cell{planned(class, 0, time.Hour), planned(class, 1, time.Hour, claimed)}
	meta.SetStatusCondition(&class.Status.Conditions, metav1.Condition{Type: v1beta1.ConditionReady, Status: metav1.ConditionFalse, Reason: "ImageNotFound"})
	if p := planOf(class, have, planTime()); len(p.make)+len(p.end) != 0 {
		t.Errorf("not ready: %+v", p)
	}
	class = planClass(class.Spec.StandbyCells...)
	now := metav1.NewTime(planTime())
	class.DeletionTimestamp = &now
	if p := planOf(class, have, planTime()); len(p.make) != 0 || len(p.end) != 1 || p.end[0].Name != have[0].Name {
		t.Errorf("being deleted: %+v", p)
	}
}

// A cell that is reserved for a pod that does not come goes after a while.
func TestReservedCellsGo(t *testing.T) {
	class := planClass(v1beta1.StandbyCells{InstanceType: "m5.large", Count: 0})
	reserved := func(cell *v1beta1.Cell) { cell.Spec.ReservedFor = &v1beta1.CellReservation{OwnerUID: "owner"} }
	have := []v1beta1.Cell{planned(class, 0, reservedTime/2, reserved), planned(class, 1, reservedTime, reserved), planned(class, 2, 2*reservedTime, reserved, claimed)}
	if p := planOf(class, have, planTime()); len(p.end) != 1 || p.end[0].Name != have[1].Name || p.next != reservedTime/2 {
		t.Errorf("%+v", p)
	}
}
