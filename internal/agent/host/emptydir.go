package host

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
	corev1 "k8s.io/api/core/v1"

	"kip.elotl.co/internal/itzo"
)

// volumeMode lets containers of all users write, as a kubelet has it.
const volumeMode = 0o777

// fsGroup is the group that the pod's volumes are to belong to; nil: none.
func fsGroup(pod *corev1.Pod) *int64 {
	if pod.Spec.SecurityContext == nil {
		return nil
	}
	return pod.Spec.SecurityContext.FSGroup
}

// makeEmptyDir makes the directory, and mounts memory on it where that is
// wanted, memory bytes of it. After a reboot that memory is gone, and it is mounted anew. What is
// made in the directory of a group belongs to that group, too.
func makeEmptyDir(dir string, medium corev1.StorageMedium, group *int64, memory int64) error {
	if err := os.Mkdir(dir, volumeMode); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	if medium == corev1.StorageMediumMemory {
		if err := mountMemory(dir, memory); err != nil {
			return err
		}
	}
	if group == nil {
		return os.Chmod(dir, volumeMode)
	}
	if err := os.Chown(dir, -1, int(*group)); err != nil {
		return err
	}
	return os.Chmod(dir, volumeMode|fs.ModeSetgid)
}

func mountMemory(dir string, size int64) error {
	mounted, err := isMountPoint(dir)
	if err != nil || mounted {
		return err
	}
	if err := unix.Mount("tmpfs", dir, "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, fmt.Sprintf("mode=0777,size=%d", size)); err != nil {
		return fmt.Errorf("mounting memory: %w", err)
	}
	return nil
}

func isMountPoint(dir string) (bool, error) {
	var own, parent unix.Stat_t
	if err := unix.Lstat(dir, &own); err != nil {
		return false, err
	}
	if err := unix.Lstat(filepath.Dir(dir), &parent); err != nil {
		return false, err
	}
	return own.Dev != parent.Dev, nil
}

// bindSubPath binds a path below dir, made if missing, to target. Containers
// write to dir, so that symbolic links in it are not followed: what is opened
// without them is what is bound, whatever happens to the path meanwhile.
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

// openBelow walks down one name at a time, making what is missing as
// directories.
func openBelow(dir, subPath string) (int, error) {
	fd, err := unix.Open(dir, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return -1, err
	}
	for name := range strings.SplitSeq(subPath, "/") {
		next, err := openOrMake(fd, name)
		unix.Close(fd)
		if err != nil {
			return -1, fmt.Errorf("opening %s: %w", name, err)
		}
		fd = next
	}
	return fd, nil
}

func openOrMake(parent int, name string) (int, error) {
	err := unix.Mkdirat(parent, name, 0o755)
	if err != nil && !errors.Is(err, unix.EEXIST) {
		return -1, err
	}
	made := err == nil
	fd, err := unix.Openat(parent, name, unix.O_PATH|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return -1, err
	}
	if err := checkOpened(fd, made); err != nil {
		unix.Close(fd)
		return -1, err
	}
	return fd, nil
}

// checkOpened refuses links and devices, and opens a directory that was just
// made to all users. It goes by the descriptor: the name may be another's now.
func checkOpened(fd int, made bool) error {
	var stat unix.Stat_t
	if err := unix.Fstat(fd, &stat); err != nil {
		return err
	}
	switch kind := stat.Mode & unix.S_IFMT; {
	case kind == unix.S_IFREG:
		return nil
	case kind != unix.S_IFDIR:
		return errors.New("it is neither a directory nor a regular file")
	case made:
		return unix.Chmod(fmt.Sprintf("/proc/self/fd/%d", fd), volumeMode|stat.Mode&unix.S_ISGID)
	}
	return nil
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
