package podspec

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// downward writes the fields of the pod that a volume may hold. Those of
// containers' resources are refused.
func (b *volumeBuilder) downward(items []corev1.DownwardAPIVolumeFile, mode int64, at *field.Path) error {
	for i, item := range items {
		at := at.Child("items").Index(i)
		if item.FieldRef == nil {
			return fmt.Errorf("%s: only fieldRef is known", at)
		}
		value, err := fieldValue(b.pod, item.FieldRef.FieldPath)
		if err != nil {
			return fmt.Errorf("%s: %w", at.Child("fieldRef", "fieldPath"), err)
		}
		itemMode := mode
		if item.Mode != nil {
			itemMode = int64(*item.Mode)
		}
		b.file(item.Path, []byte(value), itemMode)
	}
	return nil
}

// fieldValue is a field of the pod as the downward API writes it
// (kubernetes.io/docs/concepts/workloads/pods/downward-api).
func fieldValue(pod *corev1.Pod, path string) (string, error) {
	if key, ok := subscript(path, "metadata.labels"); ok {
		return pod.Labels[key], nil
	}
	if key, ok := subscript(path, "metadata.annotations"); ok {
		return pod.Annotations[key], nil
	}
	switch path {
	case "metadata.name":
		return pod.Name, nil
	case "metadata.namespace":
		return pod.Namespace, nil
	case "metadata.uid":
		return string(pod.UID), nil
	case "metadata.labels":
		return formatMap(pod.Labels), nil
	case "metadata.annotations":
		return formatMap(pod.Annotations), nil
	}
	return "", fmt.Errorf("%q cannot be put into a volume", path)
}

func subscript(path, name string) (key string, ok bool) {
	rest, ok := strings.CutPrefix(path, name+"['")
	if !ok {
		return "", false
	}
	return strings.CutSuffix(rest, "']")
}

// formatMap writes key="value" lines in the order of the keys.
func formatMap(m map[string]string) string {
	lines := make([]string, 0, len(m))
	for _, key := range slices.Sorted(maps.Keys(m)) {
		lines = append(lines, fmt.Sprintf("%s=%q", key, m[key]))
	}
	return strings.Join(lines, "\n")
}
