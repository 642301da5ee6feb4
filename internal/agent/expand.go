package agent

import (
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"

	"kip.elotl.co/internal/podfields"
)

// expandMounts gives the container with a subPath where there was a
// subPathExpr. Every variable that one refers to has to have a value.
func expandMounts(container *corev1.Container, values map[string]string) (*corev1.Container, error) {
	if !slices.ContainsFunc(container.VolumeMounts, func(m corev1.VolumeMount) bool { return m.SubPathExpr != "" }) {
		return container, nil
	}
	set := map[string]string{}
	for name, value := range values {
		if value != "" {
			set[name] = value
		}
	}
	expanded := container.DeepCopy()
	for i := range expanded.VolumeMounts {
		mount := &expanded.VolumeMounts[i]
		if mount.SubPathExpr == "" {
			continue
		}
		if missing, lacks := podfields.Unknown(mount.SubPathExpr, set); lacks {
			return nil, fmt.Errorf("missing value for %q", missing)
		}
		mount.SubPath, mount.SubPathExpr = podfields.Expand(mount.SubPathExpr, set), ""
	}
	return expanded, nil
}
