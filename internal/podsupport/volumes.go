package podsupport

import (
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

func (c *checker) volumes(spec *corev1.PodSpec, path *field.Path) {
	for i := range spec.Volumes {
		volume := &spec.Volumes[i]
		volume.Name = ""
		// The operator renders these; the agent gets them as packages.
		volume.ConfigMap, volume.Secret, volume.Projected, volume.DownwardAPI = nil, nil, nil, nil
		path := path.Child("volumes").Index(i)
		c.emptyDir(take(&volume.EmptyDir), path.Child("emptyDir"))
		c.leftovers(volume, path)
	}
	spec.Volumes = nil
}

func (c *checker) emptyDir(dir *corev1.EmptyDirVolumeSource, path *field.Path) {
	if dir == nil {
		return
	}
	medium := take(&dir.Medium)
	oneOf(c, path.Child("medium"), medium, corev1.StorageMediumDefault, corev1.StorageMediumMemory)
	// On disk nothing would enforce it.
	if medium == corev1.StorageMediumMemory {
		dir.SizeLimit = nil
	}
	c.leftovers(dir, path)
}
