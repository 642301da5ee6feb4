package install

import (
	"context"
	"crypto/sha256"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"kip.elotl.co/internal/agent/fake"
)

const (
	// aptGet brings the programs, and the plugins where Debian keeps them.
	aptGet = `echo "apt-get $*" >>$M/log
case "$*" in *install*)
	for p in containerd ctr runc; do cat >$M/bin/$p <<-'END'
		#!/bin/sh
		echo "$0 $*" >>$M/started
	END
	chmod 755 $M/bin/$p; done
	mkdir -p $M/root/usr/lib/cni && echo plugin >$M/root/usr/lib/cni/ptp
esac`
	systemctl = `echo "systemctl $*" >>$M/log`
	failing   = `echo "E: Unable to locate package" >&2; exit 100`
	program   = "#!/bin/sh\n"
)

func TestNothingToDo(t *testing.T) {
	if m := newMachine(t, map[string]string{"containerd": ""}); m.installer.Needed() {
		t.Error("the image has containerd")
	}
	m := newMachine(t, nil)
	if !m.installer.Needed() {
		t.Error("the image has no containerd")
	}
	m.listen()
	if m.installer.Needed() {
		t.Error("a runtime answers, whatever it is called")
	}
}

// TestPackages: the distribution's, with the plugins shown where containerd looks.
func TestPackages(t *testing.T) {
	m := newMachine(t, map[string]string{"apt-get": aptGet, "systemctl": systemctl})
	m.write("root/run/systemd/system/x", "", 0o600)
	must(t, m.installer.install(t.Context()))
	m.listen()
	must(t, m.installer.start(t.Context(), false))
	want := "apt-get update\n" +
		"apt-get -o DPkg::Lock::Timeout=300 install -y --no-install-recommends containerd runc containernetworking-plugins\n" +
		"systemctl daemon-reload\nsystemctl enable containerd\nsystemctl start containerd\n"
	if got := m.read("log"); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if target, err := os.Readlink(m.dir + "/root/opt/cni/bin/ptp"); target != "/usr/lib/cni/ptp" {
		t.Errorf("the plugin is %q, %v", target, err)
	}
	if m.installer.keeps() {
		t.Error("systemd keeps containerd")
	}
}

// TestBundle: where packages fail, from where the agent came from.
func TestBundle(t *testing.T) {
	for what, files := range map[string]map[string]string{
		"ours": {"bin/containerd": program, "./bin/ctr": program, "bin/runc": program, "cni/ptp": "plugin", "../evil": "x", "etc/passwd": "x", "bin/.x": "x"},
		"nerdctl's": {"bin/containerd": program, "bin/ctr": program, "bin/runc": program, "libexec/cni/ptp": "plugin",
			"lib/systemd/system/containerd.service": "x"},
	} {
		m := newMachine(t, map[string]string{"apt-get": failing})
		m.write("root/run/systemd/system/x", "", 0o600)
		m.served[bundleName()] = bundle(t, files)
		m.write("parameters/sha256sums", fmt.Sprintf("%x  %s\n", sha256.Sum256(m.served[bundleName()]), bundleName()), 0o600)
		must(t, m.installer.install(t.Context()))
		if got := m.read("root/opt/cni/bin/ptp"); got != "plugin" {
			t.Errorf("%s: plugin %q", what, got)
		}
		if !strings.Contains(m.read("root/etc/systemd/system/containerd.service"), "ExecStart=/usr/local/bin/containerd\n") {
			t.Errorf("%s: no unit", what)
		}
		for _, path := range []string{"evil", "root/evil", "root/etc/passwd", "root/usr/local/bin/.x", "state/" + bundleName()} {
			if m.read(path) != "" {
				t.Errorf("%s: %s was written", what, path)
			}
		}
	}
}

