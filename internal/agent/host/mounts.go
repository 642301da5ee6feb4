package host

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"

	corev1 "k8s.io/api/core/v1"

	"kip.elotl.co/internal/agent"
	"kip.elotl.co/internal/agent/limits"
	"kip.elotl.co/internal/itzo"
	"kip.elotl.co/internal/podfields"
)

const (
	hostsName       = "hosts"
	terminationName = "termination-log"
	etcHosts        = "/etc/hosts"
)

// Mounts implements agent.Host.
func (h *Host) Mounts(files agent.ContainerFiles) ([]agent.Mount, error) {
	var mounts []agent.Mount
	hostsTaken := false
	for i, mount := range files.Container.VolumeMounts {
		source, readOnly, err := h.volumeSource(files, i)
		if failed := (*podfields.MountError)(nil); errors.As(err, &failed) {
			return nil, failed
		}
		if err != nil {
			return nil, fmt.Errorf("volume %s: %w", mount.Name, err)
		}
		mounts = append(mounts, agent.Mount{
			HostPath: source, ContainerPath: mount.MountPath, ReadOnly: readOnly || mount.ReadOnly, Propagation: propagation(&mount),
		})
		hostsTaken = hostsTaken || filepath.Clean(mount.MountPath) == etcHosts
	}
	dir, err := h.containerDir(files.ID)
	if err != nil {
		return nil, err
	}
	if !hostsTaken {
		// One per run: a container may write to it, and a restart begins anew.
		path := filepath.Join(dir, hostsName)
		if err := writeWithMode(path, []byte(files.Hosts), 0o644); err != nil {
			return nil, fmt.Errorf("writing hosts file: %w", err)
		}
		mounts = append(mounts, agent.Mount{HostPath: path, ContainerPath: etcHosts})
	}
	if target := files.Container.TerminationMessagePath; target != "" {
		path := filepath.Join(dir, terminationName)
		if err := writeWithMode(path, nil, 0o666); err != nil {
			return nil, fmt.Errorf("making termination message file: %w", err)
		}
		mounts = append(mounts, agent.Mount{HostPath: path, ContainerPath: target})
	}
	return mounts, nil
}

func propagation(mount *corev1.VolumeMount) corev1.MountPropagationMode {
	if mount.MountPropagation == nil {
		return corev1.MountPropagationNone
	}
	return *mount.MountPropagation
}

// writeWithMode writes a file whose mode the umask does not narrow.
func writeWithMode(path string, content []byte, mode fs.FileMode) error {
	if err := os.WriteFile(path, content, mode); err != nil {
		return err
	}
	return os.Chmod(path, mode)
}

// containerDir makes the directory of one run and removes those of runs that
// nobody asks about any more.
func (h *Host) containerDir(id agent.ContainerID) (string, error) {
	dir := h.runDir(id)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", fmt.Errorf("making container directory: %w", err)
	}
	if id.Attempt >= 2 {
		old := id
		old.Attempt -= 2
		if err := os.RemoveAll(h.runDir(old)); err != nil {
			return "", fmt.Errorf("removing old container directory: %w", err)
		}
	}
	return dir, nil
}

func (h *Host) runDir(id agent.ContainerID) string {
	return filepath.Join(h.dir, containersDir, id.Container, strconv.FormatUint(uint64(id.Attempt), 10))
}

// TerminationMessage implements agent.Host.
func (h *Host) TerminationMessage(id agent.ContainerID, limit int64) (string, error) {
	file, err := os.Open(filepath.Join(h.runDir(id), terminationName))
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	defer file.Close()
	end, err := file.Seek(0, io.SeekEnd)
	if err != nil {
		return "", err
	}
	if _, err := file.Seek(max(end-limit, 0), io.SeekStart); err != nil {
		return "", err
	}
	message, err := io.ReadAll(io.LimitReader(file, limit))
	return string(message), err
}

// volumeSource answers the path to mount for a container's mount, and whether
// that may only be read.
func (h *Host) volumeSource(files agent.ContainerFiles, index int) (path string, readOnly bool, err error) {
	mount := files.Container.VolumeMounts[index]
	volume := volumeNamed(files.Pod, mount.Name)
	if volume == nil {
		return "", false, errors.New("the pod has no such volume")
	}
	if err := h.MakeVolume(files.Pod, volume); err != nil {
		return "", false, &podfields.MountError{Volume: volume.Name, Err: err}
	}
	dir := filepath.Join(h.dir, volumesDir, volume.Name)
	switch {
	case volume.EmptyDir != nil:
	case volume.HostPath != nil:
		dir = volume.HostPath.Path
	default:
		path, err := h.packagePath(volume.Name, mount.SubPath)
		return path, true, err
	}
	if mount.SubPath == "" {
		return dir, false, nil
	}
	target := filepath.Join(h.dir, containersDir, files.ID.Container, "subpath-"+strconv.Itoa(index))
	if err := bindSubPath(dir, mount.SubPath, target); err != nil {
		return "", false, fmt.Errorf("subPath %s: %w", mount.SubPath, err)
	}
	return target, false, nil
}

// MakeVolume implements agent.Host.
func (h *Host) MakeVolume(pod *corev1.Pod, volume *corev1.Volume) error {
	switch {
	case itzo.CheckName(volume.Name) != nil:
		return itzo.CheckName(volume.Name)
	case volume.EmptyDir != nil:
		return makeEmptyDir(filepath.Join(h.dir, volumesDir, volume.Name), volume.EmptyDir.Medium, fsGroup(pod),
			limits.MemoryVolume(pod, volume.EmptyDir.SizeLimit, h.resources.MemoryBytes))
	case volume.HostPath != nil:
		return provideHostPath(volume.HostPath)
	case !h.HasPackage(volume.Name):
		return errors.New("its package was not deployed")
	}
	return nil
}

// packagePath resolves a path in a package. Nothing but the agent writes there.
func (h *Host) packagePath(name, subPath string) (string, error) {
	dir := h.packageDir(name)
	if subPath == "" {
		return dir, nil
	}
	if err := itzo.CheckPackagePath(subPath); err != nil {
		return "", err
	}
	path, err := filepath.EvalSymlinks(filepath.Join(dir, subPath))
	if err != nil {
		return "", fmt.Errorf("subPath %s: %w", subPath, err)
	}
	return path, nil
}

func volumeNamed(pod *corev1.Pod, name string) *corev1.Volume {
	for i := range pod.Spec.Volumes {
		if pod.Spec.Volumes[i].Name == name {
			return &pod.Spec.Volumes[i]
		}
	}
	return nil
}
