package policy

import "strings"

// pattern is a text whose wildcards are told apart from the same characters
// that came in by a variable.
type pattern []symbol

type symbol struct {
	char rune
	// wild: * stands for any run of characters, ? for any one.
	wild bool
}

// literally is a text without variables.
func literally(s string) pattern { return appendText(nil, s) }

func appendText(p pattern, s string) pattern {
	for _, r := range s {
		p = append(p, symbol{r, r == '*' || r == '?'})
	}
	return p
}

// text is the pattern where wildcards are nothing but characters.
func (p pattern) text() string {
	var b strings.Builder
	for _, s := range p {
		b.WriteRune(s.char)
	}
	return b.String()
}

// variable finds the first ${…} of s.
func variable(s string) (before, name, after string, found bool) {
	before, rest, opens := strings.Cut(s, "${")
	name, after, closes := strings.Cut(rest, "}")
	return before, name, after, opens && closes
}

// resolve puts the values of variables in; ok is false when one has none, and
// then nothing matches. ${*}, ${?} and ${$} are the characters themselves.
func resolve(v Version, s string, context map[string]string) (out pattern, ok bool) {
	for v == Version2012 {
		before, name, after, found := variable(s)
		if !found {
			break
		}
		value, exists := context[KeyName(name)]
		if isCharacter(name) {
			value, exists = name, true
		}
		if !exists {
			return nil, false
		}
		out = appendText(out, before)
		for _, r := range value {
			out = append(out, symbol{char: r})
		}
		s = after
	}
	return appendText(out, s), true
}

func isCharacter(name string) bool { return name == "*" || name == "?" || name == "$" }

// matches compares a whole text with a pattern, in at most len(p) × len(s)
// steps.
func matches(p pattern, s string) bool {
	text := []rune(s)
	at, star, mark := 0, -1, 0
	for i := 0; i < len(text); {
		switch {
		case at < len(p) && p[at].wild && p[at].char == '*':
			star, mark = at, i
			at++
		case at < len(p) && (p[at].wild || p[at].char == text[i]):
			at++
			i++
		case star >= 0:
			mark++
			at, i = star+1, mark
		default:
			return false
		}
	}
	for at < len(p) && p[at].wild && p[at].char == '*' {
		at++
	}
	return at == len(p)
}
