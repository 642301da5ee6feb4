package sandbox

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"

	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"kip.elotl.co/hack/localaws/boot"
	"kip.elotl.co/hack/localaws/firstboot"
)

const serveCommand = "runcmd:\n- mkdir /run/www && echo hello from the cell >/run/www/index.html\n- busybox httpd -p 7000 -h /run/www\n"

// Two cells with a pod each, through everything that the fabric promises. The
// second has a containerd 2, where that is built.
func TestCellsWithPods(t *testing.T) {
	w := newWorld(t)
	specs := []boot.Spec{podSpec(w, 0, serveCommand), podSpec(w, 1, "")}
	specs[1].ImageID = w.withContainerd2(t)
	var cells []*Machine
	var pods []*pod
	for _, spec := range specs {
		m := w.boot(t, spec)
		p, err := w.startPod(t, m, "sh", "-c", "mkdir /www; echo hello from the pod >/www/index.html; httpd -f -p 8080 -h /www")
		if err != nil {
			t.Fatalf("%v\n%s", err, m.Console())
		}
		cells, pods = append(cells, m), append(pods, p)
	}
	cell0, pod0 := specs[0].PrivateIPs[0].String(), specs[0].PrivateIPs[1].String()

	t.Run("pod answers", func(t *testing.T) {
		eventually(t, "from the root end", func() error { return answers("http://"+pod0+":8080/", "hello from the pod") })
		if out, err := cells[1].exec("curl -sS --max-time 10 http://" + pod0 + ":8080/"); err != nil || out != "hello from the pod" {
			t.Errorf("from the other cell: %q, %v", out, err)
		}
		if out := pods[1].exec(t, "wget -qO- http://"+pod0+":8080/"); !strings.Contains(out, "hello from the pod") {
			t.Errorf("from the other pod: %q", out)
		}
	})
	t.Run("cell answers", func(t *testing.T) {
		if out, err := cells[1].exec("curl -sS --max-time 10 http://" + cell0 + ":7000/"); err != nil || out != "hello from the cell" {
			t.Errorf("from the other cell: %q, %v", out, err)
		}
	})
	t.Run("metadata", func(t *testing.T) { checkMetadata(t, cells[1], pods[1], specs[1]) })
	t.Run("nothing outside", func(t *testing.T) {
		for _, url := range []string{"http://8.8.8.8/", "http://192.0.2.9/"} {
			if out, err := cells[1].exec("curl -sS " + url); err == nil || !strings.Contains(out, "Couldn't connect") && !strings.Contains(out, "route") && !strings.Contains(out, "unreachable") {
				t.Errorf("%s from the cell: %q, %v", url, out, err)
			}
		}
		if out := pods[1].exec(t, "wget -qO- http://8.8.4.4/"); !strings.Contains(out, "unreachable") && !strings.Contains(out, "No route") {
			t.Errorf("from the pod: %q", out)
		}
	})
	t.Run("containerd is started again", func(t *testing.T) {
		for i := range cells {
			checkRestart(t, cells[i], pods[i])
		}
	})
}

func answers(url, want string) error {
	client := http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Get(url)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil || strings.TrimSpace(string(body)) != want {
		return fmt.Errorf("%q, %w", body, err)
	}
	return nil
}

func checkMetadata(t *testing.T, m *Machine, p *pod, spec boot.Spec) {
	t.Helper()
	const tokenCommand = `T=$(curl -sS -X PUT -H "X-aws-ec2-metadata-token-ttl-seconds: 60" http://169.254.169.254/latest/api/token); `
	for path, want := range map[string]string{
		"meta-data/instance-id": spec.InstanceID, "meta-data/local-ipv4": spec.PrivateIPs[0].String(), "user-data": strings.TrimSpace(string(spec.UserData)),
	} {
		out, err := m.exec(tokenCommand + `curl -sS -H "X-aws-ec2-metadata-token: $T" http://169.254.169.254/latest/` + path)
		if err != nil || out != want {
			t.Errorf("%s: %q, %v", path, out, err)
		}
	}
	if out := p.exec(t, "wget -O- http://169.254.169.254/latest/meta-data/"); !strings.Contains(out, "403") {
		t.Errorf("from the pod: %q", out)
	}
}

