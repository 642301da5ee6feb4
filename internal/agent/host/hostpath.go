package host

import (
	"errors"
	"fmt"
	"io/fs"
	"os"

	corev1 "k8s.io/api/core/v1"
)

// provideHostPath makes a path of the cell if it may be made, and checks that it
// is of the kind that the pod wants, as the kubelet does. Without a kind nothing
// is checked: the runtime makes a directory of what is not there.
func provideHostPath(source *corev1.HostPathVolumeSource) error {
	if source.Type == nil || *source.Type == corev1.HostPathUnset {
		return nil
	}
	kind := *source.Type
	if err := makeHostPath(kind, source.Path); err != nil {
		return err
	}
	info, err := os.Stat(source.Path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("hostPath: %w", err)
	}
	if err != nil || !isKind(info.Mode(), kind) {
		return fmt.Errorf("hostPath type check failed: %s is not a %s", source.Path, kindName(kind))
	}
	return nil
}

func makeHostPath(kind corev1.HostPathType, path string) error {
	if kind != corev1.HostPathDirectoryOrCreate && kind != corev1.HostPathFileOrCreate {
		return nil
	}
	// What stands there already is checked afterwards, and is not opened: it
	// might be anything.
	if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if kind == corev1.HostPathDirectoryOrCreate {
		return os.MkdirAll(path, 0o755)
	}
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return err
	}
	return file.Close()
}

func isKind(mode fs.FileMode, kind corev1.HostPathType) bool {
	switch kind {
	case corev1.HostPathDirectory, corev1.HostPathDirectoryOrCreate:
		return mode.IsDir()
	case corev1.HostPathFile, corev1.HostPathFileOrCreate:
		return mode.IsRegular()
	case corev1.HostPathSocket:
		return mode&fs.ModeSocket != 0
	case corev1.HostPathCharDev:
		return mode&fs.ModeCharDevice != 0
	case corev1.HostPathBlockDev:
		return mode&fs.ModeDevice != 0 && mode&fs.ModeCharDevice == 0
	}
	return false
}

func kindName(kind corev1.HostPathType) string {
	switch kind {
	case corev1.HostPathDirectory, corev1.HostPathDirectoryOrCreate:
		return "directory"
	case corev1.HostPathFile, corev1.HostPathFileOrCreate:
		return "file"
	case corev1.HostPathSocket:
		return "socket file"
	case corev1.HostPathCharDev:
		return "character device"
	}
	return "block device"
}
