package agent

import (
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
)

func expandAll(texts []string, values map[string]string) []string {
	result := make([]string, 0, len(texts))
	for _, text := range texts {
		result = append(result, expand(text, values))
	}
	return result
}

// expand replaces each $(NAME) whose name is known. $$ stands for one $, and
// what is no reference, or an unknown one, stays as it is.
func expand(text string, values map[string]string) string {
	var out strings.Builder
	for {
		at := strings.IndexByte(text, '$')
		if at < 0 || at+1 == len(text) {
			out.WriteString(text)
			return out.String()
		}
		out.WriteString(text[:at])
		read, replacement := reference(text[at:], values)
		out.WriteString(replacement)
		text = text[at+read:]
	}
}

// reference reads what begins with a $ and has at least one more byte.
func reference(text string, values map[string]string) (read int, replacement string) {
	switch text[1] {
	case '$':
		return 2, "$"
	case '(':
		end := strings.IndexByte(text, ')')
		if end < 0 {
			// Without an end it is no reference; what follows may still have some.
			return 2, "$("
		}
		if value, known := values[text[2:end]]; known {
			return end + 1, value
		}
		return end + 1, text[:end+1]
	default:
		return 2, text[:2]
	}
}

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
		if missing, lacks := unknown(mount.SubPathExpr, set); lacks {
			return nil, fmt.Errorf("volumeMounts[%d].subPathExpr: missing value for %q", i, missing)
		}
		mount.SubPath, mount.SubPathExpr = expand(mount.SubPathExpr, set), ""
	}
	return expanded, nil
}

// unknown is the first variable that text refers to and that has no value.
func unknown(text string, values map[string]string) (name string, lacks bool) {
	for {
		at := strings.IndexByte(text, '$')
		if at < 0 || at+1 == len(text) {
			return "", false
		}
		text = text[at:]
		read, _ := reference(text, values)
		if name, ok := strings.CutPrefix(text[:read], "$("); ok && strings.HasSuffix(name, ")") {
			name = strings.TrimSuffix(name, ")")
			if _, known := values[name]; !known {
				return name, true
			}
		}
		text = text[read:]
	}
}
