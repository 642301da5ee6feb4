package admin

import (
	"encoding/json"
	"net/http"
	"testing"

	"github.com/google/go-cmp/cmp"

	"kip.elotl.co/hack/localaws/faults"
	"kip.elotl.co/hack/localaws/journal"
	"kip.elotl.co/hack/localaws/throttle"
)

// change does a call that is to work, and decodes its answer.
func change[T any](t *testing.T, f *fixture, method, path, body string) T {
	t.Helper()
	status, text := f.call(t, method, path, body)
	if status != http.StatusOK {
		t.Fatalf("%s %s %s: %d %s", method, path, body, status, text)
	}
	var out T
	if err := json.Unmarshal([]byte(text), &out); err != nil {
		t.Fatalf("%s %s: %v in %s", method, path, err, text)
	}
	return out
}

func TestFaultsAreAddedAndTaken(t *testing.T) {
	f := newFixture(t)
	change[faults.Plan](t, f, http.MethodPost, "faults", `{"capacity":[{"instanceType":"m5.*"}],"quotas":[{"group":"g","market":"spot","vcpus":4}]}`)
	plan := change[faults.Plan](t, f, http.MethodPost, "faults", `{"capacity":[{"zone":"us-east-1a"}],"errors":[{"action":"CreateTags","code":"InternalError","count":3}],"fullSubnets":["subnet-1"]}`)
	if len(plan.Capacity) != 2 || len(plan.Quotas) != 1 || len(plan.Errors) != 1 || len(plan.FullSubnets) != 1 {
		t.Errorf("plan %+v", plan)
	}
	if n := change[Changed](t, f, http.MethodDelete, "faults/capacity?instanceType=m5.*", ""); n.Changed != 1 || f.Faults.Dry("m5.large", "us-east-1b", "spot") {
		t.Errorf("%d entries taken", n.Changed)
	}
	if n := change[Changed](t, f, http.MethodDelete, "faults/quotas?group=g", ""); n.Changed != 1 {
		t.Errorf("%d quotas taken", n.Changed)
	}
	change[faults.Plan](t, f, http.MethodDelete, "faults", "")
	if got := get[faults.Plan](t, f, "faults"); len(got.Capacity)+len(got.Errors)+len(got.FullSubnets) != 0 {
		t.Errorf("left %+v", got)
	}
}

func TestLimits(t *testing.T) {
	f := newFixture(t)
	if got := get[throttle.Settings](t, f, "limits"); got.Scale != 0 {
		t.Errorf("limits from the start: %+v", got)
	}
	if status, body := f.call(t, http.MethodPost, "limits/scale", `{"factor":0.5}`); status != http.StatusBadRequest {
		t.Errorf("half of nothing: %d %s", status, body)
	}
	change[throttle.Settings](t, f, http.MethodPut, "limits", `{"scale":1,"limits":{"RunInstances":{"requests":{"burst":4,"perSecond":1}}}}`)
	half := change[throttle.Settings](t, f, http.MethodPost, "limits/scale", `{"factor":0.5}`)
	if half.Scale != 0.5 || half.Limits["RunInstances"].Requests.Burst != 4 {
		t.Errorf("half: %+v", half)
	}
	for n, want := range []bool{true, true, false} {
		if got := f.Limits.Allow(throttle.Call{Action: "RunInstances", Resources: 1}); got != want {
			t.Errorf("launch %d: allowed %v", n, got)
		}
	}
}

func TestSpotPrices(t *testing.T) {
	f := newFixture(t)
	if n := change[Changed](t, f, http.MethodPost, "spot-prices", `{"instanceType":"t3.nano","zone":"us-east-1b","perHour":0.003}`); n.Changed != 1 {
		t.Errorf("%d changed", n.Changed)
	}
	if n := change[Changed](t, f, http.MethodPost, "spot-prices", `{"instanceType":"t3.nano","zone":"us-east-1[ac]","percent":50}`); n.Changed != 2 {
		t.Errorf("%d changed", n.Changed)
	}
	want := []SpotPrice{{"t3.nano", "us-east-1a", 0.0026, 0.0052}, {"t3.nano", "us-east-1b", 0.003, 0.0052}, {"t3.nano", "us-east-1c", 0.0026, 0.0052}}
	if diff := cmp.Diff(want, get[[]SpotPrice](t, f, "spot-prices?instanceType=t3.nano")); diff != "" {
		t.Errorf("prices (-want +got):\n%s", diff)
	}
	id := f.launch(t)
	for _, i := range get[[]Instance](t, f, "instances") {
		if i.ID == id && (i.Market != "on-demand" || i.PricePerHour != 0.0052) {
			t.Errorf("instance %+v", i)
		}
	}
}

func TestCalls(t *testing.T) {
	f := newFixture(t)
	for _, e := range []journal.Entry{{Action: "RunInstances", Created: []string{"i-1"}}, {Action: "RunInstances", Code: "X"}, {Action: "DescribeImages"}} {
		if err := f.Journal.Add(e); err != nil {
			t.Fatal(err)
		}
	}
	want := map[string]Calls{"RunInstances": {Calls: 2, Created: 1, Errors: map[string]int{"X": 1}}, "DescribeImages": {Calls: 1}}
	if diff := cmp.Diff(want, get[map[string]Calls](t, f, "calls")); diff != "" {
		t.Errorf("calls (-want +got):\n%s", diff)
	}
	if got := get[map[string]Calls](t, f, "calls?since=2"); len(got) != 1 {
		t.Errorf("calls since 2: %+v", got)
	}
	if got := get[[]journal.Entry](t, f, "journal?last=1"); len(got) != 1 || got[0].Seq != 3 {
		t.Errorf("the last entry: %+v", got)
	}
}

func TestRefusals(t *testing.T) {
	f := newFixture(t)
	for _, c := range []struct{ method, path, body string }{
		{http.MethodPost, "faults", `{"quotas":[{"group":"m5","market":"spot"}]}`}, {http.MethodPost, "faults", `{"fullSubnets":[""]}`},
		{http.MethodDelete, "faults/capacity?zone=[", ""}, {http.MethodPut, "limits", `{"scale":-1}`}, {http.MethodPost, "limits/scale", `{"factor":0}`},
		{http.MethodPost, "spot-prices", `{"instanceType":"t9.huge","perHour":1}`}, {http.MethodPost, "spot-prices", `{"price":1}`},
		{http.MethodGet, "calls?since=x", ""}, {http.MethodGet, "journal?last=-1", ""},
	} {
		if status, body := f.call(t, c.method, c.path, c.body); status != http.StatusBadRequest {
			t.Errorf("%s %s %s: %d %s", c.method, c.path, c.body, status, body)
		}
	}
}
