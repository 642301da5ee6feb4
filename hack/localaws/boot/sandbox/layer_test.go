package sandbox

import (
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

// newLayer makes a host's root with the given files and an empty layer.
func newLayer(t *testing.T, files ...string) *layer {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("needs root: writes the overlay's marks")
	}
	l := &layer{lower: t.TempDir(), upper: t.TempDir()}
	for _, f := range files {
		path := filepath.Join(l.lower, f)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte("host"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return l
}

func (l *layer) opaque(path string) bool {
	value := make([]byte, 8)
	n, err := unix.Lgetxattr(filepath.Join(l.upper, path), "trusted.overlay.opaque", value)
	return err == nil && string(value[:n]) == "y"
}

func (l *layer) whiteout(path string) bool {
	var st unix.Stat_t
	err := unix.Lstat(filepath.Join(l.upper, path), &st)
	return err == nil && st.Mode&unix.S_IFMT == unix.S_IFCHR && st.Rdev == 0
}

func (l *layer) has(path string) bool {
	_, err := os.Lstat(filepath.Join(l.upper, path))
	return err == nil
}

func TestHide(t *testing.T) {
	l := newLayer(t, "usr/bin/tool", "etc/ssh/key", "etc/hosts", "home/me/file", "notes.txt", "opt/x", "usr/src/kip/.dev/state", "usr/src/kip/go.mod")
	if err := os.Symlink("usr/bin", filepath.Join(l.lower, "bin")); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(filepath.Join(l.lower, "home"), 0o711); err != nil {
		t.Fatal(err)
	}
	more := []string{"/usr/src/kip/.dev/", "/usr/src/kip/go.mod", "/home/me", "/nowhere", "/notes.txt/below"}
	if err := l.hide(more, "opt"); err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{"home", "etc/ssh", "usr/src/kip/.dev"} {
		if !l.opaque(dir) {
			t.Errorf("%s is not hidden", dir)
		}
	}
	for _, file := range []string{"notes.txt", "usr/src/kip/go.mod"} {
		if !l.whiteout(file) {
			t.Errorf("%s is not hidden", file)
		}
	}
	for _, path := range []string{"usr/bin", "etc/hosts", "bin", "opt", "home/me", "nowhere"} {
		if l.has(path) {
			t.Errorf("%s is in the layer", path)
		}
	}
	if l.opaque("usr") || l.opaque("etc") || l.opaque("usr/src/kip") {
		t.Error("a parent of what is hidden is hidden too")
	}
	if info, err := os.Stat(filepath.Join(l.upper, "home")); err != nil || info.Mode().Perm() != 0o711 {
		t.Errorf("the mode is not the host's: %v, %v", info, err)
	}
}

func TestAdd(t *testing.T) {
	l := newLayer(t, "etc/hosts", "var/lib/secret", "file")
	if err := os.Chmod(filepath.Join(l.lower, "etc"), 0o750); err != nil {
		t.Fatal(err)
	}
	if err := l.hide(nil); err != nil {
		t.Fatal(err)
	}
	for _, e := range []entry{
		{"/etc/hosts", 0o640, "cell"}, {"/etc/new/deep/file", 0o600, "x"}, {"/tmp", fs.ModeDir | fs.ModeSticky | 0o777, ""},
		{"/tmp", fs.ModeDir | fs.ModeSticky | 0o777, ""}, {"/var/run", fs.ModeSymlink, "/run"}, {"/var/lib/mine", 0o644, "y"},
	} {
		if err := l.add(e); err != nil {
			t.Error(err)
		}
	}
	for path, mode := range map[string]fs.FileMode{
		"etc": fs.ModeDir | 0o750, "etc/hosts": 0o640, "etc/new/deep": fs.ModeDir | 0o755, "tmp": fs.ModeDir | fs.ModeSticky | 0o777,
		"var/lib": fs.ModeDir | 0o755, "var/lib/mine": 0o644,
	} {
		if info, err := os.Lstat(filepath.Join(l.upper, path)); err != nil || info.Mode() != mode {
			t.Errorf("%s: %v, %v, want %v", path, info, err, mode)
		}
	}
	if got, err := os.Readlink(filepath.Join(l.upper, "var/run")); err != nil || got != "/run" {
		t.Errorf("%q, %v", got, err)
	}
	if err := l.add(entry{"/file/below", 0o644, ""}); err == nil {
		t.Error("a file was made below a file")
	}
}
