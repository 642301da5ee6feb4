package bootstrap

import (
	"crypto/sha256"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestScriptIsShell(t *testing.T) {
	for _, shell := range [][]string{{"sh"}, {"dash"}, {"busybox", "sh"}} {
		if _, err := exec.LookPath(shell[0]); err != nil {
			t.Logf("skipped: no %s here", shell[0])
			continue
		}
		if out, err := exec.Command(shell[0], append(shell[1:], "-n", "start-agent.sh")...).CombinedOutput(); err != nil {
			t.Errorf("%s -n: %v\n%s", shell, err, out)
		}
	}
}

const (
	// The programs of a machine, as shell scripts. The download server has
	// what lies in /srv; as long as /srv/down counts above 0 it refuses.
	download = `
		for last; do case $last in -o | -O) file=1 ;; http*) url=$last ;; *) [ "$file" = 1 ] && out=$last file= ;; esac; done
		echo "$url" >>/srv/asked
		n=$(cat /srv/down); [ "$n" -gt 0 ] && echo $((n - 1)) >/srv/down && echo "no route to host" >&2 && exit 7
		cp "/srv/${url##*/}" "$out"`
	downloads = "http://mirror/pause-v2-" + runtime.GOARCH + "\n" + "http://mirror/itzo-v2-" + runtime.GOARCH + "\n"
	agent     = `echo start >>/agent.log; exec sleep 1000`
	idle      = `:`
	// Commands that end when an agent has been started n times.
	started = `started() { until [ "$(wc -l <agent.log 2>/dev/null)" = "$1" ]; do sleep 0.01; done; }
`
)

// machine is a root directory of its own, with busybox and the given programs,
// in which the script runs as it does on a cell, beside no other process.
type machine struct{ root string }

func newMachine(t *testing.T, programs map[string]string) machine {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("skipped: needs root for a root directory of its own")
	}
	busybox, err := exec.LookPath("busybox")
	if err != nil {
		t.Skip("skipped: needs busybox (busybox-static)")
	}
	m := machine{root: t.TempDir()}
	shell, err := os.ReadFile(busybox)
	if err != nil {
		t.Fatal(err)
	}
	m.write(t, "bin/busybox", string(shell), 0o755)
	for _, name := range strings.Fields("sh cat tee date sleep chmod mv cp ln mkdir wc grep kill setsid sed sha256sum sort") {
		if err := os.Symlink("busybox", filepath.Join(m.root, "bin", name)); err != nil {
			t.Fatal(err)
		}
	}
	for name, body := range programs {
		_ = os.Remove(filepath.Join(m.root, "bin", name)) // a link to busybox
		m.write(t, "bin/"+name, "#!/bin/sh\n"+body+"\n", 0o755)
	}
	for name, text := range map[string]string{
		"dev/null": "", "dev/console": "", "srv/down": "0", "srv/itzo-v2-" + runtime.GOARCH: "#!/bin/sh\n" + agent + "\n", "srv/pause-v2-" + runtime.GOARCH: "pause",
		"tmp/itzo/itzo_url": "http://mirror", "tmp/itzo/itzo_version": "v2", "tmp/itzo/start-agent.sh": string(startAgent),
		"run/x": "", "etc/systemd/system/x": "",
	} {
		m.write(t, name, text, 0o600)
	}
	return m
}

func (m machine) write(t *testing.T, name, text string, mode os.FileMode) {
	t.Helper()
	name = filepath.Join(m.root, name)
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, []byte(text), mode); err != nil {
		t.Fatal(err)
	}
}

func (m machine) read(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(m.root, name))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// boot runs the commands as process 1; when they end, so does all else.
func (m machine) boot(t *testing.T, commands string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "/bin/sh", "-c", started+commands)
	cmd.Env, cmd.Dir = []string{"PATH=/bin"}, "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Chroot: m.root, Cloneflags: syscall.CLONE_NEWPID}
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return string(out)
}

const start = "sh /tmp/itzo/start-agent.sh\n"

func TestScriptWithoutSystemd(t *testing.T) {
	for _, downloader := range []string{"curl", "wget"} {
		t.Run(downloader, func(t *testing.T) {
			m := newMachine(t, map[string]string{downloader: download})
			m.boot(t, start+"started 1; [ $(kill -0 $(cat /run/itzo.pid) && echo yes) = yes ]")
			if got := m.read(t, "srv/asked"); got != downloads {
				t.Errorf("downloaded: %q", got)
			}
			// A reboot with the same user data: the mirror may be gone.
			m.write(t, "srv/down", "1000", 0o600)
			m.boot(t, start+"started 2")
			if got := m.read(t, "srv/asked"); got != downloads {
				t.Errorf("downloaded: %q", got)
			}
		})
	}
}

func TestScriptRunTwiceStartsOneAgent(t *testing.T) {
	m := newMachine(t, map[string]string{"curl": download})
	m.boot(t, start+"started 1\n"+start+"wait")
	if got := m.read(t, "agent.log"); got != "start\n" {
		t.Errorf("agent: %q", got)
	}
}

