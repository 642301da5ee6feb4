package dev

import (
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/yaml"

	"kip.elotl.co/api/v1beta1"
)

func testEnvironment(t *testing.T, hollow bool) Environment {
	t.Helper()
	subnet := "100.64.79.0/24"
	if hollow {
		subnet = "127.80.0.0/16"
	}
	e := Environment{
		Root: "../..", Dir: t.TempDir(), BinDir: t.TempDir(), Name: "test", Subnet: netip.MustParsePrefix(subnet), Hollow: hollow,
	}
	e, err := e.complete()
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func TestPackagesThatAreMissing(t *testing.T) {
	yes, no := func() bool { return true }, func() bool { return false }
	got := missingPackages([]pkg{{"there", "", yes}, {"missing", "", no}, {"there too", "", yes}})
	if len(got) != 1 || got[0].name != "missing" {
		t.Errorf("missing: %v", got)
	}
}

func TestStatic(t *testing.T) {
	script := filepath.Join(t.TempDir(), "script")
	if err := os.WriteFile(script, []byte("#!/bin/sh\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{script, "/nonexistent", "/bin/sh"} {
		if static(path)() {
			t.Errorf("%s is called a static executable", path)
		}
	}
}

func TestIncomplete(t *testing.T) {
	good := testEnvironment(t, false)
	for name, change := range map[string]func(*Environment){
		"no directory":         func(e *Environment) { e.Dir = "" },
		"no name":              func(e *Environment) { e.Name = "" },
		"hollow out of bounds": func(e *Environment) { e.Hollow = true },
	} {
		e := good
		change(&e)
		if _, err := e.complete(); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

func TestPortsStay(t *testing.T) {
	e := testEnvironment(t, true)
	if err := e.choosePorts(t.Context()); err != nil {
		t.Fatal(err)
	}
	first, err := e.Endpoints()
	if err != nil {
		t.Fatal(err)
	}
	operator := first.Operators[0]
	distinct := []string{operator.Agents, first.AWS, operator.Health, operator.Kubelet, operator.Metrics, first.Registry}
	slices.Sort(distinct)
	if len(slices.Compact(distinct)) != 6 {
		t.Errorf("the same port twice: %+v", first)
	}
	if err := e.choosePorts(t.Context()); err != nil {
		t.Fatal(err)
	}
	if second, err := e.Endpoints(); err != nil || !reflect.DeepEqual(second, first) {
		t.Errorf("changed from %+v to %+v, %v", first, second, err)
	}
	// Somebody else takes a port while the part is down.
	l, err := net.Listen("tcp", first.AWS)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if err := e.choosePorts(t.Context()); err != nil {
		t.Fatal(err)
	}
	third, err := e.Endpoints()
	if err != nil || third.AWS == first.AWS || third.Registry != first.Registry {
		t.Errorf("with %s taken: %+v, %v", first.AWS, third, err)
	}
}

func TestDamagedPorts(t *testing.T) {
	e := testEnvironment(t, true)
	for _, bad := range []string{"", "nonsense", `{"aws": 70000}`, `{"aws": -1}`} {
		if err := os.WriteFile(e.path(portsFile), []byte(bad), 0o644); err != nil {
			t.Fatal(err)
		}
		if _, err := e.Endpoints(); err == nil || !strings.Contains(err.Error(), "ports") {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

func TestParts(t *testing.T) {
	at := Endpoints{Registry: "100.64.79.1:5000", AWS: "127.0.0.1:4566"}
	e := testEnvironment(t, false)
	real, err := e.awsPart(at)
	if err != nil {
		t.Fatal(err)
	}
	requireArgs(t, real, "--listen=127.0.0.1:4566,100.64.79.1:4566", "--boot=sandbox", "--fabric=kip-test", "--registry=100.64.79.1:5000", "--keep-instances",
		"--registry-alias="+ECRHost+"=100.64.79.1:5000", "--cell-environment=AWS_ENDPOINT_URL_ECR=http://100.64.79.1:4566")
	registry, err := e.registryPart(at)
	if err != nil {
		t.Fatal(err)
	}
	requireArgs(t, registry, "--listen=127.0.0.1:5000,100.64.79.1:5000", "--busybox="+busyboxPath)
	operator, err := e.operatorPart(Operator, OperatorEndpoints{
		Metrics: "127.0.0.1:8443", Health: "127.0.0.1:8081", Kubelet: "100.64.79.1:10250", Agents: "100.64.79.1:8082"})
	if err != nil {
		t.Fatal(err)
	}
	requireArgs(t, operator, "--node-address=100.64.79.1", "--kubeconfig="+e.OperatorKubeconfig(), "--metrics-bind-address=127.0.0.1:8443", "--kubelet-port=10250", "--agent-bind-address=100.64.79.1:8082")
	hollow, err := testEnvironment(t, true).awsPart(at)
	if err != nil {
		t.Fatal(err)
	}
	requireArgs(t, hollow, "--listen=127.0.0.1:4566,127.80.0.1:6421", "--boot=hollow")
}

func requireArgs(t *testing.T, p part, want ...string) {
	t.Helper()
	for _, arg := range want {
		if !slices.Contains(p.args, arg) {
			t.Errorf("%s lacks %s: %q", p.name, arg, p.args)
		}
	}
}

func TestClaim(t *testing.T) {
	e := testEnvironment(t, true)
	for range 2 {
		if err := e.claim(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	other := e
	other.Hollow, other.Subnet = false, netip.MustParsePrefix("100.64.79.0/24")
	if err := other.claim(t.Context()); err == nil || !strings.Contains(err.Error(), "hollow cells in 127.80.0.0/16") {
		t.Errorf("a hollow environment became a real one: %v", err)
	}
	if err := e.clear(); err != nil {
		t.Fatal(err)
	}
	if err := other.claim(t.Context()); err != nil {
		t.Errorf("after clearing: %v", err)
	}
}

// What is not the environment's own stays.
func TestClear(t *testing.T) {
	e := testEnvironment(t, true)
	keep := []string{"log", "e2e", "lock"}
	for _, name := range append([]string{"cluster", "localaws", "pid", agentsDir}, keep...) {
		if err := os.MkdirAll(e.path(name, "inside"), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := e.clear(); err != nil {
		t.Fatal(err)
	}
	entries, err := os.ReadDir(e.Dir)
	if err != nil {
		t.Fatal(err)
	}
	var left []string
	for _, entry := range entries {
		left = append(left, entry.Name())
	}
	slices.Sort(keep)
	if diff := cmp.Diff(keep, left); diff != "" {
		t.Error(diff)
	}
}

func TestPublishAgent(t *testing.T) {
	e := testEnvironment(t, true)
	versions := map[string]bool{}
	var last string
	for _, content := range []string{"one", "two", "two", "three", "four", "five"} {
		for _, name := range agentPrograms() {
			if err := os.WriteFile(e.bin(name), []byte(name+content), 0o755); err != nil {
				t.Fatal(err)
			}
		}
		version, err := e.publishAgent()
		if err != nil {
			t.Fatal(err)
		}
		versions[version], last = true, version
	}
	if len(versions) != 5 {
		t.Errorf("5 different agents have the versions %v", versions)
	}
	files, err := filepath.Glob(e.path(agentsDir, "*"))
	if err != nil {
		t.Fatal(err)
	}
	if len(files) != keptAgents+len(agentPrograms()) {
		t.Errorf("published are %v", files)
	}
	for _, name := range agentPrograms() {
		content, err := os.ReadFile(e.path(agentsDir, name+"-"+last+"-"+runtime.GOARCH))
		if err != nil || string(content) != name+"five" {
			t.Errorf("%s of version %s: %q, %v", name, last, content, err)
		}
	}
}

func TestTell(t *testing.T) {
	e := testEnvironment(t, true)
	if err := e.choosePorts(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := e.tell(); err != nil {
		t.Fatal(err)
	}
	at, err := e.Endpoints()
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{"registry": at.Registry + "\n", "aws.env": "export AWS_ENDPOINT_URL=http://" + at.AWS + "\n"} {
		content, err := os.ReadFile(e.path(name))
		if err != nil || !strings.Contains(string(content), want) {
			t.Errorf("%s: %q, %v, want %q", name, content, err, want)
		}
	}
}

// Taking down what never came up is harmless and leaves no trace.
func TestDownOfNothing(t *testing.T) {
	e := testEnvironment(t, true)
	e.Dir = filepath.Join(e.Dir, "never")
	var progress strings.Builder
	if err := e.Down(t.Context(), &progress); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(e.Dir); !os.IsNotExist(err) {
		t.Errorf("the directory was made: %v", err)
	}
}

func TestCellClassIsValid(t *testing.T) {
	out, err := renderClass(classValues{Name: "default", Registry: "100.64.79.1:5000", AgentVersion: "dev-1", AWS: "100.64.79.1:4566", Subnets: []string{"subnet-1", "subnet-2"}})
	if err != nil {
		t.Fatal(err)
	}
	var class v1beta1.CellClass
	if err := yaml.UnmarshalStrict(out, &class); err != nil {
		t.Fatal(err)
	}
	want := v1beta1.ItzoSpec{URL: "http://100.64.79.1:5000/agents", Version: "dev-1"}
	if class.Name != "default" || !reflect.DeepEqual(class.Spec.Itzo, want) || !slices.Equal(class.Spec.AWS.Subnets, []string{"subnet-1", "subnet-2"}) {
		t.Errorf("%+v", class)
	}
}
