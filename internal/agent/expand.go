package agent

import (
	"strings"

	corev1 "k8s.io/api/core/v1"
)

// expandEnv gives a container's environment with the $(VAR) in its values
// replaced by what was defined before them, as the kubelet does. Of several
// variables with one name the last one counts.
func expandEnv(env []corev1.EnvVar) ([]corev1.EnvVar, map[string]string) {
	values := make(map[string]string, len(env))
	position := make(map[string]int, len(env))
	result := make([]corev1.EnvVar, 0, len(env))
	for _, variable := range env {
		value := expand(variable.Value, values)
		values[variable.Name] = value
		if i, seen := position[variable.Name]; seen {
			result[i].Value = value
			continue
		}
		position[variable.Name] = len(result)
		result = append(result, corev1.EnvVar{Name: variable.Name, Value: value})
	}
	return result, values
}

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
