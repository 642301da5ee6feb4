package bootstrap

import (
	"bytes"
	"encoding/base64"
	"io"
	"mime"
	"mime/multipart"
	"mime/quotedprintable"
	"net/mail"
	"strings"
	"testing"

	"kip.elotl.co/hack/localaws/firstboot/userdata"
)

func TestKindOf(t *testing.T) {
	for text, want := range map[string]kind{
		"": cloudConfig, "a: b": cloudConfig, "#cloud-config\n": cloudConfig, "# a comment\na: b": cloudConfig,
		"#!/bin/sh\n": "text/x-shellscript", "\ufeff \n#!/bin/sh": "text/x-shellscript",
		"#include\nhttp://x\n": "text/x-include-url", "#include-once\nhttp://x\n": "text/x-include-once-url",
		"\n #Cloud-Boothook\n": "text/cloud-boothook", "#cloud-config-archive\n- a\n": "text/cloud-config-archive",
		"#cloud-config-jsonp\n[]": "text/cloud-config-jsonp", "#part-handler\n": "text/part-handler", "#upstart-job\n": "text/upstart-job",
		"## template: jinja\n#cloud-config\na: b\n":                                        "text/jinja2",
		"Content-Type: multipart/mixed; boundary=\"x\"\nMIME-Version: 1.0\n\n--x\n":        mimeMessage,
		"From nobody Thu Jan  1 00:00:00 1970\nSubject: x\n y\nmime-version: 1.0\n\n--x\n": mimeMessage,
		"content: a\nmime: b\n": cloudConfig,
	} {
		if got := kindOf(text); got != want {
			t.Errorf("%q: %s, want %s", text, got, want)
		}
	}
}

// leaf is a part that holds no others.
type leaf struct{ kind, body string }

// leaves reads a message by Go's own reader.
func leaves(t testing.TB, contentType, encoding string, body io.Reader) []leaf {
	t.Helper()
	kind, params, err := mime.ParseMediaType(contentType)
	if err != nil {
		kind = "text/plain"
	}
	if strings.HasPrefix(kind, "multipart/") {
		var out []leaf
		for reader := multipart.NewReader(body, params["boundary"]); ; {
			part, err := reader.NextRawPart()
			if err == io.EOF {
				return out
			}
			if err != nil {
				t.Fatal(err)
			}
			out = append(out, leaves(t, part.Header.Get("Content-Type"), part.Header.Get("Content-Transfer-Encoding"), part)...)
		}
	}
	switch encoding {
	case "base64":
		body = base64.NewDecoder(base64.StdEncoding, body)
	case "quoted-printable":
		body = quotedprintable.NewReader(body)
	}
	text, err := io.ReadAll(body)
	if err != nil {
		t.Fatal(err)
	}
	return []leaf{{kind, string(text)}}
}

func messageLeaves(t testing.TB, message []byte) []leaf {
	t.Helper()
	read, err := mail.ReadMessage(bytes.NewReader(message))
	if err != nil {
		t.Fatalf("%v\n%s", err, message)
	}
	return leaves(t, read.Header.Get("Content-Type"), read.Header.Get("Content-Transfer-Encoding"), read.Body)
}

