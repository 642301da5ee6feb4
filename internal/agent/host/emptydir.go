package host

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
	corev1 "k8s.io/api/core/v1"
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
