package cell

import (
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/event"

	"kip.elotl.co/api/v1beta1"
)

// TestCountsWakeNoCells: the counts of a class change with each of its Cells;
// if they woke all others, a hundred Cells would cost ten thousand looks.
func TestCountsWakeNoCells(t *testing.T) {
	class := func() *v1beta1.CellClass {
		return &v1beta1.CellClass{
			ObjectMeta: metav1.ObjectMeta{Name: "c", Generation: 3, ResourceVersion: "1"},
			Status: v1beta1.CellClassStatus{
				Conditions: []metav1.Condition{{Type: v1beta1.ConditionReady, Status: metav1.ConditionTrue, ObservedGeneration: 3}},
				Images:     []v1beta1.ResolvedImage{{Architecture: "amd64", ID: "ami-1"}},
				Subnets:    []v1beta1.ResolvedSubnet{{ID: "subnet-1", Zone: "a"}},
			},
		}
	}
	for name, test := range map[string]struct {
		change func(*v1beta1.CellClass)
		want   bool
	}{
		"counts":     {func(c *v1beta1.CellClass) { c.Status.Cells, c.Status.ReadyCells = 7, 5 }, false},
		"addresses":  {func(c *v1beta1.CellClass) { c.Status.Subnets[0].FreeAddresses = 7 }, false},
		"labels":     {func(c *v1beta1.CellClass) { c.Labels = map[string]string{"a": "b"} }, false},
		"spec":       {func(c *v1beta1.CellClass) { c.Generation = 4 }, true},
		"conditions": {func(c *v1beta1.CellClass) { c.Status.Conditions[0].Status = metav1.ConditionFalse }, true},
		"images":     {func(c *v1beta1.CellClass) { c.Status.Images[0].ID = "ami-2" }, true},
		"subnets":    {func(c *v1beta1.CellClass) { c.Status.Subnets[0].Zone = "b" }, true},
		"both":       {func(c *v1beta1.CellClass) { c.Status.Cells = 7; c.Status.Images = nil }, true},
		"deletion":   {func(c *v1beta1.CellClass) { now := metav1.Now(); c.DeletionTimestamp = &now; c.Generation++ }, true},
		"new UID":    {func(c *v1beta1.CellClass) { c.UID = "other" }, true},
	} {
		is := class()
		is.ResourceVersion = "2"
		test.change(is)
		if got := classMatters().Update(event.UpdateEvent{ObjectOld: class(), ObjectNew: is}); got != test.want {
			t.Errorf("%s: %v", name, got)
		}
	}
	if p := classMatters(); !p.Create(event.CreateEvent{Object: class()}) || !p.Delete(event.DeleteEvent{Object: class()}) {
		t.Error("classes that come or go wake nobody")
	}
}
