package host_test

import (
	"os"
	"syscall"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
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