// checkRestart kills containerd and sees that the pod goes on under a new one.
func checkRestart(t *testing.T, m *Machine, p *pod) {
	t.Helper()
	if out, err := m.exec("kill -9 $(pidof containerd)"); err != nil {
		t.Fatalf("%s, %v", out, err)
	}
	eventually(t, "the new containerd", func() error {
		conn, err := net.Dial("unix", m.path("/run/containerd/containerd.sock"))
		if err == nil {
			conn.Close()
		}
		return err
	})
	runtime, _ := dialCRI(t, m)
	eventually(t, "the pod under the new containerd", func() error {
		stdout, _, err := runtime.ExecSync(t.Context(), p.container, []string{"hostname"}, 5*time.Second)
		if err == nil && strings.TrimSpace(string(stdout)) != "pod" {
			err = fmt.Errorf("%q", stdout)
		}
		return err
	})
}

func TestCellSeesNothingOfItsHost(t *testing.T) {
	requireHost(t)
	secret := filepath.Join("/usr/local/lib", fmt.Sprintf("kip-test-%d", os.Getpid()))
	if err := os.MkdirAll(filepath.Join(secret, "deep"), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(secret) })
	for _, file := range []string{"deep/file", "file"} {
		if err := os.WriteFile(filepath.Join(secret, file), []byte("secret"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	w := newWorld(t)
	w.cfg.Hide = []string{filepath.Join(secret, "deep"), filepath.Join(secret, "file"), "/nonexistent/path"}
	w.backend = w.newBackend(t)
	m := w.boot(t, w.spec(0, ""))
	wd, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	hidden := []string{"/root", "/home", "/mnt", "/srv", "/boot", "/tmp", secret + "/deep"}
	for _, dir := range hidden {
		if out, err := m.exec("ls -A " + dir); err != nil || out != "" {
			t.Errorf("%s holds %q, %v", dir, out, err)
		}
	}
	for _, path := range []string{wd, w.cfg.Dir, secret + "/file"} {
		if out, err := m.exec("ls -A " + path); err == nil {
			t.Errorf("%s is there: %q", path, out)
		}
	}
	if out, err := m.exec("cut -d: -f2 /etc/shadow | sort -u"); err != nil || out != "*" {
		t.Errorf("passwords: %q, %v", out, err)
	}
	if out, err := m.exec("grep -c " + w.cfg.Dir + " /proc/1/mountinfo"); err == nil && out != "2" {
		t.Errorf("mounts of the host: %s", out) // its own overlay and containerd's directory
	}
	if out, err := m.exec("touch /usr/bin/marker && rm /usr/bin/curl && echo x >/etc/passwd"); err != nil {
		t.Errorf("%s, %v", out, err)
	}
	if err := exists("/usr/bin/marker")(); err == nil {
		t.Error("a cell wrote to the host")
	}
	if err := exists("/usr/bin/curl")(); err != nil {
		t.Error("a cell removed a file of the host")
	}
}

func TestUserDataIsApplied(t *testing.T) {
	w := newWorld(t)
	const data = `#cloud-config
hostname: renamed
timezone: UTC
packages: [nothing]
bootcmd: ["echo early >/run/early"]
users:
- name: ada
  uid: 4321
  ssh_authorized_keys: [ssh-ed25519 AAAA ada]
ssh_authorized_keys: [ssh-ed25519 BBBB root]
write_files:
- {path: /tmp/itzo/secret, content: s3cret, permissions: "0400"}
- {path: /opt/deep/er/file, content: aGk=, encoding: b64, owner: "ada:ada", defer: true}
runcmd:
- [sh, -c, "cat /run/early; id -u ada"]
- (sleep 1000; echo never) & echo "pid 1 is $(cat /proc/1/comm)"
- echo to the device >/dev/console
- exit 7
`
	m := w.boot(t, w.spec(0, data))
	eventually(t, "first boot", exists(m.path(firstboot.FinishedFile)))
	for script, want := range map[string]string{
		"hostname; cat /etc/hostname":          "renamed\nrenamed",
		"stat -c '%a %U' /tmp/itzo/secret":     "400 root",
		"cat /opt/deep/er/file":                "hi",
		"stat -c '%U:%G' /opt/deep/er/file":    "ada:ada",
		"cat ~ada/.ssh/authorized_keys":        "ssh-ed25519 AAAA ada",
		"stat -c '%a %U' ~ada/.ssh":            "700 ada",
		"cat /root/.ssh/authorized_keys":       "ssh-ed25519 BBBB root",
		"readlink /etc/localtime":              "/usr/share/zoneinfo/UTC",
		"getent hosts renamed | cut -d' ' -f1": "127.0.1.1",
		"pgrep -c sleep":                       "1",
	} {
		if out, err := m.exec(script); err != nil || out != want {
			t.Errorf("%s: %q, %v", script, out, err)
		}
	}
	for _, line := range []string{
		"early\n", "\n4321\n", "pid 1 is cellinit", "to the device", "packages is not supported", "script runcmd: exit status 7", "first boot finished",
	} {
		eventually(t, "console", func() error {
			if !strings.Contains(string(m.Console()), line) {
				return fmt.Errorf("no %q", line)
			}
			return nil
		})
	}
	if strings.Contains(string(m.Console()), "s3cret") {
		t.Error("a value of user data is on the console")
	}
}

func TestPowerOff(t *testing.T) {
	w := newWorld(t)
	for i, command := range []string{"poweroff", "shutdown -h now", "systemctl poweroff", "kill -s RTMIN+4 1", "kill 1"} {
		before := w.state(t)
		m := w.boot(t, w.spec(i, ""))
		eventually(t, "services", exists(m.path("/run/containerd/containerd.sock")))
		if out, err := m.exec(command); err != nil && !strings.Contains(err.Error(), "terminated") && !strings.Contains(err.Error(), "killed") {
			t.Fatalf("%s: %s, %v", command, out, err)
		}
		select {
		case <-m.Done():
		case <-time.After(time.Minute):
			t.Fatalf("%s: the cell goes on", command)
		}
		requireSame(t, before)
		if !strings.Contains(string(m.Console()), "powering off") {
			t.Errorf("%s: console: %s", command, m.Console())
		}
	}
}

// state is the host's without the fabric's root directory, but with the cells'.
func (w *world) state(t *testing.T) []string {
	t.Helper()
	if entries, err := os.ReadDir(w.cfg.Dir); err == nil && len(entries) > 0 {
		t.Errorf("files of cells: %v", entries)
	}
	if ports, err := w.cfg.Network.Ports(); err != nil || len(ports) > 0 {
		t.Errorf("cells on the fabric: %v, %v", ports, err)
	}
	return hostState(t)
}

func TestStopLeavesNothing(t *testing.T) {
	w := newWorld(t)
	before := w.state(t)
	m := w.boot(t, podSpec(w, 0, ""))
	if _, err := w.startPod(t, m, "sleep", "1000"); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := m.Stop(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	requireSame(t, before)
	w.state(t)
	if len(m.Console()) == 0 {
		t.Error("the console is lost")
	}
	if _, err := w.backend.Recover(t.Context(), w.specs[0]); !errors.Is(err, boot.ErrGone) {
		t.Errorf("Recover after Stop: %v", err)
	}
}

func TestRecover(t *testing.T) {
	w := newWorld(t)
	before := w.state(t)
	spec := podSpec(w, 0, "")
	first := w.boot(t, spec)
	p, err := w.startPod(t, first, "sleep", "1000")
	if err != nil {
		t.Fatal(err)
	}
	again, err := w.newBackend(t).Recover(t.Context(), spec)
	if err != nil {
		t.Fatal(err)
	}
	if out := p.exec(t, "hostname"); !strings.HasPrefix(out, "pod") {
		t.Errorf("the pod answers %q", out)
	}
	eventually(t, "console", func() error {
		if !strings.Contains(string(again.Console()), "first boot finished") {
			return errors.New(string(again.Console()))
		}
		return nil
	})
	if err := again.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	<-first.Done()
	requireSame(t, before)
}

func TestRecoverAfterTheCellDied(t *testing.T) {
	w := newWorld(t)
	before := w.state(t)
	spec := w.spec(0, "")
	m := w.boot(t, spec)
	// A record without a process is what a crash of the whole machine leaves.
	record, err := os.ReadFile(filepath.Join(m.cell.dir, recordFile))
	if err != nil {
		t.Fatal(err)
	}
	if err := m.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(m.cell.dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(m.cell.dir, recordFile), record, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := w.backend.Recover(t.Context(), spec); !errors.Is(err, boot.ErrGone) {
		t.Errorf("%v", err)
	}
	requireSame(t, before)
	w.state(t)
}

func TestSweep(t *testing.T) {
	w := newWorld(t)
	before := w.state(t)
	m := w.boot(t, w.spec(0, "#cloud-config\nruncmd: ['nohup sleep 1000 &']\n"))
	if err := Sweep(t.Context(), w.cfg.Dir, w.cfg.Network.Name()); err != nil {
		t.Fatal(err)
	}
	<-m.Done()
	requireSame(t, before)
	if err := exists(w.cfg.Dir)(); err == nil {
		t.Error("the cells' directory is still there")
	}
	if err := Sweep(t.Context(), w.cfg.Dir, w.cfg.Network.Name()); err != nil {
		t.Errorf("a second time: %v", err)
	}
}

func TestTenInParallel(t *testing.T) {
	w := newWorld(t)
	before := w.state(t)
	machines := make([]boot.Machine, 10)
	var group errgroup.Group
	for i := range machines {
		spec := w.spec(i, fmt.Sprintf("#cloud-config\nwrite_files: [{path: /tmp/n, content: '%d'}]\n", i))
		group.Go(func() (err error) {
			machines[i], err = w.backend.Start(t.Context(), spec)
			return err
		})
	}
	if err := group.Wait(); err != nil {
		t.Fatal(err)
	}
	for i, m := range machines {
		eventually(t, "file", func() error {
			got, err := os.ReadFile(m.(*Machine).path("/tmp/n"))
			if err == nil && string(got) != fmt.Sprint(i) {
				err = fmt.Errorf("%q in cell %d", got, i)
			}
			return err
		})
		eventually(t, "CRI", exists(m.(*Machine).path("/run/containerd/containerd.sock")))
	}
	for _, m := range machines {
		group.Go(func() error { return m.Stop(context.Background()) })
	}
	if err := group.Wait(); err != nil {
		t.Error(err)
	}
	requireSame(t, before)
	w.state(t)
}

func TestStartThatFailsLeavesNothing(t *testing.T) {
	w := newWorld(t)
	before := w.state(t)
	outside := w.spec(0, "")
	outside.PrivateIPs = []netip.Addr{netip.MustParseAddr("100.64.78.10")}
	noMAC := w.spec(1, "")
	noMAC.MAC = "nonsense"
	nameless := w.spec(2, "")
	nameless.InstanceID = "../x"
	noAddress := w.spec(3, "")
	noAddress.PrivateIPs = nil
	for _, spec := range []boot.Spec{outside, noMAC, nameless, noAddress} {
		if m, err := w.backend.Start(t.Context(), spec); err == nil {
			t.Errorf("%+v came up", spec)
			_ = m.Stop(t.Context())
		}
	}
	w.cfg.Init = "/bin/false"
	if m, err := w.newBackend(t).Start(t.Context(), w.spec(4, "")); err == nil {
		t.Error("came up without a first process")
		_ = m.Stop(t.Context())
	}
	requireSame(t, before)
	w.state(t)
}

func TestNewRefuses(t *testing.T) {
	requireHost(t)
	if _, err := New(Config{Dir: t.TempDir(), Init: "/nonexistent"}); err == nil || !strings.Contains(err.Error(), "/nonexistent") {
		t.Error(err)
	}
}
