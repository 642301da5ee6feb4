package sandbox

import (
	"context"
	"encoding/json"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"kip.elotl.co/hack/fabric"
	"kip.elotl.co/hack/localaws/boot"
	"kip.elotl.co/hack/localaws/firstboot"
)

// starter is what a process of its own needs to start a cell.
type starter struct {
	Dir, Init, Name, Subnet string
	Spec                    boot.Spec
}

const starterEnv = "KIP_TEST_STARTER"

// TestStarter is not a test but the emulator of TestCellOutlivesItsStarter: it
// starts a cell, says so, and waits to be killed.
func TestStarter(t *testing.T) {
	var s starter
	if os.Getenv(starterEnv) == "" {
		t.Skip("for another test to run")
	}
	if err := json.Unmarshal([]byte(os.Getenv(starterEnv)), &s); err != nil {
		t.Fatal(err)
	}
	network, err := fabric.Open(fabric.Config{Name: s.Name, Subnet: netip.MustParsePrefix(s.Subnet)})
	if err != nil {
		t.Fatal(err)
	}
	b, err := New(Config{Dir: s.Dir, Init: s.Init, Network: network})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := b.Start(context.Background(), s.Spec); err != nil {
		t.Fatal(err)
	}
	fmt.Println("started")
	select {}
}

// startElsewhere starts a cell from another process and kills that process
// when stop says so.
func (w *world) startElsewhere(t *testing.T, spec boot.Spec, stop func(output string) bool) {
	t.Helper()
	arg, err := json.Marshal(starter{w.cfg.Dir, w.cfg.Init, w.cfg.Network.Name(), w.cfg.Network.Subnet().String(), spec})
	if err != nil {
		t.Fatal(err)
	}
	out := filepath.Join(t.TempDir(), "out")
	f, err := os.Create(out)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	cmd := exec.Command(os.Args[0], "-test.run=^TestStarter$")
	cmd.Env = append(os.Environ(), starterEnv+"="+string(arg))
	cmd.Stdout, cmd.Stderr = f, f
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the starter", func() error {
		said, err := os.ReadFile(out)
		if err == nil && !stop(string(said)) {
			err = fmt.Errorf("not yet; it said %q", said)
		}
		return err
	})
	_ = cmd.Process.Kill()
	_ = cmd.Wait()
}

func TestCellOutlivesItsStarter(t *testing.T) {
	w := newWorld(t)
	before := w.state(t)
	spec := w.spec(0, "#cloud-config\nhostname: survivor\n")
	w.startElsewhere(t, spec, func(out string) bool { return strings.Contains(out, "started") })
	m, err := w.backend.Recover(t.Context(), spec)
	if err != nil {
		t.Fatal(err)
	}
	machine := m.(*Machine)
	eventually(t, "first boot", exists(machine.path(firstboot.FinishedFile)))
	if out, err := machine.exec("hostname"); err != nil || out != "survivor" {
		t.Errorf("%q, %v", out, err)
	}
	if err := m.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	requireSame(t, before)
	w.state(t)
}

// Killed at any moment of the start, the starter leaves either a cell that
// runs or something that Recover takes away.
func TestStarterKilledHalfWay(t *testing.T) {
	w := newWorld(t)
	before := w.state(t)
	stages := map[string]string{"directory": upperDir, "record": recordFile, "console": consoleFile}
	n := 0
	for stage, file := range stages {
		spec := w.spec(n, "")
		n++
		path := filepath.Join(w.cfg.Dir, spec.InstanceID, file)
		w.startElsewhere(t, spec, func(string) bool { return exists(path)() == nil })
		m, err := w.backend.Recover(t.Context(), spec)
		if err == nil {
			err = m.Stop(t.Context())
		}
		if err != nil && !strings.Contains(err.Error(), boot.ErrGone.Error()) {
			t.Errorf("%s: %v", stage, err)
		}
		// Of a starter that was killed between two control groups the empty parents stay, for the next cell or for Sweep.
		if err := w.backend.groups.Parents(w.cfg.Network.Name()).Remove(t.Context()); err != nil {
			t.Errorf("%s: %v", stage, err)
		}
		requireSame(t, before)
		w.state(t)
	}
}

// A cell that dies by itself is cleared away without anybody asking.
func TestCellIsKilledFromOutside(t *testing.T) {
	w := newWorld(t)
	before := w.state(t)
	m := w.boot(t, w.spec(0, ""))
	p, err := os.FindProcess(m.cell.rec.Process.PID)
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Kill(); err != nil {
		t.Fatal(err)
	}
	select {
	case <-m.Done():
	case <-time.After(time.Minute):
		t.Fatal("not noticed")
	}
	requireSame(t, before)
	w.state(t)
}
