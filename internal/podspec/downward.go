package podspec

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"kip.elotl.co/internal/podfields"
)

// downward writes the fields of the pod, and the resources of its containers,
// that a volume may hold.
func (b *volumeBuilder) downward(items []corev1.DownwardAPIVolumeFile, mode int64, at *field.Path) error {
	for i := range items {
		item := &items[i]
		value, err := b.downwardValue(item, at.Child("items").Index(i))
		if err != nil {
			return err
		}
		itemMode := mode
		if item.Mode != nil {
			itemMode = int64(*item.Mode)
		}
		b.file(item.Path, []byte(value), itemMode)
	}
	return nil
}

func (b *volumeBuilder) downwardValue(item *corev1.DownwardAPIVolumeFile, at *field.Path) (string, error) {
	switch {
	case item.FieldRef != nil:
		value, err := podfields.InVolume(b.pod, item.FieldRef.FieldPath)
		if err != nil {
			return "", fmt.Errorf("%s: %w", at.Child("fieldRef", "fieldPath"), err)
		}
		return value, nil
	case item.ResourceFieldRef != nil:
		at := at.Child("resourceFieldRef")
		cell, err := b.objects.Cell()
		if err != nil {
			return "", fmt.Errorf("%s: %w", at, err)
		}
		value, err := podfields.Resource(b.pod, nil, item.ResourceFieldRef, cell)
		if err != nil {
			return "", fmt.Errorf("%s.%w", at, err)
		}
		return value, nil
	}
	return "", fmt.Errorf("%s: only fieldRef and resourceFieldRef are known", at)
}
