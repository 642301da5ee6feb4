package sandbox

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// layer is the directory that becomes a cell's writable layer. What it holds
// before the cell starts makes the host's root file system an image: hidden
// are the host's own data, added is what an AMI has.
type layer struct {
	lower, upper string
	hidden       []string
}

// systemDirs are the top-level directories that cells share with the host or
// that something is mounted on. All others are hidden.
func systemDirs() []string {
	return []string{"bin", "dev", "etc", "lib", "lib32", "lib64", "libx32", "proc", "run", "sbin", "sys", "usr"}
}

// privateDirs are directories of the host's system that hold what is the
// host's alone. Cells see them empty.
func privateDirs() []string {
	return []string{
		"/etc/NetworkManager", "/etc/cni", "/etc/containerd", "/etc/docker", "/etc/ipsec.d", "/etc/kubernetes", "/etc/letsencrypt",
		"/etc/netplan", "/etc/openvpn", "/etc/ppp", "/etc/rancher", "/etc/ssh", "/etc/ssl/private", "/etc/sudoers.d", "/etc/wireguard",
	}
}

// hide makes everything invisible that is not an image's, but for the
// top-level directories in keep.
func (l *layer) hide(more []string, keep ...string) error {
	entries, err := os.ReadDir(l.lower)
	if err != nil {
		return fmt.Errorf("listing the host's root: %w", err)
	}
	for _, e := range entries {
		if e.Type() == fs.ModeSymlink || slices.Contains(append(systemDirs(), keep...), e.Name()) {
			continue
		}
		if err := l.hideOne("/" + e.Name()); err != nil {
			return err
		}
	}
	for _, path := range append(privateDirs(), more...) {
		if err := l.hideOne(filepath.Clean(path)); err != nil {
			return err
		}
	}
	return nil
}

// hideOne hides a file or the content of a directory. The marks are the
// overlay's own, so nobody in the cell can lift them. A path that the host
// does not have needs no hiding.
func (l *layer) hideOne(path string) error {
	if slices.ContainsFunc(l.hidden, func(h string) bool { return path == h || strings.HasPrefix(path, h+"/") }) {
		return nil
	}
	info, err := os.Lstat(filepath.Join(l.lower, path))
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("hiding %s: %w", path, err)
	}
	if err := l.hideAs(path, info); err != nil {
		return fmt.Errorf("hiding %s: %w", path, err)
	}
	l.hidden = append(l.hidden, path)
	return nil
}

func (l *layer) hideAs(path string, info fs.FileInfo) error {
	if err := l.parents(filepath.Dir(path)); err != nil {
		return err
	}
	upper := filepath.Join(l.upper, path)
	if !info.IsDir() {
		err := unix.Mknod(upper, unix.S_IFCHR, int(unix.Mkdev(0, 0)))
		if errors.Is(err, unix.EEXIST) {
			return nil
		}
		return err
	}
	if err := l.like(path, info); err != nil {
		return err
	}
	return unix.Lsetxattr(upper, "trusted.overlay.opaque", []byte("y"), 0)
}

// parents makes the directories above an entry, looking as on the host.
func (l *layer) parents(dir string) error {
	if dir == "/" || dir == "." {
		return nil
	}
	if _, err := os.Lstat(filepath.Join(l.upper, dir)); err == nil {
		return nil
	}
	if err := l.parents(filepath.Dir(dir)); err != nil {
		return err
	}
	info, err := os.Lstat(filepath.Join(l.lower, dir))
	if errors.Is(err, fs.ErrNotExist) || l.isHidden(dir) {
		return os.Mkdir(filepath.Join(l.upper, dir), 0o755)
	}
	if err != nil {
		return err
	}
	if !info.IsDir() {
		return fmt.Errorf("%s is not a directory on the host", dir)
	}
	return l.like(dir, info)
}

func (l *layer) isHidden(dir string) bool {
	return slices.ContainsFunc(l.hidden, func(h string) bool { return strings.HasPrefix(dir, h+"/") })
}

// like makes a directory with the host's mode and owner.
func (l *layer) like(dir string, info fs.FileInfo) error {
	upper := filepath.Join(l.upper, dir)
	if err := os.Mkdir(upper, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		if err := os.Lchown(upper, int(st.Uid), int(st.Gid)); err != nil {
			return err
		}
	}
	return os.Chmod(upper, info.Mode())
}

// entry is something that an image has and the host does not, or has otherwise.
type entry struct {
	path    string
	mode    fs.FileMode // with fs.ModeDir or fs.ModeSymlink
	content string      // of a file, or target of a symbolic link
}

func (l *layer) add(e entry) error {
	if err := l.parents(filepath.Dir(e.path)); err != nil {
		return fmt.Errorf("making the directory of %s: %w", e.path, err)
	}
	upper := filepath.Join(l.upper, e.path)
	var err error
	switch e.mode.Type() {
	case fs.ModeDir:
		if err = os.Mkdir(upper, 0o755); errors.Is(err, fs.ErrExist) {
			err = nil
		}
	case fs.ModeSymlink:
		return wrap("making "+e.path, os.Symlink(e.content, upper))
	default:
		err = os.WriteFile(upper, []byte(e.content), 0o600)
	}
	if err == nil {
		err = os.Chmod(upper, e.mode)
	}
	return wrap("making "+e.path, err)
}

func wrap(doing string, err error) error {
	if err != nil {
		return fmt.Errorf("%s: %w", doing, err)
	}
	return nil
}
