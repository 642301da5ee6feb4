package host_test

import (
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
)

func hostPath(path string, kind *corev1.HostPathType) corev1.Volume {
	return corev1.Volume{Name: "host", VolumeSource: corev1.VolumeSource{HostPath: &corev1.HostPathVolumeSource{Path: path, Type: kind}}}
}

func TestHostPath(t *testing.T) {
	cell := t.TempDir()
	if err := os.Mkdir(filepath.Join(cell, "dir"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(cell, "file"), []byte("content"), 0o600); err != nil {
		t.Fatal(err)
	}
	socket, err := net.Listen("unix", filepath.Join(cell, "socket"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { socket.Close() })
	const failed = `MountVolume.SetUp failed for volume "host" : `
	const fails = failed + "hostPath type check failed: "
	tests := []struct {
		path string
		kind corev1.HostPathType
		fail string // empty: it is mounted
		made bool
	}{
		{path: "absent"}, {path: "dir"}, {path: "dir", kind: "Directory"}, {path: "file", kind: "File"}, {path: "socket", kind: "Socket"},
		{path: "/dev/null", kind: "CharDevice"},
		{path: "dir", kind: "DirectoryOrCreate"}, {path: "new/deep", kind: "DirectoryOrCreate", made: true},
		{path: "file", kind: "FileOrCreate"}, {path: "newfile", kind: "FileOrCreate", made: true},
		{path: "absent", kind: "Directory", fail: fails}, {path: "file", kind: "Directory", fail: fails}, {path: "dir", kind: "File", fail: fails},
		{path: "dir", kind: "FileOrCreate", fail: fails}, {path: "file", kind: "DirectoryOrCreate", fail: fails},
		{path: "file", kind: "Socket", fail: fails}, {path: "/dev/null", kind: "BlockDevice", fail: fails}, {path: "file", kind: "CharDevice", fail: fails},
		{path: "none/file", kind: "FileOrCreate", fail: failed + "open "}, {path: "dir", kind: "Pipe", fail: fails},
	}
	for _, test := range tests {
		t.Run(test.path+" as "+string(test.kind), func(t *testing.T) {
			h, _ := newHost(t)
			path := test.path
			if !filepath.IsAbs(path) {
				path = filepath.Join(cell, path)
			}
			mounts, err := h.Mounts(filesFor(corev1.Container{VolumeMounts: []corev1.VolumeMount{{Name: "host", MountPath: "/host"}}}, hostPath(path, &test.kind)))
			if test.fail != "" {
				if err == nil || !strings.Contains(err.Error(), test.fail) {
					t.Errorf("%+v, %v", mounts, err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if mount := mounted(mounts, "/host"); mount == nil || mount.HostPath != path || mount.ReadOnly {
				t.Errorf("%+v", mount)
			}
			if _, err := os.Stat(path); test.made && err != nil {
				t.Error(err)
			}
		})
	}
	if content, err := os.ReadFile(filepath.Join(cell, "file")); err != nil || string(content) != "content" {
		t.Errorf("the file was changed: %q, %v", content, err)
	}
	if _, err := os.Stat(filepath.Join(cell, "absent")); err == nil {
		t.Error("what no kind says to make was made")
	}
}

func TestHostPathReadOnlyAndPropagated(t *testing.T) {
	h, _ := newHost(t)
	both := corev1.MountPropagationBidirectional
	mounts, err := h.Mounts(filesFor(corev1.Container{VolumeMounts: []corev1.VolumeMount{{Name: "host", MountPath: "/host", ReadOnly: true, MountPropagation: &both}}}, hostPath("/", nil)))
	if err != nil {
		t.Fatal(err)
	}
	if mount := mounted(mounts, "/host"); mount == nil || !mount.ReadOnly || mount.Propagation != both {
		t.Errorf("%+v", mount)
	}
}

func TestSubPathOfAHostPath(t *testing.T) {
	h, _ := asRoot(t)
	cell := t.TempDir()
	mounts, err := h.Mounts(filesFor(corev1.Container{VolumeMounts: []corev1.VolumeMount{{Name: "host", MountPath: "/host", SubPath: "logs/web"}}}, hostPath(cell, nil)))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(mounted(mounts, "/host").HostPath, "log"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(cell, "logs/web/log")); err != nil {
		t.Error(err)
	}
}
