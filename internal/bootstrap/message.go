package bootstrap

import (
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"mime/quotedprintable"
	"regexp"
	"strings"
)

// deepestMessage is how many messages within messages are read.
const deepestMessage = 10

var (
	headerLine = regexp.MustCompile(`^([!-9;-~]+)[ \t]*:[ \t]*(.*)$`)
	// boundaryOf finds a parameter that many write without the quotes it needs.
	boundaryOf = regexp.MustCompile(`(?i);\s*boundary\s*=\s*(?:"([^"]*)"|([^;\s]*))`)
)

// entity is a MIME message, or a part of one.
type entity struct {
	head map[string]string // by names in small letters
	body []string          // lines, without their ends
	// line of the document is the entity's first, bodyLine its body's, from 1; 0
	// where they are not known.
	line, bodyLine int
}

// readEntity reads as mail programs do: what is no header begins the body.
func readEntity(lines []string, line int) entity {
	e := entity{head: map[string]string{}, line: line}
	last, at := "", 0
	for ; at < len(lines); at++ {
		text := lines[at]
		found := headerLine.FindStringSubmatch(text)
		switch folded := strings.HasPrefix(text, " ") || strings.HasPrefix(text, "\t"); {
		case folded && last != "" && strings.TrimSpace(text) != "":
			e.head[last] += " " + strings.TrimSpace(text)
			continue
		case found != nil:
			last = strings.ToLower(found[1])
			e.head[last] = strings.TrimSpace(found[2])
			continue
		case text == "":
			at++
		}
		break
	}
	at = min(at, len(lines))
	e.body = lines[at:]
	if line > 0 {
		e.bodyLine = line + at
	}
	return e
}

// kind is the media type, in small letters; empty where there is none.
func (e entity) kind() string {
	kind, _, _ := strings.Cut(e.head["content-type"], ";")
	return strings.ToLower(strings.TrimSpace(kind))
}

// check refuses messages of which cloud-init would apply nothing, or whose
// cloud-config would cost the cell its agent.
func (e entity) check(depth int) error {
	switch {
	case strings.HasPrefix(e.kind(), "multipart/"):
		return e.checkParts(depth)
	case depth == 0:
		return nil // the whole document is one part of another kind
	}
	text, encoded := e.text()
	if e.kind() != string(cloudConfig) && (e.kind() != "" && e.kind() != "text/plain" || !strings.HasPrefix(strings.ToLower(text), header)) {
		return nil
	}
	_, err := parse(text)
	problem := (*DocumentError)(nil)
	if !errors.As(err, &problem) {
		return err
	}
	problem.Problem = "cloud-config in a part of the MIME message: " + problem.Problem
	switch {
	case encoded, e.line == 0:
		problem.Line, problem.Column = e.line, 0
	case problem.Line > 0:
		problem.Line += e.bodyLine - 1
	default:
		problem.Line = e.line
	}
	return problem
}

func (e entity) checkParts(depth int) error {
	if depth == deepestMessage {
		return &DocumentError{Line: e.line, Problem: fmt.Sprintf("MIME messages are within each other more than %d deep", deepestMessage), Remedy: "write one message with all parts"}
	}
	found := boundaryOf.FindStringSubmatch(e.head["content-type"])
	if found == nil || found[1]+found[2] == "" {
		return &DocumentError{Line: e.line, Problem: "the MIME message is " + e.kind() + " without a boundary, so that nothing of it would be applied",
			Remedy: `name what its parts begin with: Content-Type: multipart/mixed; boundary="x"`}
	}
	parts := e.parts("--" + strings.TrimRight(found[1]+found[2], " \t"))
	if len(parts) == 0 {
		return &DocumentError{Line: e.line, Problem: "the MIME message has no part with anything in it, so that nothing of it would be applied",
			Remedy: "begin each with a line of -- and the boundary that its head names"}
	}
	for _, part := range parts {
		if err := part.check(depth + 1); err != nil {
			return err
		}
	}
	return nil
}

// parts are those that are not empty; a missing last boundary is no harm.
func (e entity) parts(boundary string) []entity {
	var out []entity
	begun := -1
	end := func(at int) {
		if begun < 0 {
			return
		}
		line := 0
		if e.bodyLine > 0 {
			line = e.bodyLine + begun
		}
		if part := readEntity(e.body[begun:at], line); strings.TrimSpace(strings.Join(part.body, "")) != "" {
			out = append(out, part)
		}
	}
	for i, text := range e.body {
		switch strings.TrimRight(text, " \t") {
		case boundary:
			end(i)
			begun = i + 1
		case boundary + "--":
			end(i)
			return out
		}
	}
	end(len(e.body))
	return out
}

// text is the body as cloud-init takes it, and whether lines in it are others
// than in the document. What cannot be decoded is taken as it is.
func (e entity) text() (text string, encoded bool) {
	text = strings.Join(e.body, "\n")
	var decoder io.Reader
	switch strings.ToLower(e.head["content-transfer-encoding"]) {
	case "base64":
		decoder = base64.NewDecoder(base64.StdEncoding, strings.NewReader(text))
	case "quoted-printable":
		decoder = quotedprintable.NewReader(strings.NewReader(text))
	default:
		return text, false
	}
	decoded, err := io.ReadAll(decoder)
	if err != nil {
		return text, false
	}
	return string(decoded), true
}
