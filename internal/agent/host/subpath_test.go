package host_test

import (
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
	corev1 "k8s.io/api/core/v1"
)

func TestSubPathOfAVolume(t *testing.T) {
	h, dir := asRoot(t)
	files := filesFor(corev1.Container{VolumeMounts: []corev1.VolumeMount{{Name: "data", MountPath: "/x", SubPath: "a/b"}}},
		emptyDir("data", corev1.EmptyDirVolumeSource{}))
	volume := filepath.Join(dir, "volumes", "data")
	for _, name := range []string{"first", "second"} {
		mounts, err := h.Mounts(files)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(mounted(mounts, "/x").HostPath, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := os.Stat(filepath.Join(volume, "a/b", name)); err != nil {
			t.Error(err)
		}
	}
	// A container may have put a link where the path was.
	if err := os.RemoveAll(filepath.Join(volume, "a/b")); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("/etc", filepath.Join(volume, "a/b")); err != nil {
		t.Fatal(err)
	}
	if mounts, err := h.Mounts(files); err == nil {
		t.Errorf("a link out of the volume was followed: %+v", mounts)
	}
	if err := os.Remove(filepath.Join(volume, "a/b")); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(volume, "a/b"), []byte("a file"), 0o600); err != nil {
		t.Fatal(err)
	}
	mounts, err := h.Mounts(files)
	if err != nil {
		t.Fatal(err)
	}
	if content, err := os.ReadFile(mounted(mounts, "/x").HostPath); err != nil || string(content) != "a file" {
		t.Errorf("%s, %v", content, err)
	}
}

// Links in a volume are followed as far as they stay in it.
func TestSubPathThroughLinks(t *testing.T) {
	tests := map[string]struct {
		links map[string]string
		path  string
		want  string // below the volume; empty: it is refused
	}{
		"to a directory":           {map[string]string{"current": "releases/5"}, "current", "releases/5"},
		"below a link":             {map[string]string{"current": "releases/5"}, "current/logs", "releases/5/logs"},
		"up and down":              {map[string]string{"releases/latest": "../releases/./5/"}, "releases/latest", "releases/5"},
		"through two":              {map[string]string{"a": "b", "b": "releases/5"}, "a", "releases/5"},
		"to the volume":            {map[string]string{"releases/up": ".."}, "releases/up", "."},
		"to nothing yet":           {map[string]string{"new": "releases/6"}, "new", "releases/6"},
		"absolute":                 {map[string]string{"a": "/etc"}, "a", ""},
		"above":                    {map[string]string{"a": "../.."}, "a", ""},
		"above and back":           {map[string]string{"a": "../data/releases"}, "a", ""},
		"above, below a directory": {map[string]string{"releases/a": "../../x"}, "releases/a/b", ""},
		"around":                   {map[string]string{"a": "b", "b": "a"}, "a", ""},
		"to itself, growing":       {map[string]string{"a": "a/x/y"}, "a", ""},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			h, dir := asRoot(t)
			volume := filepath.Join(dir, "volumes", "data")
			if err := os.MkdirAll(filepath.Join(volume, "releases/5"), 0o755); err != nil {
				t.Fatal(err)
			}
			for link, target := range test.links {
				if err := os.Symlink(target, filepath.Join(volume, link)); err != nil {
					t.Fatal(err)
				}
			}
			mounts, err := h.Mounts(filesFor(corev1.Container{VolumeMounts: []corev1.VolumeMount{{Name: "data", MountPath: "/x", SubPath: test.path}}},
				emptyDir("data", corev1.EmptyDirVolumeSource{})))
			if test.want == "" {
				if err == nil {
					t.Errorf("it was mounted: %+v", mounts)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(mounted(mounts, "/x").HostPath, "file"), nil, 0o600); err != nil {
				t.Fatal(err)
			}
			if _, err := os.Lstat(filepath.Join(volume, test.want, "file")); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestSubPathOfAFifo(t *testing.T) {
	h, dir := asRoot(t)
	volume := filepath.Join(dir, "volumes", "data")
	if err := os.MkdirAll(volume, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mkfifo(filepath.Join(volume, "pipe"), 0o666); err != nil {
		t.Fatal(err)
	}
	mounts, err := h.Mounts(filesFor(corev1.Container{VolumeMounts: []corev1.VolumeMount{{Name: "data", MountPath: "/x", SubPath: "pipe"}}},
		emptyDir("data", corev1.EmptyDirVolumeSource{})))
	if err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(mounted(mounts, "/x").HostPath); err != nil || info.Mode()&os.ModeNamedPipe == 0 {
		t.Errorf("%v, %v", info, err)
	}
}
