package console_test

import (
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"kip.elotl.co/internal/console"
	"kip.elotl.co/internal/pki"
)

func TestTail(t *testing.T) {
	for name, test := range map[string]struct {
		output string
		most   int
		want   string
	}{
		"nothing":         {"", 100, ""},
		"all":             {"one\ntwo\n", 100, "one\ntwo"},
		"last lines":      {"first\nsecond\nthird\n", 12, "second\nthird"},
		"end of a line":   {"0123456789\n", 4, "6789"},
		"whole character": {"aäö\n", 3, "ö"},
		"terminal":        {"\x1b[1;32m[  OK  ]\x1b[0m Started\r\n\r\n\x07login: ", 100, "[  OK  ] Started\nlogin:"},
		"not UTF-8":       {"a\xff\xfeb", 100, "a�b"},
		"direction":       {"a\u202eb", 100, "ab"},
		"password":        {"ci: password=hunter2 for root\nnext", 100, "ci: password=[redacted]\nnext"},
		"JSON":            {`{"Token": "abc", "x": 1}`, 100, `{"Token": [redacted], "x": 1}`},
		"login":           {"curl https://me:pass@host/x", 100, "curl https://[redacted]host/x"},
		"access key":      {"using AKIAIOSFODNN7EXAMPLE now", 100, "using [redacted] now"},
		"secret key":      {"with wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY now", 100, "with [redacted] now"},
		"path":            {"/usr/lib/python3/site/cloudinit/cmd/main/run/it failed", 100, "/usr/lib/python3/site/cloudinit/cmd/main/run/it failed"},
	} {
		t.Run(name, func(t *testing.T) {
			if got := console.Tail([]byte(test.output), test.most); got != test.want {
				t.Errorf("%q, want %q", got, test.want)
			}
		})
	}
}

// TestNoKeys: whatever part of a key is printed, and however, nothing is left
// of it.
func TestNoKeys(t *testing.T) {
	ca, err := pki.NewCA(time.Now(), "test")
	if err != nil {
		t.Fatal(err)
	}
	_, key, err := ca.CellCertificate(pki.CellID{UID: "u", Attempt: 1, Start: time.Now()})
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(string(key)), "\n")
	for name, output := range map[string]string{
		"as it is":           "a\n" + string(key) + "b\n",
		"cut off before":     strings.Join(lines[2:], "\n") + "\nb\n",
		"cut off after":      "a\n" + strings.Join(lines[:len(lines)-1], "\n"),
		"one line":           "a\n    " + lines[1] + "\nb",
		"in a shell's trace": "+ printf '" + strings.ReplaceAll(string(key), "\n", `\n`) + "'",
		"indented":           "[ 1.0] " + strings.Join(lines, "\n[ 1.0] "),
	} {
		t.Run(name, func(t *testing.T) {
			got := console.Tail([]byte(output), 1<<16)
			for _, secret := range lines[1 : len(lines)-1] {
				if strings.Contains(got, secret) || strings.Contains(got, secret[:20]) {
					t.Errorf("%q has %q", got, secret)
				}
			}
		})
	}
}

func FuzzTail(f *testing.F) {
	f.Add([]byte("one\ntwo"), 5)
	f.Add([]byte("-----END X-----\x1b[0m"), 1)
	f.Fuzz(func(t *testing.T, output []byte, most int) {
		most = min(max(most, 0), 1<<16)
		got := console.Tail(output, most)
		if len(got) > most || !utf8.ValidString(got) || strings.ContainsAny(got, "\x1b\r\x00") {
			t.Errorf("%d bytes of at most %d: %q", len(got), most, got)
		}
	})
}
