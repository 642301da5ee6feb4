package ec2

import (
	"path"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestWildcard(t *testing.T) {
	for _, tt := range []struct {
		pattern, value string
		want           bool
	}{
		{"", "", true}, {"", "a", false}, {"*", "", true}, {"*", "abc", true}, {"a*c", "abbbc", true}, {"a*c", "abbbd", false},
		{"a?c", "abc", true}, {"a?c", "ac", false}, {"**a", "xxa", true}, {"*a*b", "xaxxbxb", true}, {`\*`, "*", true}, {`\*`, "a", false},
		{`a\?`, "a?", true}, {`a\?`, "ab", false}, {"A", "a", false}, {"a**", "a", true},
	} {
		if got := wildcard(tt.pattern, tt.value); got != tt.want {
			t.Errorf("wildcard(%q, %q) = %v", tt.pattern, tt.value, got)
		}
	}
}

// path.Match agrees wherever neither classes nor slashes nor escapes occur.
func FuzzWildcard(f *testing.F) {
	f.Add("a*b?c", "axxbyc")
	f.Add("*a*a*a*a*b", "aaaaaaaaaaaaaaaa")
	f.Fuzz(func(t *testing.T, pattern, value string) {
		got := wildcard(pattern, value)
		for _, s := range []string{pattern, value} {
			if strings.ContainsAny(s, `[]\/`) || strings.ContainsFunc(s, func(r rune) bool { return r > 126 }) {
				return
			}
		}
		if want, err := path.Match(pattern, value); err == nil && want != got {
			t.Errorf("wildcard(%q, %q) = %v", pattern, value, got)
		}
	})
}

// A page goes on behind the last key, even when that item is gone.
func TestPageSurvivesLosses(t *testing.T) {
	key := func(s string) string { return s }
	first, token := page([]string{"a", "b", "c", "d", "e"}, paging{size: 2}, key)
	p := paging{size: 2, after: "b"}
	second, rest := page([]string{"a", "c", "d", "e"}, p, key)
	if diff := cmp.Diff([][]string{{"a", "b"}, {"c", "d"}}, [][]string{first, second}); diff != "" {
		t.Errorf("pages (-want +got):\n%s", diff)
	}
	if token == "" || rest == "" {
		t.Error("a token is missing")
	}
	if last, end := page([]string{"a", "b"}, paging{size: 2, after: "z"}, key); last != nil || end != "" {
		t.Errorf("behind the end: %v, %q", last, end)
	}
}
