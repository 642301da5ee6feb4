package podspec

import (
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"kip.elotl.co/internal/podfields"
)

// Unsupported names what the pod's volumes ask for that Packages cannot make,
// so that such a pod is refused before anything is launched for it.
func Unsupported(pod *corev1.Pod) field.ErrorList {
	var errs field.ErrorList
	for i := range pod.Spec.Volumes {
		volume, at := &pod.Spec.Volumes[i], field.NewPath("spec", "volumes").Index(i)
		switch {
		case volume.DownwardAPI != nil:
			errs = append(errs, unsupportedFiles(volume.DownwardAPI.Items, at.Child("downwardAPI"))...)
		case volume.Projected != nil:
			for j := range volume.Projected.Sources {
				errs = append(errs, unsupportedSource(&volume.Projected.Sources[j], at.Child("projected", "sources").Index(j))...)
			}
		}
	}
	return errs
}

func unsupportedSource(source *corev1.VolumeProjection, at *field.Path) field.ErrorList {
	const message = "cells cannot be given this"
	switch {
	case source.DownwardAPI != nil:
		return unsupportedFiles(source.DownwardAPI.Items, at.Child("downwardAPI"))
	case source.ConfigMap != nil, source.Secret != nil, source.ServiceAccountToken != nil:
		return nil
	case source.ClusterTrustBundle != nil:
		return field.ErrorList{field.Forbidden(at.Child("clusterTrustBundle"), message)}
	case source.PodCertificate != nil:
		return field.ErrorList{field.Forbidden(at.Child("podCertificate"), message)}
	}
	return field.ErrorList{field.Forbidden(at, message)}
}

func unsupportedFiles(items []corev1.DownwardAPIVolumeFile, at *field.Path) field.ErrorList {
	var errs field.ErrorList
	for i := range items {
		item, at := &items[i], at.Child("items").Index(i)
		switch {
		case item.FieldRef != nil:
			if _, err := podfields.InVolume(&corev1.Pod{}, item.FieldRef.FieldPath); err != nil {
				errs = append(errs, field.Invalid(at.Child("fieldRef", "fieldPath"), item.FieldRef.FieldPath, err.Error()))
			}
		case item.ResourceFieldRef != nil:
			if err := podfields.CheckResource(item.ResourceFieldRef); err != nil {
				errs = append(errs, field.Invalid(at.Child("resourceFieldRef", "resource"), item.ResourceFieldRef.Resource, err.Error()))
			}
		default:
			errs = append(errs, field.Required(at, "fieldRef or resourceFieldRef"))
		}
	}
	return errs
}