// checkParts: the first part is the user's document, the last one ours.
func checkParts(t *testing.T, text string, message []byte) {
	t.Helper()
	read, err := mail.ReadMessage(bytes.NewReader(message))
	if err != nil {
		t.Fatalf("%v\n%s", err, message)
	}
	_, params, err := mime.ParseMediaType(read.Header.Get("Content-Type"))
	if err != nil {
		t.Fatal(err)
	}
	reader := multipart.NewReader(read.Body, params["boundary"])
	theirs, err := reader.NextRawPart()
	if err != nil {
		t.Fatal(err)
	}
	if kind := kindOf(text); kind != mimeMessage {
		got := leaves(t, theirs.Header.Get("Content-Type"), theirs.Header.Get("Content-Transfer-Encoding"), theirs)
		if len(got) != 1 || got[0] != (leaf{string(kind), text}) {
			t.Fatalf("the user's part is %q, want %s %q", got, kind, text)
		}
	} else {
		_, body, _ := strings.Cut(strings.ReplaceAll(text, "\r\n", "\n"), "\n\n")
		if got, err := io.ReadAll(theirs); err != nil || !strings.Contains(strings.ReplaceAll(string(got), "\r\n", "\n"), body) {
			t.Fatalf("the user's message is %q, %v", got, err)
		}
	}
	ours, err := reader.NextRawPart()
	if err != nil {
		t.Fatal(err)
	}
	got := leaves(t, ours.Header.Get("Content-Type"), ours.Header.Get("Content-Transfer-Encoding"), ours)
	if len(got) != 1 || got[0].kind != "text/cloud-config" || !strings.HasPrefix(got[0].body, "#cloud-config\nmerge_how: ") {
		t.Fatalf("our part is %.80q", got)
	}
	if _, err := reader.NextRawPart(); err != io.EOF {
		t.Fatalf("there are more parts: %v", err)
	}
}

const userMessage = "Content-Type: multipart/mixed; boundary=\"inner\"\nMIME-Version: 1.0\n\n" +
	"--inner\nContent-Type: text/cloud-config\n\n#cloud-config\nruncmd: [echo one]\nhostname: h\n" +
	"--inner\nContent-Type: text/x-shellscript\n\n#!/bin/sh\necho two\n--inner--\n"

func TestOtherDocumentsBecomeParts(t *testing.T) {
	for name, text := range map[string]string{
		"script":        "#!/bin/sh\necho one\n",
		"without end":   "#!/bin/sh\necho one",
		"not ASCII":     "#!/bin/sh\necho é\n",
		"long line":     "#!/bin/sh\n: " + strings.Repeat("x", 2000) + "\n",
		"like ours":     "#!/bin/sh\n--kip-\n",
		"returns":       "#!/bin/sh\r\necho\r\n",
		"template":      "## template: jinja\n#cloud-config\nruncmd: [echo {{ v1.region }}]\n",
		"include":       "#include\nhttp://example.com/a\n",
		"message":       userMessage,
		"mailbox":       "From nobody Thu Jan  1 00:00:00 1970\n" + userMessage,
		"CRLF message":  strings.ReplaceAll(userMessage, "\n", "\r\n"),
		"a single part": "MIME-Version: 1.0\nContent-Type: text/x-shellscript\n\n#!/bin/sh\n",
	} {
		t.Run(name, func(t *testing.T) {
			if err := Validate(text); err != nil {
				t.Fatal(err)
			}
			out, err := UserData(testInput(text))
			if err != nil {
				t.Fatal(err)
			}
			checkParts(t, text, inflate(t, out))
		})
	}
}

// TestFirstBootReadsParts: what boots local cells does what the user's message
// says, and then what we say.
func TestFirstBootReadsParts(t *testing.T) {
	out, err := UserData(testInput(userMessage))
	if err != nil {
		t.Fatal(err)
	}
	if got := messageLeaves(t, inflate(t, out)); len(got) != 3 {
		t.Errorf("%d parts", len(got))
	}
	config, err := userdata.Parse(out)
	if err != nil || len(config.Problems) > 0 || len(config.Unknown) > 0 {
		t.Fatalf("%v, %q, unknown %q", err, config.Problems, config.Unknown)
	}
	if len(config.Files) != 6 || config.Hostname != "h" {
		t.Errorf("%d files, host name %q", len(config.Files), config.Hostname)
	}
	var scripts []string
	for _, script := range config.Scripts {
		scripts = append(scripts, string(script.Body))
	}
	all := strings.Join(scripts, "|")
	if !strings.Contains(all, "echo one\nsh /tmp/itzo/start-agent.sh\n") || !strings.Contains(all, "echo two") {
		t.Errorf("scripts: %q", scripts)
	}
}
