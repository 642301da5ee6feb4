package host_test

import (
	"bytes"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"

	"kip.elotl.co/internal/itzo"
)

// What containers write to a volume of a group belongs to the group.
func TestVolumesOfAGroup(t *testing.T) {
	h, _ := asRoot(t)
	group := int64(4321)
	files := filesFor(corev1.Container{VolumeMounts: []corev1.VolumeMount{
		{Name: "disk", MountPath: "/disk"}, {Name: "memory", MountPath: "/memory"}, {Name: "disk", MountPath: "/sub", SubPath: "a/b"},
	}}, emptyDir("disk", corev1.EmptyDirVolumeSource{}), emptyDir("memory", corev1.EmptyDirVolumeSource{
		Medium: corev1.StorageMediumMemory, SizeLimit: resource.NewQuantity(1<<20, resource.BinarySI)}))
	files.Pod.Spec.SecurityContext = &corev1.PodSecurityContext{FSGroup: &group}
	for range 2 {
		mounts, err := h.Mounts(files)
		if err != nil {
			t.Fatal(err)
		}
		for _, path := range []string{"/disk", "/memory", "/sub"} {
			info, err := os.Stat(mounted(mounts, path).HostPath)
			if err != nil {
				t.Fatal(err)
			}
			if owner := info.Sys().(*syscall.Stat_t); owner.Gid != 4321 || info.Mode() != os.ModeDir|os.ModeSetgid|0o777 {
				t.Errorf("%s: group %d, mode %s", path, owner.Gid, info.Mode())
			}
		}
	}
}

// What is delivered belongs to the group with all directories and links, also
// after a change.
func TestPackagesOfAGroup(t *testing.T) {
	h, dir := asRoot(t)
	pkg := filepath.Join(dir, "packages", "config")
	const directory, link = os.ModeDir | os.ModeSetgid, os.ModeSymlink | 0o777
	for _, content := range []string{"1", "2"} {
		var archive bytes.Buffer
		err := itzo.WritePackage(&archive, []itzo.PackageFile{{Dir: true, Mode: itzo.SetGID | 0o755, GID: 4321},
			{Path: "a", Mode: 0o440, GID: 4321, Data: []byte(content)}, {Path: "d/e/b", Mode: 0o640, UID: 7, GID: 4321}})
		if err == nil {
			err = h.Deploy("config", &archive)
		}
		if err != nil {
			t.Fatal(err)
		}
		data, err := os.Readlink(filepath.Join(pkg, "..data"))
		if err != nil {
			t.Fatal(err)
		}
		for path, want := range map[string]os.FileMode{".": directory | 0o777, "..data": link, "a": link, "d": link,
			data: directory | 0o755, data + "/d": directory | 0o755, data + "/d/e": directory | 0o755, data + "/a": 0o440, data + "/d/e/b": 0o640} {
			info, err := os.Lstat(filepath.Join(pkg, path))
			if err != nil {
				t.Fatal(err)
			}
			if owner := info.Sys().(*syscall.Stat_t); owner.Gid != 4321 || info.Mode() != want {
				t.Errorf("%s: group %d, mode %s, want %s", path, owner.Gid, info.Mode(), want)
			}
		}
	}
}
