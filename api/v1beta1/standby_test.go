package v1beta1_test

import (
	"testing"

	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"kip.elotl.co/api/v1beta1"
)

func standby(edit ...func(object)) []any {
	entry := object{"instanceType": "m5.large", "count": 2}
	for _, e := range edit {
		e(entry)
	}
	return []any{entry}
}

func with(field string, value any) func(object) { return func(o object) { o[field] = value } }

// Standby cells and disruption are refused by their fields.
func TestStandbyValidation(t *testing.T) {
	c := apiServer.Client(t)
	twice := append(standby(with("zone", "us-east-1a")), standby(with("zone", "us-east-1a"), with("count", 1))...)
	apart := append(standby(), standby(with("launchType", "Spot"))...)
	for name, test := range map[string]struct {
		path  string
		value any
		want  string
	}{
		"some":                  {"standbyCells", standby(), ""},
		"none":                  {"standbyCells", standby(with("count", 0)), ""},
		"of two markets":        {"standbyCells", append(apart, standby(with("zone", "us-east-1a"))...), ""},
		"too few":               {"standbyCells", standby(with("count", -1)), "spec.standbyCells[0].count"},
		"too many":              {"standbyCells", standby(with("count", 101)), "spec.standbyCells[0].count"},
		"a pattern":             {"standbyCells", standby(with("instanceType", "m5*")), "spec.standbyCells[0].instanceType"},
		"no type":               {"standbyCells", standby(with("instanceType", "")), "spec.standbyCells[0].instanceType"},
		"an unknown market":     {"standbyCells", standby(with("launchType", "spot")), "spec.standbyCells[0].launchType"},
		"the same twice":        {"standbyCells", twice, "add their counts"},
		"any age":               {"standbyCells", standby(with("maxAge", "0")), ""},
		"an age":                {"standbyCells", standby(with("maxAge", "36h")), ""},
		"too young":             {"standbyCells", standby(with("maxAge", "9m")), "must be between 10m and 8784h"},
		"no age":                {"standbyCells", standby(with("maxAge", "old")), "must be a duration"},
		"replace":               {"disruption", object{"drifted": "Replace", "budget": "10%"}, ""},
		"replace three":         {"disruption", object{"drifted": "Replace", "budget": 3}, ""},
		"an unknown policy":     {"disruption", object{"drifted": "Evict"}, "spec.disruption.drifted"},
		"no budget":             {"disruption", object{"budget": 0}, "must be a number from 1 to 1000"},
		"a budget of nothing":   {"disruption", object{"budget": "0%"}, "a percentage from 1% to 100%"},
		"a budget of too much":  {"disruption", object{"budget": "101%"}, "a percentage from 1% to 100%"},
		"a budget without unit": {"disruption", object{"budget": "10"}, "a percentage from 1% to 100%"},
	} {
		t.Run(name, func(t *testing.T) {
			check(t, c, manifest("CellClass", "standby", set(classSpec(), test.path, test.value)), test.want)
		})
	}
}

// A Cell is reserved when it is made, or never.
func TestReservationCannotBeChanged(t *testing.T) {
	c := apiServer.Client(t)
	check(t, c, manifest("Cell", "reserved", set(cellSpec(), "reservedFor.ownerUID", "")), "spec.reservedFor.ownerUID")
	cell := &v1beta1.Cell{}
	cell.GenerateName, cell.Spec = "reserved-", v1beta1.CellSpec{CellClassName: "default", ReservedFor: &v1beta1.CellReservation{OwnerUID: "a"}}
	if err := c.Create(t.Context(), cell); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Delete(t.Context(), cell) })
	for patch, want := range map[string]string{
		`{"spec":{"reservedFor":{"ownerUID":"b"}}}`:                          "spec.reservedFor cannot be changed",
		`{"spec":{"reservedFor":null}}`:                                      "spec.reservedFor cannot be changed",
		`{"spec":{"podRef":{"namespace":"ns","name":"web","uid":"of-web"}}}`: "",
	} {
		checkAnswer(t, c.Patch(t.Context(), cell.DeepCopy(), client.RawPatch(types.MergePatchType, []byte(patch)), client.DryRunAll), want)
	}
}