func TestInstallSaysWhatItTried(t *testing.T) {
	for what, c := range map[string]struct {
		sum, served string
		want        []string
	}{
		"not served": {"", "", []string{"apt-get -o", "exit status 100: E: Unable to locate package", "/agents/" + bundleName() + ": 404 Not Found",
			"have the class's itzo.url serve " + bundleName()}},
		"forged":       {strings.Repeat("0", 64), "x", []string{"its SHA-256 digest is 2d711642", "itzo.sha256 of the class says 0000"}},
		"not a bundle": {"", "x", []string{"unpacking " + bundleName()}},
		"incomplete":   {"", "bundle", []string{bundleName() + " was unpacked, but containerd is missing"}},
	} {
		m := newMachine(t, map[string]string{"apt-get": failing})
		switch c.served {
		case "bundle":
			m.served[bundleName()] = bundle(t, map[string]string{"bin/runc": program})
		case "x":
			m.served[bundleName()] = []byte(c.served)
		}
		if c.sum != "" {
			m.write("parameters/sha256sums", c.sum+"  "+bundleName()+"\n", 0o600)
		}
		err := m.installer.install(t.Context())
		for _, want := range c.want {
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%s: got %v, want %q", what, err, want)
			}
		}
	}
}

// TestInfoTellsOfTheInstallation as long as it lasts, and of what stops it.
func TestInfoTellsOfTheInstallation(t *testing.T) {
	m := newMachine(t, nil)
	runtime := m.installer.Runtime(fake.NewRuntime())
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); m.installer.Run(ctx) }()
	for {
		if _, err := runtime.Info(ctx); err == nil {
			t.Fatal("there is a runtime")
		} else if strings.Contains(err.Error(), "no container runtime could be installed") {
			break
		} else if !strings.Contains(err.Error(), "the container runtime is being") {
			t.Fatal(err)
		}
	}
	cancel()
	<-done
	m.served[bundleName()] = bundle(t, map[string]string{"bin/containerd": program, "bin/ctr": program, "bin/runc": program, "cni/ptp": ""})
	m.listen()
	m.prepared()
	if info, err := runtime.Info(t.Context()); err != nil || info.Name == "" {
		t.Errorf("%+v, %v", info, err)
	}
}

// TestGoesOnWhereItStopped: a containerd that is there does not say that all
// that it needs is, nor that it was started.
func TestGoesOnWhereItStopped(t *testing.T) {
	noPlugins := strings.ReplaceAll(aptGet, "$M/root/usr/lib/cni/ptp", "$M/none")
	for what, c := range map[string]struct {
		programs map[string]string
		want     string // of the first try
		mend     func(m *machine)
	}{
		"no plugins": {map[string]string{"apt-get": noPlugins, "systemctl": systemctl}, "the CNI plugins are missing",
			func(m *machine) { m.write("bin/apt-get", "#!/bin/sh\n"+aptGet+"\n", 0o755) }},
		"not started": {map[string]string{"apt-get": aptGet, "systemctl": "echo no bus >&2; exit 1"}, "systemctl daemon-reload: exit status 1: no bus",
			func(m *machine) { m.write("bin/systemctl", "#!/bin/sh\n"+systemctl+"\n", 0o755) }},
	} {
		t.Run(what, func(t *testing.T) {
			m := newMachine(t, c.programs)
			m.write("root/run/systemd/system/x", "", 0o600)
			for range 2 {
				if err := m.installer.ensure(t.Context()); err == nil || !strings.Contains(err.Error(), c.want) {
					t.Fatalf("got %v, want %q", err, c.want)
				}
				m.installer = New(m.installer.config) // the agent was killed
				if !m.installer.Needed() {
					t.Fatal("the half of an installation counts as done")
				}
			}
			c.mend(m)
			m.listen()
			must(t, m.installer.ensure(t.Context()))
			if got := m.read("log"); !strings.HasSuffix(got, "systemctl daemon-reload\nsystemctl enable containerd\nsystemctl restart containerd\n") {
				t.Errorf("not started: %q", got)
			}
			if m.installer.Needed() {
				t.Error("it is done, and there is something to do")
			}
		})
	}
}

// TestSomebodyElseInstalls what the agent could not: that is taken as it is, but
// for the snapshotter.
func TestSomebodyElseInstalls(t *testing.T) {
	m := newMachine(t, map[string]string{"apt-get": failing, "systemctl": systemctl})
	m.write("root/run/systemd/system/x", "", 0o600)
	if err := m.installer.ensure(t.Context()); err == nil || !strings.Contains(err.Error(), "no container runtime could be installed") {
		t.Fatal(err)
	}
	for _, name := range []string{"bin/containerd", "bin/ctr", "bin/runc", "root/opt/cni/bin/ptp"} {
		m.write(name, program, 0o755)
	}
	m.listen()
	m.write("parameters/snapshotter", "native", 0o400)
	must(t, m.installer.ensure(t.Context()))
	if got := m.read("log"); got != "systemctl restart containerd\n" || m.installer.Needed() {
		t.Errorf("did %q", got)
	}
}

