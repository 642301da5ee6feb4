package host_test

import (
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"

	"kip.elotl.co/internal/agent"
	"kip.elotl.co/internal/agent/host"
	"kip.elotl.co/internal/itzo"
)

func filesFor(container corev1.Container, volumes ...corev1.Volume) agent.ContainerFiles {
	container.Name = "main"
	return agent.ContainerFiles{
		ID:  agent.ContainerID{Namespace: "default", Pod: "web", UID: "uid", Container: "main"},
		Pod: &corev1.Pod{Spec: corev1.PodSpec{Volumes: volumes}}, Container: &container, Hosts: "hosts file",
	}
}

func mounted(mounts []agent.Mount, path string) *agent.Mount {
	for i := range mounts {
		if mounts[i].ContainerPath == path {
			return &mounts[i]
		}
	}
	return nil
}

func emptyDir(name string, source corev1.EmptyDirVolumeSource) corev1.Volume {
	return corev1.Volume{Name: name, VolumeSource: corev1.VolumeSource{EmptyDir: &source}}
}

func TestStateSurvives(t *testing.T) {
	h, dir := newHost(t)
	if state, err := h.Load(); err != nil || state != nil {
		t.Errorf("%s, %v", state, err)
	}
	for _, want := range []string{"first", "second"} {
		if err := h.Save([]byte(want)); err != nil {
			t.Fatal(err)
		}
		again, err := host.New(dir)
		if err != nil {
			t.Fatal(err)
		}
		if state, err := again.Load(); err != nil || string(state) != want {
			t.Errorf("%s, %v", state, err)
		}
	}
	if info, err := os.Stat(filepath.Join(dir, "state.json")); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info, err)
	}
}

func TestMountsOfAContainer(t *testing.T) {
	h, _ := newHost(t)
	deploy(t, h, itzo.PackageFile{Path: "key", Mode: 0o644, Data: []byte("value")})
	config := corev1.Volume{Name: "config", VolumeSource: corev1.VolumeSource{Secret: &corev1.SecretVolumeSource{}}}
	files := filesFor(corev1.Container{TerminationMessagePath: "/dev/termination-log", VolumeMounts: []corev1.VolumeMount{
		{Name: "config", MountPath: "/config"}, {Name: "config", MountPath: "/key", SubPath: "key"},
		{Name: "data", MountPath: "/data"}, {Name: "data", MountPath: "/ro", ReadOnly: true},
	}}, config, emptyDir("data", corev1.EmptyDirVolumeSource{}))
	mounts, err := h.Mounts(files)
	if err != nil {
		t.Fatal(err)
	}
	for path, readOnly := range map[string]bool{"/config": true, "/key": true, "/data": false, "/ro": true, "/etc/hosts": false, "/dev/termination-log": false} {
		if mount := mounted(mounts, path); mount == nil || mount.ReadOnly != readOnly {
			t.Errorf("%s: %+v", path, mount)
		}
	}
	if content, err := os.ReadFile(mounted(mounts, "/key").HostPath); err != nil || string(content) != "value" {
		t.Errorf("%s, %v", content, err)
	}
	if content, err := os.ReadFile(mounted(mounts, "/etc/hosts").HostPath); err != nil || string(content) != "hosts file" {
		t.Errorf("%s, %v", content, err)
	}
	if info, err := os.Stat(mounted(mounts, "/data").HostPath); err != nil || info.Mode().Perm() != 0o777 {
		t.Errorf("%v, %v", info, err)
	}
	if mounted(mounts, "/data").HostPath != mounted(mounts, "/ro").HostPath {
		t.Error("one volume has two directories")
	}
}

func TestOwnHostsFile(t *testing.T) {
	h, _ := newHost(t)
	mounts, err := h.Mounts(filesFor(corev1.Container{VolumeMounts: []corev1.VolumeMount{{Name: "data", MountPath: "/etc/hosts"}}},
		emptyDir("data", corev1.EmptyDirVolumeSource{})))
	if err != nil || len(mounts) != 1 {
		t.Errorf("%+v, %v", mounts, err)
	}
}

