package main

import (
	"bytes"
	"context"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/go-logr/logr/testr"
	"github.com/spf13/cobra"
	"k8s.io/utils/clock"

	"kip.elotl.co/hack/localaws/admin"
	"kip.elotl.co/hack/localaws/boot/boottest"
	"kip.elotl.co/hack/localaws/catalog"
	"kip.elotl.co/hack/localaws/faults"
	"kip.elotl.co/hack/localaws/journal"
	"kip.elotl.co/hack/localaws/throttle"
	"kip.elotl.co/hack/localaws/world"
)

type fixture struct {
	*admin.API
	url string
}

func newFixture(t *testing.T) *fixture {
	t.Helper()
	c, err := catalog.New("us-east-1", netip.MustParsePrefix("10.9.0.0/24"))
	if err != nil {
		t.Fatal(err)
	}
	f := &fixture{API: &admin.API{Faults: &faults.Set{}, Limits: throttle.New(clock.RealClock{})}}
	dir := t.TempDir()
	if f.World, err = world.Open(t.Context(), world.Config{Catalog: c, Backend: &boottest.Backend{}, Capacity: f.Faults, Clock: clock.RealClock{}, Log: testr.New(t), Dir: dir}); err != nil {
		t.Fatal(err)
	}
	if f.Journal, err = journal.Open(filepath.Join(dir, "journal.jsonl")); err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(f.Handler())
	f.url = server.URL
	t.Cleanup(func() {
		server.Close()
		_ = f.World.Close(context.Background(), false)
		_ = f.Journal.Close()
	})
	return f
}

// run runs a command line and returns what it prints.
func run(t *testing.T, args ...string) (string, error) {
	t.Helper()
	var out bytes.Buffer
	cmd := command()
	cmd.SetOut(&out)
	cmd.SetArgs(args)
	err := cmd.ExecuteContext(t.Context())
	return out.String(), err
}

func (f *fixture) run(t *testing.T, args ...string) string {
	t.Helper()
	out, err := run(t, append(args, "--endpoint", f.url)...)
	if err != nil {
		t.Fatalf("%v: %v", args, err)
	}
	return out
}

func (f *fixture) launch(t *testing.T, market string) string {
	t.Helper()
	out, err := f.World.Launch(world.LaunchRequest{Min: 1, Max: 1, ImageID: "ami-0c0ffee0000000002", InstanceType: "t3.nano", Market: market, OnShutdown: "terminate"})
	if err != nil {
		t.Fatal(err)
	}
	return out.Instances[0].ID
}

func TestFaults(t *testing.T) {
	f := newFixture(t)
	f.run(t, "dry", "t3.*", "--zone", "us-east-1a", "--market", "spot")
	if !f.Faults.Dry("t3.nano", "us-east-1a", "spot") || f.Faults.Dry("t3.nano", "us-east-1a", "on-demand") {
		t.Error("dry: not as told")
	}
	if out := f.run(t, "wet", "t3.*"); !strings.HasPrefix(out, "1 ") || f.Faults.Dry("t3.nano", "us-east-1a", "spot") {
		t.Errorf("wet: %s", out)
	}
	f.run(t, "quota", "g", "8", "--market", "spot")
	if n, ok := f.Faults.GroupLimit("g", "spot"); !ok || n != 8 {
		t.Errorf("quota: %d %v", n, ok)
	}
	f.run(t, "quota", "g", "none", "--market", "spot")
	if _, ok := f.Faults.GroupLimit("g", "spot"); ok {
		t.Error("quota: not taken away")
	}
	f.run(t, "throttle", "RunInstances", "-n", "2")
	f.run(t, "error", "Describe*", "InternalError", "--message", "on purpose")
	if v := f.Faults.Judge("RunInstances"); v.Refusal == nil || v.Refusal.Code != "RequestLimitExceeded" {
		t.Errorf("throttle: %+v", v)
	}
	if out := f.run(t, "faults"); !strings.Contains(out, "on purpose") || !strings.Contains(out, `"count": 1`) {
		t.Errorf("faults: %s", out)
	}
	f.run(t, "full", "subnet-*")
	if f.World.Free(f.World.Catalog.Subnets[0]) != 0 {
		t.Error("full: there are free addresses")
	}
	f.run(t, "heal")
	if v := f.Faults.Judge("DescribeImages"); v.Refusal != nil || f.World.Free(f.World.Catalog.Subnets[0]) == 0 {
		t.Error("heal: something still goes wrong")
	}
}