// TestKilledWhileInstalling: the note is there before anything is installed, and
// what is complete is not installed again.
func TestKilledWhileInstalling(t *testing.T) {
	m := newMachine(t, map[string]string{"apt-get": `cp $M/state/installing $M/seen; ` + aptGet, "systemctl": systemctl})
	m.write("root/run/systemd/system/x", "", 0o600)
	must(t, m.installer.install(t.Context()))
	if _, err := os.Stat(m.dir + "/seen"); err != nil {
		t.Error("not noted:", err)
	}
	installed := m.read("log")
	m.installer = New(m.installer.config)
	m.listen()
	m.prepared()
	if got, want := m.read("log"), installed+"systemctl daemon-reload\nsystemctl enable containerd\nsystemctl restart containerd\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

// TestKeepsContainerd where nobody else would: it is started again, and outlives
// the agent.
func TestKeepsContainerd(t *testing.T) {
	m := newMachine(t, nil)
	m.served[bundleName()] = bundle(t, map[string]string{"bin/containerd": program + "echo started >>$M/started\n", "bin/ctr": program, "bin/runc": program, "cni/ptp": ""})
	must(t, m.installer.install(t.Context()))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := m.installer.start(ctx, false); err == nil || !strings.Contains(err.Error(), "does not listen on unix://") {
		t.Errorf("a containerd that ends: %v", err)
	}
	if !m.installer.keeps() || !m.installer.Needed() {
		t.Error("nobody starts it after a reboot")
	}
	ctx, cancel = context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); m.installer.keep(ctx) }()
	for strings.Count(m.read("started"), "started") < 3 {
		if ctx.Err() != nil {
			t.Fatal("not started again")
		}
	}
	cancel()
	<-done
}

func TestPause(t *testing.T) {
	m := newMachine(t, nil)
	arch := strings.TrimSuffix(strings.TrimPrefix(bundleName(), "containerd-"), ".tar.gz")
	if _, err := m.installer.Pause(t.Context(), "v3"); err == nil || !strings.Contains(err.Error(), "/agents/pause-v3-"+arch+": 404 Not Found") {
		t.Errorf("got %v", err)
	}
	m.write("parameters/itzo_version", "v2\n", 0o600)
	m.served["pause-v2-"+arch] = []byte("pause")
	m.write("parameters/sha256sums", strings.Repeat("0", 64)+"  pause-"+arch+"\n", 0o600)
	if _, err := m.installer.Pause(t.Context(), "v3"); err == nil || !strings.Contains(err.Error(), "digest") {
		t.Errorf("forged: %v", err)
	}
	m.write("parameters/sha256sums", "", 0o600)
	for range 2 {
		path, err := m.installer.Pause(t.Context(), "v3")
		if info, missing := os.Stat(path); err != nil || missing != nil || info.Mode() != 0o755 || filepath.Dir(path) != m.dir+"/state" {
			t.Errorf("%q %v, %v", path, err, missing)
		}
		clear(m.served)
	}
}

// TestRestartWaitsForTheEnd of the containerd that ran, and for another.
func TestRestartWaitsForTheEnd(t *testing.T) {
	m := newMachine(t, nil)
	running := exec.CommandContext(t.Context(), "/bin/sleep", "1000")
	must(t, running.Start())
	process := fmt.Sprintf("root/proc/%d/comm", running.Process.Pid)
	m.write(process, "containerd\n", 0o600)
	m.write("root/proc/1/comm", "init\n", 0o600)
	restarted := make(chan error, 1)
	go func() { restarted <- m.installer.restart(t.Context()) }()
	if err := running.Wait(); err == nil || err.Error() != "signal: terminated" {
		t.Errorf("it ended with %v", err)
	}
	select {
	case err := <-restarted:
		t.Errorf("not waited for: %v", err)
	default:
	}
	must(t, os.Remove(filepath.Join(m.dir, process)))
	m.listen()
	must(t, <-restarted)
}
