package host

import (
	"archive/tar"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
	"syscall"

	"kip.elotl.co/internal/agent"
	"kip.elotl.co/internal/itzo"
)

// What a package may hold at most, unpacked.
const (
	maxPackageBytes   = 64 << 20
	maxPackageEntries = 10_000
)

const (
	packageRoot = "ROOTFS"
	// dataLink points to the directory with the files of now; what users of the
	// volume see are links through it. So all files change in one step, and those
	// that watch them see it, as with a kubelet.
	dataLink    = "..data"
	dataLinkNew = "..data_new"
)

// Deploy implements agent.Host.
func (h *Host) Deploy(name string, archive io.Reader) error {
	if err := itzo.CheckName(name); err != nil {
		return fmt.Errorf("%w: %w", agent.ErrBadPackage, err)
	}
	dir := h.packageDir(name)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("making package directory: %w", err)
	}
	data, err := os.MkdirTemp(dir, "..data_")
	if err != nil {
		return fmt.Errorf("making package directory: %w", err)
	}
	err = unpack(data, archive)
	if err == nil {
		err = ownLike(dir, data)
	}
	if err == nil {
		err = publish(dir, filepath.Base(data))
	}
	if err != nil {
		os.RemoveAll(data)
	}
	return err
}

// HasPackage implements agent.Host.
func (h *Host) HasPackage(name string) bool {
	if itzo.CheckName(name) != nil {
		return false
	}
	_, err := os.Stat(filepath.Join(h.packageDir(name), dataLink))
	return err == nil
}

func (h *Host) packageDir(name string) string {
	return filepath.Join(h.dir, packagesDir, name)
}

// ownLike gives a volume's directory to the group that its data belongs to, as it
// does for what is made in there from now on. As on a kubelet anybody may write to
// it; containers cannot, to whom it is mounted for reading.
func ownLike(dir, data string) error {
	info, err := os.Stat(data)
	if err != nil {
		return err
	}
	if owner, known := info.Sys().(*syscall.Stat_t); known && int(owner.Gid) != os.Getegid() {
		if err := os.Chown(dir, -1, int(owner.Gid)); err != nil {
			return err
		}
	}
	return os.Chmod(dir, volumeMode|info.Mode()&fs.ModeSetgid)
}

// unpack writes the archive's files below dir, and nowhere else: everything
// goes through an os.Root.
func unpack(dir string, archive io.Reader) error {
	if err := os.Chmod(dir, 0o755); err != nil {
		return err
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer root.Close()
	compressed, err := gzip.NewReader(archive)
	if err != nil {
		return fmt.Errorf("%w: %w", agent.ErrBadPackage, err)
	}
	entries := tar.NewReader(compressed)
	left := int64(maxPackageBytes)
	for count := 0; ; count++ {
		header, err := entries.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("%w: %w", agent.ErrBadPackage, err)
		}
		left -= header.Size
		if left < 0 || count >= maxPackageEntries {
			return fmt.Errorf("%w: it holds more than %d bytes or %d entries", agent.ErrBadPackage, maxPackageBytes, maxPackageEntries)
		}
		if err := unpackEntry(root, header, entries); err != nil {
			return fmt.Errorf("%w: entry %q: %w", agent.ErrBadPackage, header.Name, err)
		}
	}
}

func unpackEntry(root *os.Root, header *tar.Header, content io.Reader) error {
	name := strings.TrimSuffix(header.Name, "/")
	if name == packageRoot {
		return unpackRoot(root, header)
	}
	name, inside := strings.CutPrefix(name, packageRoot+"/")
	if !inside {
		return fmt.Errorf("it is not below %s/", packageRoot)
	}
	if err := itzo.CheckPackagePath(name); err != nil {
		return err
	}
	if strings.HasPrefix(name, "..") {
		return errors.New("a name that begins with two dots is reserved")
	}
	if err := root.MkdirAll(path.Dir(name), 0o755); err != nil {
		return err
	}
	switch header.Typeflag {
	case tar.TypeDir:
		return unpackDir(root, name, header)
	case tar.TypeReg:
		return unpackFile(root, name, header, content)
	default:
		return errors.New("only regular files and directories are taken")
	}
}

// unpackRoot takes from the entry for the package itself whose it is, and whether
// what is made in it belongs to the same group.
func unpackRoot(root *os.Root, header *tar.Header) error {
	if err := chown(root, ".", header); err != nil || header.Mode&itzo.SetGID == 0 {
		return err
	}
	return root.Chmod(".", 0o755|fs.ModeSetgid)
}

func unpackDir(root *os.Root, name string, header *tar.Header) error {
	if err := root.Mkdir(name, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	if err := root.Chmod(name, permissions(header)); err != nil {
		return err
	}
	return chown(root, name, header)
}

func unpackFile(root *os.Root, name string, header *tar.Header, content io.Reader) error {
	file, err := root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	defer file.Close()
	if _, err := io.Copy(file, content); err != nil {
		return err
	}
	if err := file.Chmod(permissions(header)); err != nil {
		return err
	}
	return chown(root, name, header)
}

func permissions(header *tar.Header) fs.FileMode {
	return fs.FileMode(header.Mode) & fs.ModePerm
}

func chown(root *os.Root, name string, header *tar.Header) error {
	if header.Uid == os.Geteuid() && header.Gid == os.Getegid() {
		return nil
	}
	return root.Chown(name, header.Uid, header.Gid)
}

// publish makes a data directory the one that is seen.
func publish(dir, data string) error {
	before, _ := os.Readlink(filepath.Join(dir, dataLink))
	link := filepath.Join(dir, dataLinkNew)
	if err := os.Remove(link); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := os.Symlink(data, link); err != nil {
		return err
	}
	if err := os.Rename(link, filepath.Join(dir, dataLink)); err != nil {
		return err
	}
	if err := linkEntries(dir, data); err != nil {
		return err
	}
	if before != "" && before != data {
		return os.RemoveAll(filepath.Join(dir, before))
	}
	return nil
}

// linkEntries makes the links through which the files are seen, and removes
// those whose files are gone.
func linkEntries(dir, data string) error {
	entries, err := os.ReadDir(filepath.Join(dir, data))
	if err != nil {
		return err
	}
	wanted := map[string]bool{}
	for _, entry := range entries {
		wanted[entry.Name()] = true
		err := os.Symlink(filepath.Join(dataLink, entry.Name()), filepath.Join(dir, entry.Name()))
		if err != nil && !errors.Is(err, fs.ErrExist) {
			return err
		}
	}
	present, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, entry := range present {
		if !strings.HasPrefix(entry.Name(), "..") && !wanted[entry.Name()] {
			if err := os.Remove(filepath.Join(dir, entry.Name())); err != nil {
				return err
			}
		}
	}
	return nil
}
