package host

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"kip.elotl.co/internal/itzo"
)

// How many symbolic links one path may lead through, as in Linux, and how deep
// into a volume.
const (
	maxLinks   = 40
	maxSubPath = 256
)

// bindSubPath binds a path below dir, made if missing, to target. Containers
// write to dir: links in it are followed as long as they stay below it, and what
// was opened is what is bound, whatever happens to the path meanwhile.
func bindSubPath(dir, subPath, target string) error {
	if err := itzo.CheckPackagePath(subPath); err != nil {
		return err
	}
	fd, err := openBelow(dir, subPath)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	if err := unbind(target); err != nil {
		return err
	}
	var stat unix.Stat_t
	if err := unix.Fstat(fd, &stat); err != nil {
		return err
	}
	if err := makeTarget(target, stat.Mode&unix.S_IFMT == unix.S_IFDIR); err != nil {
		return err
	}
	return unix.Mount(fmt.Sprintf("/proc/self/fd/%d", fd), target, "", unix.MS_BIND, "")
}

// errLeaves is why a path is refused.
var errLeaves = errors.New("it leads out of the volume")

// descent is a walk down from a directory, one name at a time and by
// descriptors. No link is ever left to the kernel to follow, so that none can
// lead out of the directory, also while containers change what is in it.
type descent struct {
	// fds are the directories from the top to where the walk is.
	fds   []int
	links int
}

func (d *descent) close() {
	for _, fd := range d.fds {
		unix.Close(fd)
	}
}

func (d *descent) at() int { return d.fds[len(d.fds)-1] }

// openBelow opens a path below dir, with what is missing made as directories.
func openBelow(dir, subPath string) (int, error) {
	top, err := unix.Open(dir, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return -1, err
	}
	d := &descent{fds: []int{top}}
	defer d.close()
	left := strings.Split(subPath, "/")
	for len(left) > 0 {
		name := left[0]
		into, err := d.step(name)
		if err != nil {
			return -1, fmt.Errorf("opening %s: %w", name, err)
		}
		left = append(into, left[1:]...)
	}
	return unix.FcntlInt(uintptr(d.at()), unix.F_DUPFD_CLOEXEC, 0)
}

// step goes into a name. Of a link it answers the names to go instead.
func (d *descent) step(name string) (instead []string, err error) {
	switch name {
	case "", ".":
		return nil, nil
	case "..":
		if len(d.fds) == 1 {
			return nil, errLeaves
		}
		unix.Close(d.at())
		d.fds = d.fds[:len(d.fds)-1]
		return nil, nil
	}
	if len(d.fds) > maxSubPath {
		return nil, unix.ENAMETOOLONG
	}
	fd, err := openOrMake(d.at(), name)
	if err != nil {
		return nil, err
	}
	var stat unix.Stat_t
	if err := unix.Fstat(fd, &stat); err != nil {
		unix.Close(fd)
		return nil, err
	}
	if stat.Mode&unix.S_IFMT != unix.S_IFLNK {
		d.fds = append(d.fds, fd)
		return nil, nil
	}
	defer unix.Close(fd)
	if d.links++; d.links > maxLinks {
		return nil, unix.ELOOP
	}
	return linkNames(fd)
}

// linkNames are the names that a link consists of. An absolute one is the
// cell's, and leaves the volume.
func linkNames(fd int) ([]string, error) {
	target := make([]byte, unix.PathMax)
	size, err := unix.Readlinkat(fd, "", target)
	if err != nil {
		return nil, err
	}
	if target[0] == '/' {
		return nil, errLeaves
	}
	return strings.Split(string(target[:size]), "/"), nil
}

// openOrMake opens whatever has a name, a link itself, or makes a directory.
func openOrMake(parent int, name string) (int, error) {
	err := unix.Mkdirat(parent, name, 0o755)
	if err != nil && !errors.Is(err, unix.EEXIST) {
		return -1, err
	}
	made := err == nil
	fd, err := unix.Openat(parent, name, unix.O_PATH|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil || !made {
		return fd, err
	}
	if err := openToAll(fd); err != nil {
		unix.Close(fd)
		return -1, err
	}
	return fd, nil
}

// openToAll lets all users write to a directory that was just made. It goes by
// the descriptor: the name may be another's now.
func openToAll(fd int) error {
	var stat unix.Stat_t
	if err := unix.Fstat(fd, &stat); err != nil {
		return err
	}
	if stat.Mode&unix.S_IFMT != unix.S_IFDIR {
		return nil
	}
	return unix.Chmod(fmt.Sprintf("/proc/self/fd/%d", fd), volumeMode|stat.Mode&unix.S_ISGID)
}

func makeTarget(target string, isDir bool) error {
	// Never more than the target itself: if something is still mounted there,
	// what is below it is the volume's.
	if err := os.Remove(target); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(target), 0o755); err != nil {
		return err
	}
	if isDir {
		return os.Mkdir(target, 0o755)
	}
	return os.WriteFile(target, nil, 0o644)
}

// unbind takes the last run's mount away; running containers keep theirs.
func unbind(target string) error {
	err := unix.Unmount(target, unix.MNT_DETACH|unix.UMOUNT_NOFOLLOW)
	if errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENOENT) {
		return nil
	}
	return err
}
