package aws

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestParseDocument(t *testing.T) {
	good := map[string]map[string][]byte{
		"ca.crt: |\n  a\n  b\nitzo_version: v2\n": {"ca.crt": []byte("a\nb\n"), "itzo_version": []byte("v2")},
		"a: \"\"\nb: 1.10\nc: !!binary /w==\n":    {"a": []byte(""), "b": []byte("1.10"), "c": []byte("\xff")},
		"{}":                                      {},
	}
	for text, want := range good {
		files, err := parseDocument(text)
		if diff := cmp.Diff(want, files); diff != "" || err != nil {
			t.Errorf("%q: %v, %s", text, err, diff)
		}
	}
	for text, want := range map[string]string{
		"":                    "it is not YAML: EOF",
		"secret":              "line 1: it is not a mapping of files' names to contents",
		"a: b\n---\nc: d\n":   "it goes on after its first YAML document",
		"a: [secret":          "it is not YAML: yaml: line 1: did not find expected ',' or ']'",
		"a: {b: secret}":      "line 1: a is not a string",
		"a:":                  "line 1: a is not a string",
		"x: &s secret\na: *s": "line 2: a is not a string",
		"\na: b\na: c":        "line 3: a is there twice",
		"../a: b":             "line 1: a key is not the plain name of a file",
		"a/b: b":              "line 1: a key is not the plain name of a file",
		".a: b":               "line 1: a key is not the plain name of a file",
		"'': b":               "line 1: a key is not the plain name of a file",
		"[a]: b":              "line 1: a key is not the plain name of a file",
		"\"a\\n\": b":         "line 1: a key is not the plain name of a file",
	} {
		if files, err := parseDocument(text); err == nil || err.Error() != want {
			t.Errorf("%q: %v, %v; want %s", text, files, err, want)
		}
	}
}

func TestCheckDigest(t *testing.T) {
	const right = "# sha256:87428fc522803d31065e7bce3cf03fe475096631e5e07bbd7a0fde60c4cf25c7\na\n"
	for text, want := range map[string]struct{ whole, wrong bool }{
		right: {true, false}, right + "b": {false, true}, right[:40]: {false, true}, "# sha256:": {false, true},
		"a: b\n": {false, false}, "": {false, false}, "# a comment\na: b\n": {false, false},
	} {
		if whole, err := checkDigest(text); whole != want.whole || err != nil != want.wrong {
			t.Errorf("%q: %v, %v", text, whole, err)
		}
	}
}

// FuzzParseDocument: names are fit to be files' in a directory, whatever comes.
func FuzzParseDocument(f *testing.F) {
	for _, text := range []string{"", "a: b", "a: |\n  b\n", "../a: b", "a: !!binary /w==", "a: &x b\nc: *x", "<<: {a: b}", "\x00: a"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		files, err := parseDocument(text)
		if err != nil && files != nil {
			t.Error("an error, and files")
		}
		for name := range files {
			if name == "" || name[0] == '.' || strings.ContainsAny(name, "/\x00\n") || len(name) > maxName {
				t.Errorf("name %q", name)
			}
		}
	})
}
