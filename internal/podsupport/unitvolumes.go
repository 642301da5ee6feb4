package podsupport

import (
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// The volumes by which an agent of the first Kip is given files that a kubelet
// writes itself; they are packages of the same name.
const (
	VolumeResolvConf = "resolvconf"
	VolumeHosts      = "etchosts"
)

// othersWrite are the bits of a file's mode that these agents clear.
const othersWrite = 0o022

func (c *unitChecker) volumes(spec *corev1.PodSpec, path *field.Path) {
	for i := range spec.Volumes {
		volume, path := &spec.Volumes[i], path.Child("volumes").Index(i)
		if name := take(&volume.Name); name == VolumeResolvConf || name == VolumeHosts {
			c.refuse(path.Child("name"), "is given the pod's "+name+" by this name")
		}
		c.delivered(volume, path)
		c.unitEmptyDir(take(&volume.EmptyDir), path.Child("emptyDir"))
		if host := take(&volume.HostPath); host != nil {
			if host.Type != nil {
				// It checks the others the wrong way round.
				oneOf(c.checker, path.Child("hostPath", "type"), *host.Type, corev1.HostPathUnset, corev1.HostPathDirectoryOrCreate,
					corev1.HostPathDirectory, corev1.HostPathFileOrCreate, corev1.HostPathFile)
			}
		}
		c.leftovers(volume, path)
	}
	spec.Volumes = nil
}

func (c *unitChecker) unitEmptyDir(dir *corev1.EmptyDirVolumeSource, path *field.Path) {
	if dir == nil {
		return
	}
	medium := take(&dir.Medium)
	oneOf(c.checker, path.Child("medium"), medium, corev1.StorageMediumDefault, corev1.StorageMediumMemory)
	if medium == corev1.StorageMediumMemory {
		dir.SizeLimit = nil
	}
	c.leftovers(dir, path)
}

// delivered allows what other agents are given, too, but for some modes of files.
func (c *unitChecker) delivered(volume *corev1.Volume, path *field.Path) {
	if source := volume.ConfigMap; source != nil {
		path := path.Child("configMap")
		c.mode(source.DefaultMode, path.Child("defaultMode"))
		c.items(source.Items, path)
	}
	if source := volume.Secret; source != nil {
		path := path.Child("secret")
		c.mode(source.DefaultMode, path.Child("defaultMode"))
		c.items(source.Items, path)
	}
	if source := volume.DownwardAPI; source != nil {
		path := path.Child("downwardAPI")
		c.mode(source.DefaultMode, path.Child("defaultMode"))
		c.downward(source.Items, path)
	}
	if projected := volume.Projected; projected != nil {
		path := path.Child("projected")
		c.mode(projected.DefaultMode, path.Child("defaultMode"))
		for i := range projected.Sources {
			source, path := &projected.Sources[i], path.Child("sources").Index(i)
			switch {
			case source.ConfigMap != nil:
				c.items(source.ConfigMap.Items, path.Child("configMap"))
			case source.Secret != nil:
				c.items(source.Secret.Items, path.Child("secret"))
			case source.DownwardAPI != nil:
				c.downward(source.DownwardAPI.Items, path.Child("downwardAPI"))
			}
		}
	}
	c.checker.delivered(volume, path)
}

func (c *unitChecker) items(items []corev1.KeyToPath, path *field.Path) {
	for i := range items {
		c.mode(items[i].Mode, path.Child("items").Index(i).Child("mode"))
	}
}

func (c *unitChecker) downward(items []corev1.DownwardAPIVolumeFile, path *field.Path) {
	for i := range items {
		path := path.Child("items").Index(i)
		c.mode(items[i].Mode, path.Child("mode"))
		c.resourceField(items[i].ResourceFieldRef, path.Child("resourceFieldRef"))
	}
}

func (c *unitChecker) mode(mode *int32, path *field.Path) {
	if mode != nil && *mode&othersWrite != 0 {
		c.refuse(path, "clears the bits 0022")
	}
}

// mounts allows whole volumes. Those that are delivered are written by nobody
// but the operator, so that to mount them read-only changes nothing.
func (c *unitChecker) mounts(container *corev1.Container, path *field.Path) {
	for i := range container.VolumeMounts {
		mount, path := container.VolumeMounts[i], path.Index(i)
		volume := c.volume(mount.Name)
		mount.Name, mount.MountPath = "", ""
		if take(&mount.ReadOnly) && !isDelivered(volume) {
			c.refuse(path.Child("readOnly"), "mounts every volume writable")
		}
		forget(&mount.MountPropagation, corev1.MountPropagationNone)
		forget(&mount.RecursiveReadOnly, corev1.RecursiveReadOnlyDisabled)
		if nonRoot(c.spec, container) {
			c.accessible(volume, container, path)
		}
		c.leftovers(&mount, path)
	}
}

// accessible refuses the volumes that a user other than root could not use as
// with a kubelet: directories that are root's alone, or another user's.
func (c *unitChecker) accessible(volume *corev1.Volume, container *corev1.Container, path *field.Path) {
	switch {
	case volume != nil && volume.EmptyDir != nil:
		c.refuse(path, "lets only root write to an emptyDir: the container's user is another")
	case isDelivered(volume) && slices.ContainsFunc(c.spec.Containers, func(other corev1.Container) bool {
		return nonRoot(c.spec, &other) && *userOf(c.spec, &other) != *userOf(c.spec, container) && mountsVolume(&other, volume.Name)
	}):
		c.refuse(path, "lets one user besides root read this volume: several containers with different users mount it")
	}
}

func mountsVolume(container *corev1.Container, name string) bool {
	return slices.ContainsFunc(container.VolumeMounts, func(m corev1.VolumeMount) bool { return m.Name == name })
}

func (c *unitChecker) volume(name string) *corev1.Volume {
	for i := range c.spec.Volumes {
		if c.spec.Volumes[i].Name == name {
			return &c.spec.Volumes[i]
		}
	}
	return nil
}

func isDelivered(volume *corev1.Volume) bool {
	return volume != nil && (volume.ConfigMap != nil || volume.Secret != nil || volume.DownwardAPI != nil || volume.Projected != nil)
}