func TestScriptRestartsAgent(t *testing.T) {
	m := newMachine(t, map[string]string{"curl": download})
	m.write(t, "srv/itzo-v2-"+runtime.GOARCH, "#!/bin/sh\necho start >>/agent.log; echo oops\n", 0o600)
	m.boot(t, start+"started 2")
	if got := m.read(t, "var/log/itzo/itzo.log"); !strings.HasPrefix(got, "oops\noops\n") {
		t.Errorf("log: %q", got)
	}
}

func TestScriptDownloadsAgain(t *testing.T) {
	m := newMachine(t, map[string]string{"curl": download})
	m.write(t, "srv/down", "1", 0o600)
	m.boot(t, start+"started 1")
	pause := "http://mirror/pause-v2-" + runtime.GOARCH
	want := "itzo: cannot download " + pause + " yet, and goes on trying: no route to host\nitzo: downloaded " + pause + "\n"
	if got := m.read(t, "var/log/itzo/itzo.log"); got != want {
		t.Errorf("%q, want %q", got, want)
	}
	if got := m.read(t, "dev/console"); got != "itzo: downloaded "+pause+"\n" { // each line replaces the last, as this is a file
		t.Errorf("the console: %q", got)
	}
}

// TestScriptNeverGivesUp: a mirror may be away for hours; the console says so
// now and then, and at once what is new.
func TestScriptNeverGivesUp(t *testing.T) {
	m := newMachine(t, map[string]string{
		"curl": strings.Replace(download, "no route to host", "no route $((n / 100)) after $n ms", 1),
		// A clock that goes on when somebody sleeps. The shell has its own date.
		"sleep": `[ "$1" -ge 1000 ] && exec busybox sleep "$1"; case $1 in *.*) exec busybox sleep "$1" ;; esac; echo $(($(cat /srv/now) + $1)) >/srv/now`,
	})
	m.write(t, "srv/now", "1800000000", 0o600)
	m.write(t, "srv/down", "150", 0o600)
	m.boot(t, "sed -i 's:date +%s:cat /srv/now:' /tmp/itzo/start-agent.sh\n"+start+"started 1")
	said := strings.Split(strings.TrimSpace(m.read(t, "var/log/itzo/itzo.log")), "\n")
	const times = 149 * 30 / 300
	if len(said) < times-2 || len(said) > times+3 {
		t.Errorf("said %d times in over an hour:\n%s", len(said), strings.Join(said, "\n"))
	}
	if all := strings.Join(said, "\n"); !strings.Contains(all, "no route 1") || !strings.Contains(all, "no route 0") || !strings.Contains(said[len(said)-1], "downloaded") {
		t.Errorf("said:\n%s", all)
	}
}

func TestScriptReplacesAnotherAgent(t *testing.T) {
	m := newMachine(t, map[string]string{"curl": download})
	m.write(t, "usr/local/bin/itzo", "#!/bin/sh\n", 0o755)
	m.write(t, "usr/local/lib/itzo/itzo", "#!/bin/sh\n", 0o755)
	m.write(t, "usr/local/lib/itzo/installed", "http://mirror v1\n", 0o644)
	m.boot(t, start+"started 1")
	if got := m.read(t, "usr/local/lib/itzo/installed"); got != "http://mirror v2\n" {
		t.Errorf("installed %q", got)
	}
}

func TestScriptWithSystemd(t *testing.T) {
	m := newMachine(t, map[string]string{"curl": download, "systemctl": `echo "$*" >>/systemctl.log`})
	m.write(t, "run/systemd/system/x", "", 0o600)
	m.boot(t, start)
	if diff := cmp.Diff("daemon-reload\nenable itzo\nstart itzo\n", m.read(t, "systemctl.log")); diff != "" {
		t.Errorf("systemctl (-want +got):\n%s", diff)
	}
	unit := m.read(t, "etc/systemd/system/itzo.service")
	for _, line := range []string{"[Service]", "Environment=ITZO_WAIT_FOR_OTHER=1", "ExecStart=/usr/local/bin/itzo", "Restart=always", "StandardOutput=append:/var/log/itzo/itzo.log"} {
		if !strings.Contains(unit, "\n"+line+"\n") {
			t.Errorf("the unit lacks %q:\n%s", line, unit)
		}
	}
	for _, name := range []string{"itzo", "pause"} {
		if got, want := m.read(t, "usr/local/lib/itzo/"+name), m.read(t, "srv/"+name+"-v2-"+runtime.GOARCH); got != want {
			t.Errorf("installed as %s: %q", name, got)
		}
	}
	if target, err := os.Readlink(filepath.Join(m.root, "usr/local/bin/itzo")); target != "/usr/local/lib/itzo/itzo" {
		t.Errorf("/usr/local/bin/itzo → %q, %v", target, err)
	}
}

