package cri

import (
	"strings"

	corev1 "k8s.io/api/core/v1"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// appArmor nil: the runtime's own, where the cell has AppArmor.
func appArmor(profile *corev1.AppArmorProfile) *runtimeapi.SecurityProfile {
	if profile == nil {
		return nil
	}
	switch profile.Type {
	case corev1.AppArmorProfileTypeUnconfined:
		return &runtimeapi.SecurityProfile{ProfileType: runtimeapi.SecurityProfile_Unconfined}
	case corev1.AppArmorProfileTypeLocalhost:
		return &runtimeapi.SecurityProfile{ProfileType: runtimeapi.SecurityProfile_Localhost, LocalhostRef: stringValue(profile.LocalhostProfile)}
	}
	return &runtimeapi.SecurityProfile{ProfileType: runtimeapi.SecurityProfile_RuntimeDefault}
}

// appArmorProfile is the profile that counts for a container, by the kubelet's
// order: its own, that of the annotation of old, the pod's. nil: none is named.
func appArmorProfile(pod *corev1.Pod, container *corev1.Container) *corev1.AppArmorProfile {
	if own := container.SecurityContext; own != nil && own.AppArmorProfile != nil {
		return own.AppArmorProfile
	}
	if profile := annotatedProfile(pod.Annotations[corev1.DeprecatedAppArmorBetaContainerAnnotationKeyPrefix+container.Name]); profile != nil {
		return profile
	}
	if all := pod.Spec.SecurityContext; all != nil {
		return all.AppArmorProfile
	}
	return nil
}

func annotatedProfile(value string) *corev1.AppArmorProfile {
	switch value {
	case corev1.DeprecatedAppArmorBetaProfileRuntimeDefault:
		return &corev1.AppArmorProfile{Type: corev1.AppArmorProfileTypeRuntimeDefault}
	case corev1.DeprecatedAppArmorBetaProfileNameUnconfined:
		return &corev1.AppArmorProfile{Type: corev1.AppArmorProfileTypeUnconfined}
	}
	if name, local := strings.CutPrefix(value, corev1.DeprecatedAppArmorBetaProfileNamePrefix); local {
		return &corev1.AppArmorProfile{Type: corev1.AppArmorProfileTypeLocalhost, LocalhostProfile: &name}
	}
	return nil
}
