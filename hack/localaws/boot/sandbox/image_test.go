package sandbox

import (
	"errors"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"kip.elotl.co/hack/localaws/boot"
)

func TestIdentity(t *testing.T) {
	spec := boot.Spec{InstanceID: "i-0abc", Region: "eu-west-1", PrivateIPs: []netip.Addr{netip.MustParseAddr("10.0.0.5")}}
	got := map[string]string{}
	for _, e := range identity(spec) {
		got[e.path] = e.content
	}
	want := map[string]string{
		"/etc/hostname":    "ip-10-0-0-5\n",
		"/etc/hosts":       "127.0.0.1 localhost\n::1 localhost ip6-localhost ip6-loopback\n10.0.0.5 ip-10-0-0-5.eu-west-1.compute.internal ip-10-0-0-5\n",
		"/etc/resolv.conf": "# no name server\n",
		"/etc/machine-id":  "0abc" + strings.Repeat("0", 28) + "\n",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if got := shortHostname(boot.Spec{InstanceID: "i-1"}); got != "i-1" {
		t.Errorf("without an address: %q", got)
	}
}

// Registries have further names, and what the cell's programs find in their
// environment is nothing of the host's.
func TestRegistriesAndEnvironment(t *testing.T) {
	b := &Backend{lower: t.TempDir(), cfg: Config{
		Registries: []string{"10.0.0.1:5000"}, Aliases: map[string]string{"123456789012.dkr.ecr.us-east-1.amazonaws.com": "10.0.0.1:5000"},
		Environment: map[string]string{"B": "2", "A": "1"},
	}}
	got := map[string]string{}
	for _, e := range b.image(boot.Spec{InstanceID: "i-1"}) {
		got[e.path] = e.content
	}
	const hosts = "server = \"http://10.0.0.1:5000\"\n\n[host.\"http://10.0.0.1:5000\"]\n  capabilities = [\"pull\", \"resolve\"]\n"
	for path, want := range map[string]string{
		"/etc/containerd/certs.d/10.0.0.1:5000/hosts.toml":                                hosts,
		"/etc/containerd/certs.d/123456789012.dkr.ecr.us-east-1.amazonaws.com/hosts.toml": hosts,
		"/etc/environment": "A=1\nB=2\n",
	} {
		if got[path] != want {
			t.Errorf("%s holds %q, want %q", path, got[path], want)
		}
	}
}

func TestLockedShadow(t *testing.T) {
	lower := t.TempDir()
	if got := lockedShadow(lower); got != "" {
		t.Errorf("without a file: %q", got)
	}
	if err := os.MkdirAll(filepath.Join(lower, "etc"), 0o755); err != nil {
		t.Fatal(err)
	}
	in := "root:$6$secret:19000:0:99999:7:::\nbroken\nme:!:19000::::::\n"
	if err := os.WriteFile(filepath.Join(lower, "etc/shadow"), []byte(in), 0o600); err != nil {
		t.Fatal(err)
	}
	if got, want := lockedShadow(lower), "root:*:19000:0:99999:7:::\nme:*:19000::::::\n"; got != want {
		t.Errorf("%q", got)
	}
}

func TestFindCNI(t *testing.T) {
	lower := t.TempDir()
	if _, err := findCNI(lower); err == nil || !strings.Contains(err.Error(), "containernetworking-plugins") {
		t.Error(err)
	}
	for _, dir := range []string{"/opt/cni/bin", "/usr/lib/cni"} {
		if err := os.MkdirAll(filepath.Join(lower, dir), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(lower, dir, "ptp"), nil, 0o755); err != nil {
			t.Fatal(err)
		}
		if got, err := findCNI(lower); err != nil || got != dir {
			t.Errorf("%q, %v", got, err)
		}
	}
}

func TestParseStat(t *testing.T) {
	ticks, state, err := parseStat([]byte("42 (a) b (c) S 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 987 20 21"))
	if ticks != 987 || state != 'S' || err != nil {
		t.Errorf("%d, %c, %v", ticks, state, err)
	}
	for _, bad := range []string{"", "42 (a) S 1", ")", "42 (a) S 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 x 20"} {
		if _, _, err := parseStat([]byte(bad)); err == nil {
			t.Errorf("%q was accepted", bad)
		}
	}
}

func FuzzParseStat(f *testing.F) {
	f.Add([]byte("42 (a) S 1 2 3"))
	f.Fuzz(func(_ *testing.T, data []byte) { _, _, _ = parseStat(data) })
}

func TestOnlyTheVeryProcessIsOpened(t *testing.T) {
	self, err := identify(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	pidfd, err := self.open()
	if err != nil {
		t.Fatal(err)
	}
	pidfd.Close()
	later, otherBoot, none := self, self, self
	later.StartTicks++
	otherBoot.BootID = "x"
	none.PID = 0
	for _, p := range []process{later, otherBoot, none, {PID: 1}, {PID: 1 << 30}, {}} {
		if _, err := p.open(); !errors.Is(err, os.ErrProcessDone) {
			t.Errorf("%+v: %v", p, err)
		}
	}
}

func TestTail(t *testing.T) {
	path := filepath.Join(t.TempDir(), "console")
	if got := tail(path); len(got) != 0 {
		t.Errorf("%q", got)
	}
	if err := os.WriteFile(path, []byte(strings.Repeat("a", consoleSize)+"the end"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := tail(path); len(got) != consoleSize || !strings.HasSuffix(string(got), "aathe end") {
		t.Errorf("%d bytes", len(got))
	}
}

func TestHoldsMount(t *testing.T) {
	const mounts = "25 20 0:22 / /a/b/c rw - tmpfs tmpfs rw\n26 20 0:22 / /a/bc rw - tmpfs tmpfs rw\nshort\n"
	for dir, want := range map[string]string{"/a/b": "/a/b/c", "/a": "/a/b/c", "/a/b/c": "/a/b/c", "/a/bc": "/a/bc", "/a/bc/d": "", "/x": ""} {
		if got := mountWithin(dir, mounts); got != want {
			t.Errorf("%s: %q, want %q", dir, got, want)
		}
	}
}

func TestRecordRoundTrip(t *testing.T) {
	c := &cell{dir: t.TempDir(), rec: record{Primary: netip.MustParseAddr("10.0.0.5"), Process: process{PID: 7, StartTicks: 8, BootID: "b"}}}
	c.rec.Group.Dirs = []string{"/a"}
	if err := c.save(); err != nil {
		t.Fatal(err)
	}
	again := &cell{dir: c.dir}
	if err := again.load(); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(c.rec, again.rec, cmp.Comparer(func(a, b netip.Addr) bool { return a == b })); diff != "" {
		t.Error(diff)
	}
	if err := os.WriteFile(filepath.Join(c.dir, recordFile), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := again.load(); err == nil {
		t.Error("a damaged record was read")
	}
}
