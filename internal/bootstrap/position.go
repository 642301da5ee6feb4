package bootstrap

import (
	"errors"
	"io"
	"regexp"
	"strconv"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"
)

// mostLookedAt bounds, in bytes, what is parsed again to find where a document
// goes wrong.
const mostLookedAt = 512 << 10

// lineOf matches the two forms in which the YAML library tells a line.
var lineOf = regexp.MustCompile(`(?m)^(?:yaml:|) *line (\d+): (.*)$`)

// anchorOf finds the name in what the library says of anchors.
var anchorOf = regexp.MustCompile(`anchor '([^']+)'`)

// problemOf parts what the library says into the problem and the line, if any.
func problemOf(err error) (problem string, line int) {
	if found := lineOf.FindStringSubmatch(err.Error()); found != nil {
		line, _ = strconv.Atoi(found[1])
		return found[2], line
	}
	return strings.TrimPrefix(err.Error(), "yaml: "), 0
}

// syntaxProblem is what the library says of the first document of a text,
// without the line; empty where it can be read.
func syntaxProblem(text string) string {
	err := yaml.NewDecoder(strings.NewReader(text)).Decode(&yaml.Node{})
	if err == nil || errors.Is(err, io.EOF) {
		return ""
	}
	problem, _ := problemOf(err)
	return problem
}

// byteReader gives one byte at a time, so that nothing is read ahead.
type byteReader struct{ io.Reader }

func (r byteReader) Read(p []byte) (int, error) { return r.Reader.Read(p[:min(len(p), 1)]) }

// readUntilProblem is how many bytes of a text are read before its problem shows.
func readUntilProblem(text string) int {
	in := strings.NewReader(text)
	_ = yaml.NewDecoder(byteReader{in}).Decode(&yaml.Node{})
	return len(text) - in.Len()
}

// locate finds where a text begins to have the problem, as line and column,
// both counted from 1; zeros where that would take too long. The library tells
// no column, and in place of the problem's line that of what is around it, if
// any: so the text is cut, from where the library stopped reading, for as long
// as the problem stays, first line by line, then character by character.
func locate(text, problem string) (line, column int) {
	left := mostLookedAt
	stays := func(end int) bool {
		left -= end
		return left > 0 && syntaxProblem(text[:end]) == problem
	}
	end := readUntilProblem(text)
	for end > 0 {
		start := strings.LastIndexByte(text[:end-1], '\n') + 1
		if !stays(start) {
			break
		}
		end = start
	}
	for end > 0 {
		_, size := utf8.DecodeLastRuneInString(text[:end])
		if !stays(end - size) {
			break
		}
		end -= size
	}
	if left <= 0 || end == 0 {
		return 0, 0
	}
	last := text[:end]
	if name := anchorOf.FindStringSubmatch(problem); name != nil {
		last = strings.TrimSuffix(last, name[1]) // to the character before it, *
	}
	start := strings.LastIndexByte(last[:len(last)-1], '\n') + 1
	return 1 + strings.Count(last[:start], "\n"), utf8.RuneCountInString(last[start:])
}

// selfReference finds the alias by which an anchor contains itself.
func selfReference(n *yaml.Node, name string) *yaml.Node {
	if n.Kind == yaml.AliasNode && n.Value == name {
		return n
	}
	for _, child := range n.Content {
		if found := selfReference(child, name); found != nil {
			return found
		}
	}
	return nil
}
