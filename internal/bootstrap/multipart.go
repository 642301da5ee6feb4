package bootstrap

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"net/textproto"
	"regexp"
	"strings"

	"go.yaml.in/yaml/v3"
)

// kind is the MIME type of a document as cloud-init has it
// (docs.cloud-init.io/en/latest/explanation/format.html).
type kind string

const (
	cloudConfig kind = "text/cloud-config"
	mimeMessage kind = "multipart"
)

// mimeHead matches the head of a mail message that says it is MIME.
var mimeHead = regexp.MustCompile(`(?i)\A(?:[a-z][a-z0-9-]*:[^\n]*\n|from [^\n]*\n|[ \t]+[^\n]*\n)*?(?:mime-version:|content-type:[ \t]*[a-z]+/)`)

// kindOf says what cloud-init would take a document for. As there, blanks
// before the first line and its case do not matter. What has no first line of
// cloud-init's is cloud-config.
func kindOf(text string) kind {
	text = strings.TrimLeft(text, " \t\r\n\ufeff")
	first, _, _ := strings.Cut(text, "\n")
	line := strings.ToLower(strings.TrimSpace(first))
	for _, other := range []struct {
		prefix string
		kind   kind
	}{
		{"#!", "text/x-shellscript"},
		{"#include-once", "text/x-include-once-url"},
		{"#include", "text/x-include-url"},
		{"#cloud-boothook", "text/cloud-boothook"},
		{"#cloud-config-archive", "text/cloud-config-archive"},
		{"#cloud-config-jsonp", "text/cloud-config-jsonp"},
		{"#part-handler", "text/part-handler"},
		{"#upstart-job", "text/upstart-job"},
		{"## template:", "text/jinja2"},
	} {
		if strings.HasPrefix(line, other.prefix) {
			return other.kind
		}
	}
	if mimeHead.MatchString(text) {
		return mimeMessage
	}
	return cloudConfig
}

// mergeLists has cloud-init append our lists to those of the parts before ours,
// which it would replace else.
const mergeLists = "list(append)+dict(no_replace,recurse_list)+str()"

// message makes one message of the user's document, unchanged, and ours,
// which comes last.
func message(kind kind, text string, files []file, commands []string) ([]byte, error) {
	if err := checkPart(kind, text); err != nil {
		return nil, err
	}
	doc, err := parse("")
	if err != nil {
		return nil, err
	}
	doc.mapping().Content = []*yaml.Node{stringNode("merge_how"), quotedNode(mergeLists)}
	own, err := doc.render(files, commands)
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(append([]byte(text), own...))
	boundary := "kip-" + hex.EncodeToString(sum[:16])
	var out bytes.Buffer
	fmt.Fprintf(&out, "Content-Type: multipart/mixed; boundary=%q\nMIME-Version: 1.0\n\n", boundary)
	fmt.Fprintf(&out, "--%s\n%s\n", boundary, part(kind, text))
	fmt.Fprintf(&out, "--%s\n%s\n", boundary, part(cloudConfig, header+"\n"+string(own)))
	fmt.Fprintf(&out, "--%s--\n", boundary)
	return out.Bytes(), nil
}

// checkPart refuses what cannot be part of a message.
func checkPart(kind kind, text string) error {
	if strings.ContainsRune(text, 0) {
		return &DocumentError{Problem: "the document contains a NUL byte", Remedy: "it must be text"}
	}
	if kind != mimeMessage {
		return nil
	}
	whole := part(kind, text)
	if !strings.Contains(strings.ReplaceAll(whole, "\r\n", "\n"), "\n\n") {
		return &DocumentError{Line: 1, Problem: "the MIME message has no empty line behind its head", Remedy: "write one before its first part"}
	}
	if _, err := textproto.NewReader(bufio.NewReader(strings.NewReader(whole))).ReadMIMEHeader(); err != nil {
		return &DocumentError{Line: 1, Problem: "the head of the MIME message cannot be read (" + err.Error() + ")",
			Remedy: "write lines like Content-Type: multipart/mixed; boundary=\"x\" and an empty one"}
	}
	first := 1 + strings.Count(text[:strings.Index(text, whole)], "\n")
	return readEntity(strings.Split(strings.ReplaceAll(whole, "\r\n", "\n"), "\n"), first).check(0)
}

// part is a document with its own head. A message is a part as it stands.
func part(kind kind, text string) string {
	if kind == mimeMessage {
		text = strings.TrimLeft(text, " \t\r\n\ufeff")
		if first, rest, _ := strings.Cut(text, "\n"); strings.HasPrefix(strings.ToLower(first), "from ") {
			return rest // the line that parts the messages of a mailbox
		}
		return text
	}
	if plain(text) {
		return fmt.Sprintf("Content-Type: %s; charset=\"us-ascii\"\n\n%s", kind, text)
	}
	return fmt.Sprintf("Content-Type: %s; charset=\"utf-8\"\nContent-Transfer-Encoding: base64\n\n%s", kind, wrapped(text))
}

// plain says whether mail readers leave a text alone: ASCII in lines of at most
// 998 characters (RFC 5322 §2.1.1).
func plain(text string) bool {
	const longest = 998
	for line := range strings.Lines(text) {
		if len(line) > longest || strings.Contains(line, "\r") {
			return false
		}
	}
	return strings.IndexFunc(text, func(r rune) bool { return r > 126 || r < ' ' && r != '\n' && r != '\t' }) < 0
}

// wrapped is a text in base64, in lines of 76 characters (RFC 2045 §6.8).
func wrapped(text string) string {
	const width = 76
	encoded := base64.StdEncoding.EncodeToString([]byte(text))
	var out strings.Builder
	for len(encoded) > width {
		out.WriteString(encoded[:width] + "\n")
		encoded = encoded[width:]
	}
	out.WriteString(encoded)
	return out.String()
}
