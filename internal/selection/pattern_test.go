package selection

import (
	"strings"
	"testing"
)

func TestMatches(t *testing.T) {
	for _, test := range []struct {
		pattern, name string
		want          bool
	}{
		{"c5.large", "c5.large", true},
		{"c5.large", "c5.xlarge", false},
		{"c5*", "c5.large", true},
		{"c5*", "c5n.large", true},
		{"c5.*", "c5n.large", false},
		{"*.large", "c5.large", true},
		{"*.large", "c5.xlarge", false},
		{"*large", "c5.xlarge", true},
		{"*", "c5.large", true},
		{"c*.*xlarge", "c5.2xlarge", true},
		{"c*.*xlarge", "m5.2xlarge", false},
		{"a*a", "a", false},
		{"a*a*a", "aa", false},
		{"*a*b", "xaxbxb", true},
		{"**", "", true},
		{"", "", true},
		{"", "a", false},
	} {
		if got := matches(test.pattern, test.name); got != test.want {
			t.Errorf("%q of %q: %t", test.name, test.pattern, got)
		}
	}
}

// FuzzMatches holds matches against one that tries everything that a * may
// stand for.
func FuzzMatches(f *testing.F) {
	for _, seed := range [][2]string{{"c5*", "c5.large"}, {"*.large", "c5.large"}, {"a*b*a", "abba"}, {"**", ""}, {"a*a", "a"}, {"*ab*ab", "abxab"}} {
		f.Add(seed[0], seed[1])
	}
	f.Fuzz(func(t *testing.T, pattern, name string) {
		if len(pattern) > 20 || len(name) > 40 || strings.Count(pattern, "*") > 6 {
			return
		}
		if got, want := matches(pattern, name), naive(pattern, name); got != want {
			t.Errorf("%q of %q: %t, tried one by one %t", name, pattern, got, want)
		}
	})
}

func naive(pattern, name string) bool {
	if pattern == "" {
		return name == ""
	}
	if pattern[0] != '*' {
		return name != "" && name[0] == pattern[0] && naive(pattern[1:], name[1:])
	}
	for i := range len(name) + 1 {
		if naive(pattern[1:], name[i:]) {
			return true
		}
	}
	return false
}
