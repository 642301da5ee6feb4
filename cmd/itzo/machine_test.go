package main

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"kip.elotl.co/internal/agent"
)

// cellDirs are those of a cell whose agent has run, with a former pod's state.
func cellDirs(t *testing.T, m machine, key string) *options {
	t.Helper()
	o := &options{certDir: t.TempDir(), stateDir: t.TempDir()}
	writeCredentials(t, o.certDir, key)
	if err := ownState(t.Context(), o, m); err != nil {
		t.Fatal(err)
	}
	if err := importCredentials(o.certDir, o.pki()); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Join(o.stateDir, "volumes", "pod"), 0o700); err != nil {
		t.Fatal(err)
	}
	writeFile(t, filepath.Join(o.stateDir, "state.json"), "{}")
	return o
}

func has(path ...string) bool {
	_, err := os.Stat(filepath.Join(path...))
	return err == nil
}

// TestImageOfARunningCell: its state, and what its bootstrap brought, is not this
// machine's; new certificates are taken, whether they come before the agent or after.
func TestImageOfARunningCell(t *testing.T) {
	first := machine{InstanceID: "i-1", HardwareID: "ec2a"}
	for what, second := range map[string]machine{"by ID": {InstanceID: "i-2", HardwareID: "ec2a"}, "by hardware": {HardwareID: "ec2b"}} {
		for when, brought := range map[string]bool{"before": true, "after": false} {
			t.Run(what+" "+when, func(t *testing.T) {
				o := cellDirs(t, first, "first")
				if brought {
					writeCredentials(t, o.certDir, "second")
				}
				if err := ownState(t.Context(), o, second); err != nil {
					t.Fatal(err)
				}
				if has(o.stateDir, "state.json") || has(o.stateDir, "volumes") || complete(o.pki()) {
					t.Error("the state of the other is there")
				}
				if complete(o.certDir) != brought {
					t.Errorf("certificates are there: %t, were brought: %t", !brought, brought)
				}
				writeCredentials(t, o.certDir, "second")
				if err := importCredentials(o.certDir, o.pki()); err != nil {
					t.Fatal(err)
				}
				writeFile(t, filepath.Join(o.stateDir, "state.json"), "{}")
				if err := ownState(t.Context(), o, second); err != nil || !has(o.stateDir, "state.json") {
					t.Errorf("its own state is gone at the next start: %v", err)
				}
				if key, err := os.ReadFile(filepath.Join(o.pki(), agent.KeyFile)); err != nil || string(key) != "second" {
					t.Errorf("key %q, %v", key, err)
				}
			})
		}
	}
}

// TestImageWithAParameterStore: the image has what its cell fetched.
func TestImageWithAParameterStore(t *testing.T) {
	for what, after := range map[string]time.Duration{"told again": time.Minute, "not yet": -time.Minute} {
		o := cellDirs(t, machine{InstanceID: "i-1"}, "first")
		writeFile(t, filepath.Join(o.certDir, storeFile), "ssm")
		when := time.Now().Add(after)
		if err := os.Chtimes(filepath.Join(o.certDir, storeFile), when, when); err != nil {
			t.Fatal(err)
		}
		if err := ownState(t.Context(), o, machine{InstanceID: "i-2"}); err != nil {
			t.Fatal(err)
		}
		if has(o.certDir, agent.KeyFile) || has(o.certDir, storeFile) != (after > 0) {
			t.Errorf("%s: key %t, store %t", what, has(o.certDir, agent.KeyFile), has(o.certDir, storeFile))
		}
	}
}

// TestTheSameMachine keeps its state, also while nobody tells its ID, and where
// an older agent noted none.
func TestTheSameMachine(t *testing.T) {
	o := cellDirs(t, machine{}, "first")
	for _, m := range []machine{
		{HardwareID: "a"}, {}, {InstanceID: "i-1"}, {HardwareID: "a"}, {InstanceID: "i-1", HardwareID: "b"}, {InstanceID: "i-1"}, {HardwareID: "b"}, {},
	} {
		if err := ownState(t.Context(), o, m); err != nil || !has(o.stateDir, "state.json") || !complete(o.pki()) {
			t.Errorf("%+v: state %t, credentials %t, %v", m, has(o.stateDir, "state.json"), complete(o.pki()), err)
		}
	}
}

func TestMachineFileDamaged(t *testing.T) {
	o := cellDirs(t, machine{InstanceID: "i-1"}, "first")
	writeFile(t, filepath.Join(o.stateDir, machineFile), "x")
	if err := ownState(t.Context(), o, machine{InstanceID: "i-2"}); err != nil || !has(o.stateDir, "state.json") {
		t.Errorf("error %v, state %t", err, has(o.stateDir, "state.json"))
	}
}
