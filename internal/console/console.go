// Package console makes of what an instance has printed a text that can be
// shown: its last lines, without control characters and without what may be
// secret.
package console

import (
	"bytes"
	"regexp"
	"strings"
	"unicode/utf8"
)

// Redacted stands for what may be a secret.
const Redacted = "[redacted]"

// maxInput is how much of the output is looked at: more than EC2 keeps.
const maxInput = 64 << 10

var (
	// escapes are sequences for a terminal (ECMA-48: CSI, OSC, two-character ones).
	escapes = regexp.MustCompile(`\x1b(\[[0-9;?]*[ -/]*[@-~]|\][^\x07\x1b]*(\x07|\x1b\\)?|[ -/]*[0-~])`)
	// keys are PEM blocks, also those that are cut off at their beginning or end.
	keys = regexp.MustCompile(`(?s)-----BEGIN [A-Z0-9 ]+-----.*?(-----END [A-Z0-9 ]+-----|\z)`)
	cut  = regexp.MustCompile(`(?s)\A.*?-----END [A-Z0-9 ]+-----`)
	// blobs are what keys, tokens and encoded files look like: base64 or
	// hexadecimal of 30 bytes and more, but for paths, which have many slashes.
	blobs = regexp.MustCompile(`[A-Za-z0-9+/_-]{40,}={0,2}`)
	// named are values that are called secret.
	named = regexp.MustCompile(`(?i)((?:password|passwd|passphrase|secret|token|credential|api[-_]?key|access[-_]?key(?:[-_]?id)?|private[-_]?key|authorization|bearer)s?["']?\s*[:=]\s*)("[^"\n]*"|'[^'\n]*'|[^\n]+)`)
	// accessKeys are the IDs of AWS access keys.
	accessKeys = regexp.MustCompile(`\b(AKIA|ASIA)[A-Z0-9]{16}\b`)
	// logins are in URLs, before the host.
	logins = regexp.MustCompile(`(://)[^/\s:@]+:[^/\s@]+@`)
)

// Tail gives the last whole lines of an output that fit into so many bytes, of
// the last line its end where that alone is longer. Empty lines are left out.
// What is in the output and looks like a secret is replaced by Redacted.
func Tail(output []byte, most int) string {
	text := clean(output)
	lines := strings.FieldsFunc(text, func(r rune) bool { return r == '\n' })
	kept, size := len(lines), 0
	for kept > 0 && size+len(lines[kept-1])+1 <= most+1 {
		kept--
		size += len(lines[kept]) + 1
	}
	if kept == len(lines) && kept > 0 {
		return end(lines[kept-1], most)
	}
	return strings.Join(lines[kept:], "\n")
}

// end is the end of a text, of whole characters.
func end(text string, most int) string {
	text = text[len(text)-max(0, most):]
	for len(text) > 0 && !utf8.RuneStart(text[0]) {
		text = text[1:]
	}
	return text
}

// clean gives the output as lines of printable text, without secrets.
func clean(output []byte) string {
	truncated := len(output) > maxInput
	if truncated {
		output = output[len(output)-maxInput:]
	}
	if truncated { // the first line may be the end of a secret
		if _, rest, found := bytes.Cut(output, []byte("\n")); found {
			output = rest
		}
	}
	text := escapes.ReplaceAllString(strings.ToValidUTF8(string(output), "�"), "")
	text = strings.Map(printable, strings.ReplaceAll(text, "\r\n", "\n"))
	text = cutOff(keys.ReplaceAllString(text, Redacted))
	for _, secret := range []*regexp.Regexp{named, logins} {
		text = secret.ReplaceAllString(text, "${1}"+Redacted)
	}
	text = accessKeys.ReplaceAllString(text, Redacted)
	text = blobs.ReplaceAllStringFunc(text, hide)
	var lines []string
	for line := range strings.Lines(text) {
		if line = strings.TrimRight(line, " \t\n"); line != "" {
			lines = append(lines, line)
		}
	}
	return strings.Join(lines, "\n")
}

// cutOff hides what comes before the end of a PEM block whose beginning is not there.
func cutOff(text string) string { return cut.ReplaceAllString(text, Redacted) }

// hide leaves what is rather a path: an encoded key has a slash in one of 64.
func hide(blob string) string {
	if strings.HasPrefix(blob, "/") && strings.Count(blob, "/")*10 >= len(blob) {
		return blob
	}
	return Redacted
}

// printable leaves tabs and ends of lines, and drops all other controls.
func printable(r rune) rune {
	switch {
	case r == '\n', r == '\t':
		return r
	case r == '\r':
		return '\n'
	case r < ' ', r >= 0x7f && r <= 0x9f, r == '\u2028', r == '\u2029', r >= '\u202a' && r <= '\u202e', r >= '\u2066' && r <= '\u2069':
		return -1
	}
	return r
}
