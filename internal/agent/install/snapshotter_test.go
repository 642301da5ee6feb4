package install

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// dumps are what containerd says of its configuration, by version of it, and
// what is to become of that.
func dumps() map[string]struct{ is, want string } {
	return map[string]struct{ is, want string }{
		"1.6": {`disabled_plugins = ["io.containerd.snapshotter.v1.aufs", "io.containerd.snapshotter.v1.native", "io.containerd.internal.v1.opt"]
version = 2
      discard_unpacked_layers = false
      snapshotter = "overlayfs"
          snapshotter = ""
    snapshotter_other = "overlayfs"
`, `# kip: snapshotter native
disabled_plugins = ["io.containerd.snapshotter.v1.aufs", "io.containerd.internal.v1.opt"]
version = 2
      discard_unpacked_layers = false
      snapshotter = "native"
          snapshotter = ""
    snapshotter_other = "overlayfs"
`},
		"2.4": {`version = 4
disabled_plugins = ['io.containerd.snapshotter.v1.native']
    snapshotter = 'overlayfs'
    use_local_image_pull = false
          snapshotter = ''
`, `# kip: snapshotter native
version = 4
disabled_plugins = []
    snapshotter = "native"
    use_local_image_pull = true
          snapshotter = ''
`},
	}
}

// TestSnapshotter: changed once, whatever the image's configuration is.
func TestSnapshotter(t *testing.T) {
	for version, dump := range dumps() {
		t.Run(version, func(t *testing.T) {
			m := newMachine(t, map[string]string{
				"containerd": `echo "containerd $*" >>$M/log; cat $M/dump`, "systemctl": systemctl,
			})
			m.write("dump", dump.is, 0o600)
			m.write("root/run/systemd/system/x", "", 0o600)
			m.write("parameters/snapshotter", "native", 0o400)
			if !m.installer.Needed() {
				t.Error("nothing to do")
			}
			m.prepared()
			if diff := cmp.Diff(dump.want, m.read("root/etc/containerd/config.toml")); diff != "" {
				t.Errorf("configuration (-want +got):\n%s", diff)
			}
			if got, want := m.read("log"), "containerd config dump\nsystemctl restart containerd\n"; got != want {
				t.Errorf("got %q, want %q", got, want)
			}
			if m.installer.Needed() {
				t.Error("it would be done again")
			}
		})
	}
}

// TestRestartIsTriedAgain: the new configuration alone changes nothing.
func TestRestartIsTriedAgain(t *testing.T) {
	m := newMachine(t, map[string]string{"containerd": "cat $M/dump", "systemctl": "echo no bus >&2; exit 1"})
	m.write("dump", "version = 2\n", 0o600)
	m.write("root/run/systemd/system/x", "", 0o600)
	m.write("parameters/snapshotter", "native", 0o400)
	for range 2 {
		if err := m.installer.ensure(t.Context()); err == nil || !strings.Contains(err.Error(), "systemctl restart containerd: exit status 1: no bus") {
			t.Fatal(err)
		}
		m.installer = New(m.installer.config)
	}
	m.write("bin/systemctl", "#!/bin/sh\n"+systemctl+"\n", 0o755)
	must(t, m.installer.ensure(t.Context()))
	if got := m.read("log"); got != "systemctl restart containerd\n" || m.installer.Needed() {
		t.Errorf("got %q", got)
	}
}

func TestSnapshotterThatCannotBe(t *testing.T) {
	m := newMachine(t, map[string]string{"containerd": "echo broken >&2; exit 1"})
	for name, want := range map[string]string{
		"native":   "asking containerd for its configuration: exit status 1: broken",
		"x\"\n[y]": "the cell's parameter snapshotter: \"x\\\"\\n[y]\" is not the name of one",
	} {
		m.write("parameters/snapshotter", name, 0o600)
		if _, err := m.installer.useSnapshotter(t.Context()); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %s", err, want)
		}
	}
}

// FuzzWithSnapshotter: what a configuration says beyond its snapshotter stays.
func FuzzWithSnapshotter(f *testing.F) {
	for _, dump := range dumps() {
		f.Add(dump.is)
	}
	f.Fuzz(func(t *testing.T, dump string) {
		got := withSnapshotter(dump, "native")
		if !strings.HasPrefix(got, mark+"native\n") || strings.Count(got, "\n") != strings.Count(dump, "\n")+1 {
			t.Errorf("%q becomes %q", dump, got)
		}
	})
}
