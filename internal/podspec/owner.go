package podspec

import (
	"slices"

	corev1 "k8s.io/api/core/v1"

	"kip.elotl.co/internal/itzo"
)

// groupReads is what the pod's fsGroup may do with a file of a volume that is
// delivered, as with a kubelet.
const groupReads = 0o440

// groupDirectory is the mode of the directory that holds them.
const groupDirectory = itzo.SetGID | 0o755

// owned gives the files and their directories to the pod's fsGroup, if it has one.
func owned(pod *corev1.Pod, files []itzo.PackageFile) []itzo.PackageFile {
	group := fsGroup(pod)
	if group == nil {
		return files
	}
	for i := range files {
		files[i].GID = int(*group)
		files[i].Mode |= groupReads
	}
	return slices.Insert(files, 0, itzo.PackageFile{Dir: true, GID: int(*group), Mode: groupDirectory})
}

func fsGroup(pod *corev1.Pod) *int64 {
	if pod.Spec.SecurityContext == nil {
		return nil
	}
	return pod.Spec.SecurityContext.FSGroup
}

// fsUser is the user that all containers run as; nil when they say none, or
// several.
func fsUser(pod *corev1.Pod) *int64 {
	var common *int64
	for _, containers := range [][]corev1.Container{pod.Spec.InitContainers, pod.Spec.Containers} {
		for i := range containers {
			user := runAsUser(pod, &containers[i])
			if user == nil || common != nil && *common != *user {
				return nil
			}
			common = user
		}
	}
	return common
}

func runAsUser(pod *corev1.Pod, container *corev1.Container) *int64 {
	if own := container.SecurityContext; own != nil && own.RunAsUser != nil {
		return own.RunAsUser
	}
	if pods := pod.Spec.SecurityContext; pods != nil {
		return pods.RunAsUser
	}
	return nil
}