func TestScriptSaysWhyItStops(t *testing.T) {
	complete := map[string]string{"curl": download}
	for name, c := range map[string]struct {
		programs map[string]string
		commands string
		want     string
	}{
		"unknown machine": {complete, "sed -i " + `'s/x86_64\|aarch64/pdp11/'` + " /tmp/itzo/start-agent.sh; " + start, "there is no agent for a machine of type " + machineType(t) + "; this cell will not run pods"},
		"no version": {complete, ": >/tmp/itzo/itzo_version; " + start,
			"the image has no itzo, and itzo.version of the class names none to download; this cell will not run pods"},
		"systemd refuses": {map[string]string{"curl": download, "systemctl": "exit 1"}, "mkdir -p /run/systemd/system; " + start,
			"systemd does not start the agent; this cell will not run pods"},
	} {
		t.Run(name, func(t *testing.T) {
			m := newMachine(t, c.programs)
			out := m.boot(t, strings.TrimSuffix(c.commands, "\n")+" && exit 5 || exit 0")
			for where, got := range map[string]string{"output": out, "console": m.read(t, "dev/console"), "log": m.read(t, "var/log/itzo/itzo.log")} {
				if got != "itzo: "+c.want+"\n" {
					t.Errorf("%s: %q, want %q", where, got, c.want)
				}
			}
		})
	}
}

// TestScriptTakesTheImagesOwnAgent: one of the version asked for or a later one,
// whatever the build, and any where none is asked for.
func TestScriptTakesTheImagesOwnAgent(t *testing.T) {
	for what, c := range map[string]struct {
		has, version string
		noSort       bool   // of versions
		want         string // downloads
	}{
		"any":                 {"v1", "", false, ""},
		"the same":            {"v1", "v1", false, ""},
		"an older":            {"v1", "v2", false, downloads},
		"a later":             {"v2.10.0", "v2.9.1", false, ""},
		"the same, without v": {"2.0.1", "v2.0.1", false, ""},
		"another build":       {"v2-4-gabcdef0-dirty", "v2", false, ""},
		"a build of older":    {"v1.9.9+later", "v2", false, downloads},
		"no version":          {"(devel)", "v2", false, downloads},
		"nothing":             {"", "v2", false, downloads},
		"same, no sort":       {"v2-4-gabcdef0", "v2", true, ""},
		"later, no sort":      {"v3", "v2", true, downloads},
		"not of numbers":      {"nightly", "nightly", false, ""},
	} {
		t.Run(what, func(t *testing.T) {
			m := newMachine(t, map[string]string{"curl": download, "itzo": `[ "$1" = --version ] && echo "` + c.has + `" && exit; ` + agent})
			m.write(t, "srv/asked", "", 0o600)
			m.write(t, "tmp/itzo/itzo_version", c.version, 0o600)
			sort := ""
			if c.noSort {
				sort = "sed -i 's/sort -V/sort --unknown/' /tmp/itzo/start-agent.sh\n"
			}
			m.boot(t, sort+start+"started 1")
			if got := m.read(t, "srv/asked"); got != c.want {
				t.Errorf("downloaded %q, want %q", got, c.want)
			}
		})
	}
}

// TestScriptChecksDigests: what has another one is downloaded again, and never
// installed.
func TestScriptChecksDigests(t *testing.T) {
	m := newMachine(t, map[string]string{"curl": download, "uname": "echo " + machineType(t)})
	sum := func(name string) string {
		content := m.read(t, "srv/"+name+"-v2-"+runtime.GOARCH)
		return fmt.Sprintf("%x  %s-%s\n", sha256.Sum256([]byte(content)), name, runtime.GOARCH)
	}
	good := sum("itzo") + sum("pause")
	m.write(t, "tmp/itzo/sha256sums", good, 0o600)
	genuine := m.read(t, "srv/itzo-v2-"+runtime.GOARCH)
	m.write(t, "srv/itzo-v2-"+runtime.GOARCH, genuine+"# forged\n", 0o600)
	m.boot(t, start[:len(start)-1]+` & until grep -q 'its SHA-256 digest is' /var/log/itzo/itzo.log; do sleep 0.01; done 2>/dev/null`+"\n")
	want := "cannot download http://mirror/itzo-v2-" + runtime.GOARCH + " yet, and goes on trying: its SHA-256 digest is "
	if log := m.read(t, "var/log/itzo/itzo.log"); !strings.Contains(log, want) {
		t.Errorf("log %q", log)
	}
	m.write(t, "srv/itzo-v2-"+runtime.GOARCH, genuine, 0o600)
	m.boot(t, start+"started 1")
}

func TestScriptLeavesOldImagesToTheirLauncher(t *testing.T) {
	m := newMachine(t, map[string]string{"itzo-launcher": idle})
	if out := m.boot(t, start); out != "itzo: leaving the agent to itzo-launcher\n" {
		t.Errorf("output %q", out)
	}
}

func TestScriptKnowsThisMachine(t *testing.T) {
	if !strings.Contains(string(startAgent), machineType(t)+") arch="+runtime.GOARCH+" ;;") {
		t.Errorf("no case for %q that gives %q", machineType(t), runtime.GOARCH)
	}
}

func machineType(t *testing.T) string {
	t.Helper()
	out, err := exec.Command("uname", "-m").Output()
	if err != nil {
		t.Skip("skipped: no uname here")
	}
	return strings.TrimSpace(string(out))
}
