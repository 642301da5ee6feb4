package podsupport

import (
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

func (c *checker) volumes(spec *corev1.PodSpec, path *field.Path) {
	for i := range spec.Volumes {
		volume := &spec.Volumes[i]
		volume.Name = ""
		path := path.Child("volumes").Index(i)
		c.delivered(volume, path)
		c.emptyDir(take(&volume.EmptyDir), path.Child("emptyDir"))
		c.hostPath(take(&volume.HostPath), path.Child("hostPath"))
		c.leftovers(volume, path)
	}
	spec.Volumes = nil
}

func (c *checker) emptyDir(dir *corev1.EmptyDirVolumeSource, path *field.Path) {
	if dir == nil {
		return
	}
	oneOf(c, path.Child("medium"), take(&dir.Medium), corev1.StorageMediumDefault, corev1.StorageMediumMemory)
	dir.SizeLimit = nil
	c.leftovers(dir, path)
}

func (c *checker) hostPath(path *corev1.HostPathVolumeSource, at *field.Path) {
	if path == nil {
		return
	}
	if kind := take(&path.Type); kind != nil {
		oneOf(c, at.Child("type"), *kind, corev1.HostPathUnset, corev1.HostPathDirectoryOrCreate, corev1.HostPathDirectory,
			corev1.HostPathFileOrCreate, corev1.HostPathFile, corev1.HostPathSocket, corev1.HostPathCharDev, corev1.HostPathBlockDev)
	}
	path.Path = ""
	c.leftovers(path, at)
}

func (c *checker) mounts(mounts []corev1.VolumeMount, path *field.Path) {
	for i := range mounts {
		mount := &mounts[i]
		mount.Name, mount.MountPath, mount.SubPath, mount.SubPathExpr, mount.ReadOnly = "", "", "", "", false
		forget(&mount.RecursiveReadOnly, corev1.RecursiveReadOnlyDisabled)
		forget(&mount.RecursiveReadOnly, corev1.RecursiveReadOnlyIfPossible)
		if propagation := take(&mount.MountPropagation); propagation != nil {
			oneOf(c, path.Index(i).Child("mountPropagation"), *propagation,
				corev1.MountPropagationNone, corev1.MountPropagationHostToContainer, corev1.MountPropagationBidirectional)
		}
		c.leftovers(mount, path.Index(i))
	}
}
