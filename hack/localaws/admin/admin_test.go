package admin

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/go-logr/logr/testr"
	"github.com/google/go-cmp/cmp"
	"k8s.io/utils/clock"

	"kip.elotl.co/hack/localaws/boot/boottest"
	"kip.elotl.co/hack/localaws/catalog"
	"kip.elotl.co/hack/localaws/faults"
	"kip.elotl.co/hack/localaws/journal"
	"kip.elotl.co/hack/localaws/throttle"
	"kip.elotl.co/hack/localaws/world"
)

type fixture struct {
	*API
	backend *boottest.Backend
	url     string
}

func newFixture(t *testing.T) *fixture {
	t.Helper()
	c, err := catalog.New("us-east-1", netip.MustParsePrefix("10.9.0.0/24"))
	if err != nil {
		t.Fatal(err)
	}
	f := &fixture{API: &API{Faults: &faults.Set{}, Limits: throttle.New(clock.RealClock{}), Backend: "test"}, backend: &boottest.Backend{}}
	dir := t.TempDir()
	f.World, err = world.Open(t.Context(), world.Config{
		Catalog: c, Backend: f.backend, Capacity: f.Faults, Clock: clock.RealClock{}, Log: testr.New(t), Dir: dir,
	})
	if err != nil {
		t.Fatal(err)
	}
	if f.Journal, err = journal.Open(filepath.Join(dir, "journal.jsonl")); err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(f.Handler())
	f.url = server.URL + Prefix
	t.Cleanup(func() {
		server.Close()
		_ = f.World.Close(context.Background(), false)
		_ = f.Journal.Close()
	})
	return f
}

// call returns the status and body of one call.
func (f *fixture) call(t *testing.T, method, path, body string) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, f.url+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(data)
}

// get decodes the answer to a GET.
func get[T any](t *testing.T, f *fixture, path string) T {
	t.Helper()
	status, body := f.call(t, http.MethodGet, path, "")
	if status != http.StatusOK {
		t.Fatalf("GET %s: %d %s", path, status, body)
	}
	var out T
	if err := json.Unmarshal([]byte(body), &out); err != nil {
		t.Fatalf("GET %s: %v in %s", path, err, body)
	}
	return out
}

func (f *fixture) launch(t *testing.T) string {
	t.Helper()
	out, err := f.World.Launch(world.LaunchRequest{
		Min: 1, Max: 1, ImageID: "ami-0c0ffee0000000002", InstanceType: "t3.nano", Market: world.OnDemand, OnShutdown: "terminate",
	})
	if err != nil {
		t.Fatal(err)
	}
	return out.Instances[0].ID
}

func (f *fixture) eventually(t *testing.T, what string, ok func(Counts) bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for !ok(get[Counts](t, f, "counts")) {
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatal("never came: " + what)
		}
	}
}

func TestHealthAndSpec(t *testing.T) {
	f := newFixture(t)
	if status, body := f.call(t, http.MethodGet, "healthz", ""); status != http.StatusOK || body != "ok\n" {
		t.Errorf("healthz: %d %q", status, body)
	}
	spec := get[Spec](t, f, "spec")
	if spec.Backend != "test" || spec.Region != "us-east-1" || len(spec.Subnets) != 3 || spec.Subnets[1].Free != 59 || len(spec.Images) == 0 {
		t.Errorf("spec %+v", spec)
	}
}

func TestKill(t *testing.T) {
	f := newFixture(t)
	host, spot, silent := f.launch(t), f.launch(t), f.launch(t)
	f.eventually(t, "three running", func(c Counts) bool { return c.ByState["running"] == 3 && c.Live == 3 })
	for id, body := range map[string]string{host: "", spot: `{"spot":true}`, silent: `{"unnoticed":true}`} {
		if status, text := f.call(t, http.MethodPost, "instances/"+id+"/kill", body); status != http.StatusOK {
			t.Errorf("kill %s: %d %s", id, status, text)
		}
	}
	f.eventually(t, "one live", func(c Counts) bool { return c.ByState["terminated"] == 2 && c.Live == 1 })
	reasons := map[string]string{}
	for _, i := range get[[]Instance](t, f, "instances") {
		reasons[i.ID] = i.State + " " + i.Reason
	}
	want := map[string]string{host: "terminated Server.InternalError", spot: "terminated Server.SpotInstanceTermination", silent: "running "}
	if diff := cmp.Diff(want, reasons); diff != "" {
		t.Errorf("states and reasons (-want +got):\n%s", diff)
	}
	if n := f.backend.Running(); n != 0 {
		t.Errorf("%d machines run", n)
	}
	for path, body := range map[string]string{
		"instances/" + host + "/kill": "", "instances/i-0/kill": "", "instances/" + silent + "/kill": `{"how":"softly"}`,
	} {
		if status, text := f.call(t, http.MethodPost, path, body); status != http.StatusBadRequest {
			t.Errorf("POST %s %s: %d %s", path, body, status, text)
		}
	}
}

func TestFaultsAndJournal(t *testing.T) {
	f := newFixture(t)
	const plan = `{"capacity":[{"instanceType":"t3.nano","market":"spot"}],"delays":[{"action":"*","delay":"1ms","count":2}]}`
	if status, body := f.call(t, http.MethodPut, "faults", plan); status != http.StatusOK {
		t.Fatalf("PUT faults: %d %s", status, body)
	}
	if !f.Faults.Dry("t3.nano", "us-east-1a", "spot") || f.Faults.Dry("t3.nano", "us-east-1a", "on-demand") {
		t.Error("the plan is not in force")
	}
	if got := get[faults.Plan](t, f, "faults"); len(got.Delays) != 1 || got.Delays[0].Count != 2 {
		t.Errorf("faults %+v", got)
	}
	for _, bad := range []string{`{"capacity":[{"zone":"["}]}`, `{"errors":[{"action":"*"}]}`, `{"unknown":1}`, `nonsense`} {
		if status, body := f.call(t, http.MethodPut, "faults", bad); status != http.StatusBadRequest {
			t.Errorf("PUT %s: %d %s", bad, status, body)
		}
	}
	for _, action := range []string{"RunInstances", "DescribeImages", "RunInstances"} {
		if err := f.Journal.Add(journal.Entry{Action: action}); err != nil {
			t.Fatal(err)
		}
	}
	if got := get[[]journal.Entry](t, f, "journal?since=1&action=RunInstances"); len(got) != 1 || got[0].Seq != 3 {
		t.Errorf("journal %+v", got)
	}
	if got := get[[]journal.Entry](t, f, "journal?since=9"); len(got) != 0 {
		t.Errorf("journal %+v", got)
	}
	if status, body := f.call(t, http.MethodGet, "journal?since=yesterday", ""); status != http.StatusBadRequest {
		t.Errorf("since=yesterday: %d %s", status, body)
	}
}