func TestMountsFail(t *testing.T) {
	h, _ := newHost(t)
	for name, files := range map[string]agent.ContainerFiles{
		"no volume":  filesFor(corev1.Container{VolumeMounts: []corev1.VolumeMount{{Name: "x", MountPath: "/x"}}}),
		"no package": filesFor(corev1.Container{VolumeMounts: []corev1.VolumeMount{{Name: "x", MountPath: "/x"}}}, corev1.Volume{Name: "x"}),
		"bad name": filesFor(corev1.Container{VolumeMounts: []corev1.VolumeMount{{Name: "../x", MountPath: "/x"}}},
			emptyDir("../x", corev1.EmptyDirVolumeSource{})),
	} {
		if mounts, err := h.Mounts(files); err == nil {
			t.Errorf("%s: %+v", name, mounts)
		}
	}
}

func TestTerminationMessage(t *testing.T) {
	h, dir := newHost(t)
	files := filesFor(corev1.Container{TerminationMessagePath: "/t"})
	if message, err := h.TerminationMessage(files.ID, 10); err != nil || message != "" {
		t.Errorf("%q, %v", message, err)
	}
	var path string
	for files.ID.Attempt = range uint32(4) {
		mounts, err := h.Mounts(files)
		if err != nil {
			t.Fatal(err)
		}
		path = mounted(mounts, "/t").HostPath
	}
	if err := os.WriteFile(path, []byte(strings.Repeat("x", 100)+"the end..."), 0o666); err != nil {
		t.Fatal(err)
	}
	files.ID.Attempt = 3
	if message, err := h.TerminationMessage(files.ID, 10); err != nil || message != "the end..." {
		t.Errorf("%q, %v", message, err)
	}
	// The last two runs are kept.
	if entries, err := os.ReadDir(filepath.Join(dir, "containers", "main")); err != nil || len(entries) != 2 {
		t.Errorf("%v, %v", entries, err)
	}
}

func TestOpenFile(t *testing.T) {
	h, dir := newHost(t)
	path := filepath.Join(dir, "file")
	if err := os.WriteFile(path, []byte("content"), 0o600); err != nil {
		t.Fatal(err)
	}
	file, err := h.OpenFile(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if content, err := io.ReadAll(file); err != nil || string(content) != "content" {
		t.Errorf("%s, %v", content, err)
	}
	fifo := filepath.Join(dir, "fifo")
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, bad := range []string{fifo, dir, filepath.Join(dir, "none")} {
		if file, err := h.OpenFile(bad); err == nil {
			file.Close()
			t.Errorf("%s was opened", bad)
		}
	}
}

func TestResources(t *testing.T) {
	h, _ := newHost(t)
	if got := h.Resources(); got.MemoryBytes < 1<<20 || got.CPUs < 1 || len(got.BootID) != 36 {
		t.Errorf("got %+v", got)
	}
}

// asRoot detaches what a test mounts.
func asRoot(t *testing.T) (*host.Host, string) {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("needs root to mount")
	}
	h, dir := newHost(t)
	t.Cleanup(func() {
		mounts, err := os.ReadFile("/proc/self/mounts")
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(mounts)) {
			if path := strings.Fields(line)[1]; strings.HasPrefix(path, dir+"/") {
				if err := unix.Unmount(path, unix.MNT_DETACH); err != nil {
					t.Error(err)
				}
			}
		}
	})
	return h, dir
}

func TestMemoryVolume(t *testing.T) {
	h, _ := asRoot(t)
	files := filesFor(corev1.Container{VolumeMounts: []corev1.VolumeMount{{Name: "shm", MountPath: "/dev/shm"}}},
		emptyDir("shm", corev1.EmptyDirVolumeSource{Medium: corev1.StorageMediumMemory, SizeLimit: resource.NewQuantity(1<<20, resource.BinarySI)}))
	for range 2 {
		mounts, err := h.Mounts(files)
		if err != nil {
			t.Fatal(err)
		}
		path := mounted(mounts, "/dev/shm").HostPath
		var stat unix.Statfs_t
		if err := unix.Statfs(path, &stat); err != nil || stat.Type != unix.TMPFS_MAGIC || stat.Blocks*uint64(stat.Bsize) != 1<<20 {
			t.Errorf("%+v, %v", stat, err)
		}
		// A second run finds what the first wrote.
		if err := os.WriteFile(filepath.Join(path, "file"), nil, 0o600); err != nil {
			t.Error(err)
		}
	}
}
