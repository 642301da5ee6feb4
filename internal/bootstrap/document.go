package bootstrap

import (
	"errors"
	"fmt"
	"io"
	"path"
	"strings"

	"go.yaml.in/yaml/v3"
)

const (
	writeFiles = "write_files"
	runCmd     = "runcmd"
)

// DocumentError says what is wrong with a user's cloud-init document. It
// quotes keys and paths of the document, never contents.
type DocumentError struct {
	// Line and Column are counted from 1, in characters; 0 where they are not
	// known.
	Line, Column int
	// Problem says what is wrong, Remedy what would be right.
	Problem, Remedy string
}

// Error gives position, problem and remedy, below the name of the class's field.
func (e *DocumentError) Error() string { return "cloudInit: " + e.Text() }

// Text is the error without the name of a field.
func (e *DocumentError) Text() string {
	at := ""
	if e.Line > 0 {
		at = fmt.Sprintf("line %d: ", e.Line)
	}
	if e.Line > 0 && e.Column > 0 {
		at = fmt.Sprintf("line %d, column %d: ", e.Line, e.Column)
	}
	return at + e.Problem + ": " + e.Remedy
}

// Validate says whether a cell can be booted with the document: nil, or a
// *DocumentError. It does not see whether the rendered document is too large,
// and not into documents that are not cloud-config.
func Validate(cloudInit string) error {
	kind := kindOf(cloudInit)
	if kind != cloudConfig {
		return checkPart(kind, cloudInit)
	}
	doc, err := parse(cloudInit)
	if err != nil {
		return err
	}
	_, err = doc.render([]file{{name: nameCA}}, []string{":"})
	return err
}

// document is a user's cloud-config document that can be added to.
type document struct {
	root *yaml.Node // of kind DocumentNode, around a mapping
}

func (d *document) mapping() *yaml.Node { return d.root.Content[0] }

// parse runs the checks in the order in which a reader of the document would
// want to hear of them.
func parse(text string) (*document, error) {
	root, err := decodeOne(dropHeader(text))
	if err != nil {
		return nil, err
	}
	doc := &document{root: root}
	for _, check := range []func() error{doc.checkMapping, doc.checkValues, doc.checkScalars, doc.checkFiles, doc.checkCommands} {
		if err := check(); err != nil {
			return nil, err
		}
	}
	return doc, nil
}

// dropHeader empties the header's line; the numbers of the others stay.
func dropHeader(text string) string {
	text = strings.TrimPrefix(text, "\ufeff")
	start := len(text) - len(strings.TrimLeft(text, " \t\r\n"))
	if !strings.HasPrefix(strings.ToLower(text[start:]), header) {
		return text
	}
	end := strings.IndexByte(text[start:], '\n')
	if end < 0 {
		return ""
	}
	return strings.Repeat("\n", strings.Count(text[:start], "\n")) + text[start+end:]
}

// decodeOne reads the only document of a YAML stream; an empty one becomes an
// empty mapping.
func decodeOne(text string) (*yaml.Node, error) {
	empty := &yaml.Node{Kind: yaml.DocumentNode, Content: []*yaml.Node{{Kind: yaml.MappingNode, Tag: "!!map"}}}
	decoder := yaml.NewDecoder(strings.NewReader(text))
	root := &yaml.Node{}
	if err := decoder.Decode(root); errors.Is(err, io.EOF) {
		return empty, nil
	} else if err != nil {
		return nil, syntaxError(text, err)
	}
	if !errors.Is(decoder.Decode(&yaml.Node{}), io.EOF) {
		return nil, &DocumentError{Line: secondDocument(text, root), Problem: "a second YAML document begins", Remedy: "leave one document, without --- between its parts"}
	}
	if body := root.Content[0]; body.Kind == yaml.ScalarNode && body.ShortTag() == "!!null" {
		return empty, nil
	}
	return root, nil
}

// readable is what a document that is no YAML should be.
const readable = "the document must be YAML that can be read without guessing"

// syntaxError says where, as the library does where that takes too long to find.
func syntaxError(text string, err error) *DocumentError {
	problem, said := problemOf(err)
	line, column := locate(text, problem)
	if line == 0 {
		line = said
	}
	return &DocumentError{Line: line, Column: column, Problem: problem, Remedy: readable}
}

// secondDocument finds the line of the mark that begins it.
func secondDocument(text string, first *yaml.Node) int {
	for i, line := range strings.Split(text, "\n") {
		if i >= first.Content[0].Line && strings.HasPrefix(line, "---") {
			return i + 1
		}
	}
	return 0
}

func (d *document) checkMapping() error {
	if body := d.mapping(); body.Kind != yaml.MappingNode {
		return &DocumentError{Line: body.Line, Column: body.Column, Problem: "the document is " + describe(body), Remedy: "it must be a mapping of cloud-config's keys, such as runcmd"}
	}
	return nil
}

