package main

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"kip.elotl.co/internal/agent"
)

func writeCredentials(t *testing.T, dir, content string) {
	t.Helper()
	for _, name := range agent.CredentialFiles() {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

func TestCredentialsAreImportedOnce(t *testing.T) {
	from, to := t.TempDir(), filepath.Join(t.TempDir(), "pki")
	if err := importCredentials(from, to); err == nil {
		t.Error("nothing was there to import")
	}
	writeCredentials(t, from, "first")
	if err := importCredentials(from, to); err != nil {
		t.Fatal(err)
	}
	// What the bootstrap brings later may be older than a renewal since.
	writeCredentials(t, from, "second")
	if err := importCredentials(from, to); err != nil {
		t.Fatal(err)
	}
	// A reboot clears the former place.
	if err := importCredentials(filepath.Join(from, "gone"), to); err != nil {
		t.Fatal(err)
	}
	for _, name := range agent.CredentialFiles() {
		path := filepath.Join(to, name)
		if content, err := os.ReadFile(path); err != nil || !bytes.Equal(content, []byte("first")) {
			t.Errorf("%s: %s, %v", name, content, err)
		}
		if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v", name, info, err)
		}
	}
}

func TestFlags(t *testing.T) {
	o, err := parseFlags([]string{"--v", "5", "--listen", "127.0.0.1:1", "--state-dir=/x"})
	if err != nil || o.logLevel != 5 || o.listen != "127.0.0.1:1" || o.stateDir != "/x" || o.certDir != "/tmp/itzo" {
		t.Errorf("%+v, %v", o, err)
	}
	// As launchers and images of the first Kip start an agent.
	if o, err := parseFlags([]string{"-v=2"}); err != nil || o.logLevel != 2 || o.listen != "0.0.0.0:6421" {
		t.Errorf("%+v, %v", o, err)
	}
	for _, bad := range [][]string{{"--unknown"}, {"argument"}, {"--v", "x"}} {
		if _, err := parseFlags(bad); err == nil {
			t.Errorf("%v was accepted", bad)
		}
	}
}

// TestOldFlags: what agents of the first Kip were started with is understood, or
// ignored and told of.
func TestOldFlags(t *testing.T) {
	for line, want := range map[string]struct {
		listen  string
		level   int
		ignored string
	}{
		"-v=2":                  {"0.0.0.0:6421", 2, ""},
		"--v=2":                 {"0.0.0.0:6421", 2, ""},
		"-v 5 -port 7000":       {"0.0.0.0:7000", 5, ""},
		"--port=7000 --v 5":     {"0.0.0.0:7000", 5, ""},
		"-listen=127.0.0.1:1":   {"127.0.0.1:1", 0, ""},
		"-disable-tls -v=1":     {"0.0.0.0:6421", 1, "-disable-tls"},
		"-use-podman true -v 1": {"0.0.0.0:6421", 1, "-use-podman"},
		"-rootdir /x -logtostderr -vmodule=a=2 -v 3": {"0.0.0.0:6421", 3, "-rootdir -logtostderr -vmodule=a=2"},
	} {
		o, err := parseFlags(strings.Fields(line))
		if err != nil || o.listen != want.listen || o.logLevel != want.level || strings.Join(o.ignored, " ") != want.ignored {
			t.Errorf("%s: %+v, %v", line, o, err)
		}
	}
	if o, err := parseFlags([]string{"-version"}); err != nil || !o.showVersion {
		t.Errorf("-version: %+v, %v", o, err)
	}
	if o, err := parseFlags([]string{"bootstrap", "-v=1"}); err != nil || o.command != commandBootstrap || o.logLevel != 1 {
		t.Errorf("bootstrap: %+v, %v", o, err)
	}
}

func TestLogFormat(t *testing.T) {
	for format, good := range map[string]bool{"text": true, "json": true, "xml": false} {
		if _, err := newLogger(format, 0); (err == nil) != good {
			t.Errorf("%s: %v", format, err)
		}
	}
}

// Without credentials the agent ends, so that what started it fetches them.
func TestEndsWithoutCredentials(t *testing.T) {
	o, err := parseFlags([]string{"--cert-dir", t.TempDir(), "--state-dir", t.TempDir(), "--listen", "127.0.0.1:0"})
	if err != nil {
		t.Fatal(err)
	}
	if err := serve(context.Background(), o); err == nil {
		t.Error("it serves")
	}
}