func TestPricesAndLimits(t *testing.T) {
	f := newFixture(t)
	f.run(t, "spot-price", "t3.nano", "0.0031", "--zone", "us-east-1a")
	if out := f.run(t, "spot-prices", "t3.nano", "--zone", "us-east-1a"); !strings.Contains(out, "0.0031  0.0052") {
		t.Errorf("spot-prices: %s", out)
	}
	f.run(t, "spot-price", "t3.nano", "50%")
	if p, _ := f.World.Market.Now("t3.nano", "us-east-1c"); p != 0.0026 {
		t.Errorf("half of it: %v", p)
	}
	f.run(t, "limits", "1")
	if f.run(t, "limits", "halve"); f.Limits.Settings().Scale != 0.5 {
		t.Errorf("limits %+v", f.Limits.Settings())
	}
	if out := f.run(t, "limits"); !strings.Contains(out, "0.5") {
		t.Errorf("limits: %s", out)
	}
	if f.run(t, "limits", "none"); f.Limits.Settings().Scale != 0 {
		t.Errorf("limits %+v", f.Limits.Settings())
	}
}

func TestInstancesAndCalls(t *testing.T) {
	f := newFixture(t)
	onDemand, spot := f.launch(t, world.OnDemand), f.launch(t, world.Spot)
	if out := f.run(t, "instances"); !strings.Contains(out, onDemand) || !strings.Contains(out, spot) || !strings.Contains(out, "0.0052") {
		t.Errorf("instances: %s", out)
	}
	f.run(t, "interrupt", spot, "--notice", "0s")
	if i, _ := f.World.Instance(spot); i.StateReason != world.SpotTermination {
		t.Errorf("interrupt: %+v", i.StateReason)
	}
	if _, err := run(t, "interrupt", onDemand, "--endpoint", f.url); err == nil || !strings.Contains(err.Error(), "no Spot instance") {
		t.Errorf("interrupt of what is not Spot: %v", err)
	}
	for _, e := range []journal.Entry{
		{Action: "RunInstances", Created: []string{"i-1"}, Params: map[string]string{"InstanceType": "t3.nano", "UserData.Size": "9", "X": strings.Repeat("é", 200)}},
		{Action: "RunInstances", Code: "VcpuLimitExceeded", Fault: "refused"},
	} {
		if err := f.Journal.Add(e); err != nil {
			t.Fatal(err)
		}
	}
	out := f.run(t, "journal", "--action", "RunInstances")
	if !strings.Contains(out, "InstanceType=t3.nano X=é") || strings.Contains(out, "UserData") || !strings.Contains(out, "VcpuLimitExceeded, refused") {
		t.Errorf("journal: %s", out)
	}
	if out := f.run(t, "journal", "--last", "1"); strings.Contains(out, "i-1") {
		t.Errorf("journal: %s", out)
	}
	if out := f.run(t, "calls"); !strings.Contains(out, "VcpuLimitExceeded: 1") {
		t.Errorf("calls: %s", out)
	}
}

func TestRefusals(t *testing.T) {
	f := newFixture(t)
	for _, args := range [][]string{
		{"dry"}, {"dry", "["}, {"dry", "t3.nano", "extra"}, {"quota", "m5", "1"}, {"quota", "g", "few"}, {"quota", "g", "1", "--market", "flea"}, {"throttle", "X", "-n", "-1"},
		{"spot-price", "t3.nano", "cheap"}, {"spot-price", "t9.huge", "1"}, {"spot-price", "t3.nano", "-5%"}, {"limits", "halve"}, {"limits", "fast"}, {"interrupt", "i-0"},
	} {
		if out, err := run(t, append(args, "--endpoint", f.url)...); err == nil {
			t.Errorf("%v: accepted: %s", args, out)
		}
	}
}

func TestEndpoint(t *testing.T) {
	f := newFixture(t)
	t.Setenv(endpointVariable, "")
	dir := t.TempDir()
	below := filepath.Join(dir, "a", "b")
	if err := os.MkdirAll(below, 0o700); err != nil {
		t.Fatal(err)
	}
	t.Chdir(below)
	if _, err := run(t, "faults"); err == nil || !strings.Contains(err.Error(), "make up") {
		t.Errorf("without an emulator: %v", err)
	}
	if err := os.Mkdir(filepath.Join(dir, ".dev"), 0o700); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, ".dev", "aws.env")
	if err := os.WriteFile(file, []byte("export AWS_REGION=us-east-1\nexport AWS_ENDPOINT_URL="+f.url+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := run(t, "faults"); err != nil {
		t.Errorf("by the file: %v", err)
	}
	t.Setenv(endpointVariable, "http://127.0.0.1:1")
	if _, err := run(t, "faults"); err == nil {
		t.Error("the variable does not come first")
	}
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv(endpointVariable, "")
	if _, err := run(t, "faults"); err == nil {
		t.Error("a file without an endpoint is taken")
	}
}

// Every command shows how it is used.
func TestExamples(t *testing.T) {
	var walk func(*cobra.Command)
	walk = func(cmd *cobra.Command) {
		if !strings.Contains(cmd.Example, "localctl") {
			t.Errorf("%s has no example", cmd.Name())
		}
		for _, c := range cmd.Commands() {
			walk(c)
		}
	}
	walk(command())
}
