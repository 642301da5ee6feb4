package podfields

import "strings"

// ExpandAll is Expand of each text.
func ExpandAll(texts []string, values map[string]string) []string {
	result := make([]string, 0, len(texts))
	for _, text := range texts {
		result = append(result, Expand(text, values))
	}
	return result
}

// Expand replaces each $(NAME) whose name is known. $$ stands for one $, and
// what is no reference, or an unknown one, stays as it is.
func Expand(text string, values map[string]string) string {
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

// Unknown is the first variable that text refers to and that has no value.
func Unknown(text string, values map[string]string) (name string, lacks bool) {
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
