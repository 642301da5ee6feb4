package cri_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"

	"kip.elotl.co/internal/itzo"
	"kip.elotl.co/internal/itzo/itzotest"
)

// TestReplaced and TestReplaced2: the agent's program is replaced by that of
// another release, later or earlier, while a pod's containers run.
func TestReplaced(t *testing.T) { testReplaced(t, "") }

func TestReplaced2(t *testing.T) { testReplaced(t, containerd2(t)) }

// The releases, and the variable with the directory of their programs.
const (
	earlier, later   = "v1.0.0-earlier", "v2.0.0-later"
	releasesVariable = "KIP_TEST_RELEASES"
)

func testReplaced(t *testing.T, programs string) {
	if os.Getenv(insideVariable) == "" && os.Getuid() == 0 {
		t.Setenv(releasesVariable, buildReleases(t))
	}
	if !inNamespaces(t, programs) {
		return
	}
	p := newProgram(t, startContainerd(t))
	p.start(earlier)
	// One that ended once, and was started again, and one that says its end.
	again := shell("again", `[ -e /disk/ran ] || { touch /disk/ran; exit 3; }; `+waiting)
	polite := shell("polite", `trap 'echo bye; exit 0' TERM; echo up; `+waiting)
	pod := withVolume(newPod(corev1.RestartPolicyAlways, again, polite), "disk", emptyDir(), "/disk")
	p.run(pod)
	before := p.wait("both, one of them again", func(status *corev1.PodStatus) bool {
		got := statusOf(status, "again")
		return got != nil && got.State.Running != nil && got.RestartCount == 1 && statusOf(status, "polite").State.Running != nil
	})
	p.waitLog("polite", "up\n")

	p.end(syscall.SIGTERM)
	p.start(later)
	p.same("after an upgrade", before)

	p.end(syscall.SIGKILL)
	p.writtenByNewer()
	p.start(earlier)
	p.same("after a downgrade", before)

	p.end(syscall.SIGTERM)
	p.refusesState()
	p.start(later)
	p.same("after a state that could not be read", before)

	must(t, p.client.Stop(t.Context(), itzo.StopRequest{PodUID: pod.UID, GracePeriodSeconds: 30}))
	status := p.wait("the end", func(status *corev1.PodStatus) bool {
		got := statusOf(status, "polite")
		return got.State.Terminated != nil && statusOf(status, "again").State.Terminated != nil
	})
	if end := ended(t, status, "polite"); end.ExitCode != 0 || end.ContainerID != statusOf(before, "polite").ContainerID {
		t.Errorf("polite ended with %+v", end)
	}
	p.waitLog("polite", "up\nbye\n")
}

// buildReleases builds the agent as two releases of it.
func buildReleases(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for _, version := range []string{earlier, later} {
		build := exec.Command("go", "build", "-tags=grpcnotrace", "-ldflags=-X main.version="+version, "-o", filepath.Join(dir, version), "kip.elotl.co/cmd/itzo")
		build.Env = append(os.Environ(), "CGO_ENABLED=0")
		if output, err := build.CombinedOutput(); err != nil {
			t.Fatalf("building the agent: %v: %s", err, output)
		}
	}
	return dir
}

// program is a cell whose agent is a program of its own, as it is on an instance.
type program struct {
	cell
	certDir string
	address string
	command *exec.Cmd
	output  bytes.Buffer
}

func newProgram(t *testing.T, c *containerd) *program {
	t.Helper()
	p := &program{certDir: t.TempDir(), address: net.JoinHostPort(cellIP, strconv.Itoa(itzo.Port))}
	p.cell = cell{containerd: c, t: t, stateDir: filepath.Join(c.dir, "itzo"), config: c.config, authority: itzotest.NewAuthority(t)}
	server, client := p.authority.Server(cellName), p.authority.Client()
	for name, content := range map[string][]byte{"ca.crt": p.authority.PEM(), "server.crt": server.Certificate, "server.key": server.Key} {
		must(t, os.WriteFile(filepath.Join(p.certDir, name), content, 0o600))
	}
	var err error
	p.client, err = itzo.NewClient(itzo.Config{Address: p.address, ServerName: cellName, RootCAs: p.authority.Pool(), Certificate: client.TLS(t)})
	must(t, err)
	t.Cleanup(func() {
		p.client.Close()
		p.end(syscall.SIGTERM)
		if t.Failed() {
			t.Logf("the agents: %s", p.output.Bytes())
		}
	})
	return p
}