// checkValues finds what only shows when values are made: keys given twice,
// anchors that contain themselves, aliases that expand without bound.
func (d *document) checkValues() error {
	var discard any
	if err := d.root.Decode(&discard); err != nil {
		return d.valueError(err)
	}
	return nil
}

func (d *document) valueError(err error) *DocumentError {
	problem, line := problemOf(err)
	out := &DocumentError{Line: line, Problem: problem, Remedy: readable}
	if name := anchorOf.FindStringSubmatch(out.Problem); name != nil {
		if alias := selfReference(d.root, name[1]); alias != nil {
			out.Line, out.Column = alias.Line, alias.Column
		}
	}
	return out
}

// checkFiles refuses what makes cloud-init drop the whole of write_files, and
// with it the cell's certificates.
func (d *document) checkFiles() error {
	list, err := d.checkList(writeFiles)
	if err != nil {
		return err
	}
	for i, item := range list {
		item = resolve(item)
		if item.Kind != yaml.MappingNode {
			return &DocumentError{Line: item.Line, Column: item.Column, Problem: fmt.Sprintf("%s[%d] is %s", writeFiles, i, describe(item)), Remedy: "it must be a mapping with path and content"}
		}
		if err := checkFile(i, item); err != nil {
			return err
		}
		target := find(item, "path")
		if target == nil {
			continue
		}
		if p := path.Join("/", target.Value); p == Dir || strings.HasPrefix(p, Dir+"/") {
			return &DocumentError{Line: target.Line, Column: target.Column, Problem: fmt.Sprintf("%s[%d] writes %s", writeFiles, i, target.Value), Remedy: "everything in " + Dir + " belongs to the cell's agent; choose another path"}
		}
	}
	return nil
}

// checkFile refuses what cloud-init fails at: it needs strings, and goes on
// without a path, an owner and an encoding, but not without content.
func checkFile(i int, item *yaml.Node) error {
	for _, key := range []string{"path", "content", "encoding", "owner"} {
		value := find(item, key)
		if value == nil {
			continue
		}
		switch tag := tag11(value); {
		case value.Kind == yaml.ScalarNode && tag == "!!str",
			tag == "!!binary" && key == "content", tag == "!!null" && key != "content":
			continue
		}
		return &DocumentError{Line: value.Line, Column: value.Column, Problem: fmt.Sprintf("%s[%d].%s is %s", writeFiles, i, key, describe(value)),
			Remedy: "it must be a string; " + quoteIt}
	}
	if mode := find(item, "permissions"); mode != nil && tag11(mode) == "!!float" {
		return &DocumentError{Line: mode.Line, Column: mode.Column, Problem: fmt.Sprintf("%s[%d].permissions is a number with a point", writeFiles, i),
			Remedy: `it must be octal digits in quotes, such as "0644"`}
	}
	return nil
}

// quoteIt explains what looks like a string, and is none.
const quoteIt = "quote it: cloud-init reads YAML 1.1, where a plain yes, no, on, off or 12:30 is none"

// checkCommands refuses what makes cloud-init drop the whole of runcmd, and
// with it the start of the agent.
func (d *document) checkCommands() error {
	list, err := d.checkList(runCmd)
	if err != nil {
		return err
	}
	for i, item := range list {
		item = resolve(item)
		tag := tag11(item)
		if item.Kind == yaml.SequenceNode || (item.Kind == yaml.ScalarNode && (tag == "!!str" || tag == "!!null")) {
			continue
		}
		remedy := "it must be a string or a list of strings; "
		if item.Kind == yaml.MappingNode {
			remedy += "a command with a colon and a blank in it needs quotes"
		} else {
			remedy += quoteIt
		}
		return &DocumentError{Line: item.Line, Column: item.Column, Problem: fmt.Sprintf("%s[%d] is %s", runCmd, i, describe(item)), Remedy: remedy}
	}
	return nil
}

// checkList gives the items of the list under key; none where there is no key.
func (d *document) checkList(key string) ([]*yaml.Node, error) {
	value := find(d.mapping(), key)
	if value == nil || tag11(value) == "!!null" {
		return nil, nil
	}
	if value.Kind != yaml.SequenceNode {
		return nil, &DocumentError{Line: value.Line, Column: value.Column, Problem: key + " is " + describe(value), Remedy: "it must be a list"}
	}
	return value.Content, nil
}

func describe(n *yaml.Node) string {
	switch n.Kind {
	case yaml.MappingNode:
		return "a mapping"
	case yaml.SequenceNode:
		return "a list"
	}
	switch tag := tag11(n); tag {
	case "!!str":
		return "a string"
	case "!!int", "!!float":
		return "a number"
	case "!!bool":
		return "a boolean"
	case "!!null":
		return "empty"
	default:
		return "of type " + tag
	}
}