// launch runs the program of a release.
func (p *program) launch(version string) {
	p.t.Helper()
	p.command = exec.Command(filepath.Join(os.Getenv(releasesVariable), version), "--listen", p.address, "--cert-dir", p.certDir,
		"--state-dir", p.stateDir, "--runtime-endpoint", p.config.Endpoint, "--cni-dir", p.config.CNIDir, "--log-dir", p.config.LogDir,
		"--cgroup-parent", p.config.CgroupParent, "--pause-binary", p.config.PauseBinary)
	p.command.Stdout, p.command.Stderr = &p.output, &p.output
	must(p.t, p.command.Start())
}

// start launches a release and waits until it tells its version.
func (p *program) start(version string) {
	p.t.Helper()
	p.launch(version)
	deadline := time.Now().Add(patience)
	for {
		info, err := p.client.Info(p.t.Context())
		if err == nil && info.Runtime.Version != "" {
			if info.Version != version {
				p.t.Fatalf("the agent is %s, want %s", info.Version, version)
			}
			return
		}
		if time.Now().After(deadline) {
			p.t.Fatalf("agent %s does not answer: %v", version, err)
		}
	}
}

// end ends the agent alone.
func (p *program) end(signal syscall.Signal) {
	p.t.Helper()
	if p.command == nil {
		return
	}
	if err := p.command.Process.Signal(signal); err != nil && !errors.Is(err, os.ErrProcessDone) {
		p.t.Error(err)
	}
	_ = p.command.Wait()
	p.command = nil
}

// same says that the containers are those of before, and go on.
func (p *program) same(when string, before *corev1.PodStatus) {
	p.t.Helper()
	status := p.waitPhase(corev1.PodRunning)
	if diff := cmp.Diff(before.ContainerStatuses, status.ContainerStatuses); diff != "" {
		p.t.Errorf("%s (-before +after):\n%s", when, diff)
	}
	if status.PodIP != before.PodIP || !status.StartTime.Equal(before.StartTime) {
		p.t.Errorf("%s: %s since %s, before %s since %s", when, status.PodIP, status.StartTime, before.PodIP, before.StartTime)
	}
	p.waitLog("polite", "up\n")
}

func (p *program) stateFile() string { return filepath.Join(p.stateDir, "state.json") }

// writtenByNewer adds what a later release could have kept.
func (p *program) writtenByNewer() {
	p.t.Helper()
	data, err := os.ReadFile(p.stateFile())
	must(p.t, err)
	var state map[string]any
	must(p.t, json.Unmarshal(data, &state))
	future := map[string]any{"of": []any{"a", "later", "release"}}
	pod := state["pod"].(map[string]any)
	for _, place := range []map[string]any{state, pod, pod["spec"].(map[string]any), state["status"].(map[string]any)} {
		place["future"] = future
	}
	data, err = json.Marshal(state)
	must(p.t, err)
	must(p.t, os.WriteFile(p.stateFile(), data, 0o600))
}

// refusesState: an agent that cannot read the state says so, ends, and touches
// neither it nor containers.
func (p *program) refusesState() {
	p.t.Helper()
	kept, err := os.ReadFile(p.stateFile())
	must(p.t, err)
	for name, unfit := range map[string][]byte{"cut off": kept[:len(kept)/2], "of another form": []byte(`{"pod":{"spec":"compressed"}}`), "empty": {}} {
		must(p.t, os.WriteFile(p.stateFile(), unfit, 0o600))
		p.output.Reset()
		p.launch(later)
		err := p.command.Wait()
		p.command = nil
		if err == nil || !strings.Contains(p.output.String(), "decoding the agent's state") {
			p.t.Errorf("%s: %v: %s", name, err, p.output.Bytes())
		}
		if left, err := os.ReadFile(p.stateFile()); err != nil || !bytes.Equal(left, unfit) {
			p.t.Errorf("%s: the state is %q now, %v", name, left, err)
		}
	}
	must(p.t, os.WriteFile(p.stateFile(), kept, 0o600))
}
