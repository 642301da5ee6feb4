package bootstrap

import (
	"bytes"
	"path"
	"slices"

	"go.yaml.in/yaml/v3"
)

// render appends to the lists of the document and writes it. Comments and the
// order of keys stay; where the library cannot write them so that the document
// reads back unchanged, empty values are spelled out, and then all comments go.
func (d *document) render(files []file, commands []string) ([]byte, error) {
	for _, f := range files {
		d.add(writeFiles, fileNode(f))
	}
	for _, c := range commands {
		d.add(runCmd, stringNode(c))
	}
	var out []byte
	var err error
	for _, simplify := range []func(*yaml.Node){func(*yaml.Node) {}, respell, stripComments} {
		simplify(d.root)
		if out, err = d.encode(); err == nil && d.readsBack(out) {
			return out, nil
		}
	}
	problem := "the document would change when it is written again"
	if err != nil {
		problem = "the document cannot be written again (" + err.Error() + ")"
	}
	return nil, &DocumentError{Problem: problem, Remedy: "write it with fewer of YAML's special forms"}
}

// respell writes out what the library makes strings of: in the midst of a line,
// values that are empty, and dates with a colon.
func respell(n *yaml.Node) {
	switch {
	case n.Kind != yaml.ScalarNode || n.Style != 0:
	case n.ShortTag() == "!!null":
		n.Value = "null"
	case n.ShortTag() == "!!timestamp":
		n.Style = yaml.TaggedStyle
	}
	for _, child := range n.Content {
		respell(child)
	}
}

func (d *document) encode() ([]byte, error) {
	var buf bytes.Buffer
	encoder := yaml.NewEncoder(&buf)
	encoder.SetIndent(2)
	if err := encoder.Encode(d.root); err != nil {
		return nil, err
	}
	if err := encoder.Close(); err != nil {
		return nil, err
	}
	return buf.Bytes(), nil
}

func (d *document) readsBack(out []byte) bool {
	again, err := decodeOne(string(out))
	return err == nil && equal(d.root, again)
}

// add appends an item to the list under key, which becomes a list of the
// document's own first: neither another key that shares the list by an anchor
// nor a mapping that is merged in may change with it.
func (d *document) add(key string, item *yaml.Node) {
	mapping := d.mapping()
	mapping.Style &^= yaml.FlowStyle
	at := indexOf(mapping, key)
	if at < 0 {
		mapping.Content = append(mapping.Content, stringNode(key), ownList(find(mapping, key)))
		at = len(mapping.Content) - 2
	}
	value := mapping.Content[at+1]
	switch {
	case value.Kind != yaml.SequenceNode:
		value = ownList(resolve(value))
	case value.Anchor != "":
		expand(d.root, value)
		value.Anchor = ""
	}
	value.Style &^= yaml.FlowStyle
	value.Content = append(value.Content, item)
	mapping.Content[at+1] = value
}

// ownList copies a list; what is not a list has been checked to be empty.
func ownList(n *yaml.Node) *yaml.Node {
	list := &yaml.Node{Kind: yaml.SequenceNode, Tag: "!!seq"}
	if n != nil && n.Kind == yaml.SequenceNode {
		list.Content = copyOf(n).Content
	}
	return list
}

// expand replaces every alias of target by a copy.
func expand(n, target *yaml.Node) {
	if n.Kind == yaml.AliasNode && n.Alias == target {
		*n = *copyOf(target)
		return
	}
	for _, child := range n.Content {
		expand(child, target)
	}
}

// copyOf copies a node, with what its aliases stand for in their places.
func copyOf(n *yaml.Node) *yaml.Node {
	out := *resolve(n)
	out.Anchor = ""
	out.Content = make([]*yaml.Node, len(out.Content))
	for i, child := range resolve(n).Content {
		out.Content[i] = copyOf(child)
	}
	return &out
}

// find gives the value of key in a mapping, mappings that are merged in by <<
// included, or nil. It is never an alias.
func find(mapping *yaml.Node, key string) *yaml.Node {
	if at := indexOf(mapping, key); at >= 0 {
		return resolve(mapping.Content[at+1])
	}
	for i := 0; i+1 < len(mapping.Content); i += 2 {
		if mapping.Content[i].ShortTag() != "!!merge" {
			continue
		}
		source := resolve(mapping.Content[i+1])
		sources := []*yaml.Node{source}
		if source.Kind == yaml.SequenceNode {
			sources = source.Content
		}
		for _, s := range sources {
			if found := find(resolve(s), key); found != nil {
				return found
			}
		}
	}
	return nil
}

// indexOf gives the place of a key that stands in the mapping itself, or -1.
func indexOf(mapping *yaml.Node, key string) int {
	for i := 0; i+1 < len(mapping.Content); i += 2 {
		if k := resolve(mapping.Content[i]); k.Kind == yaml.ScalarNode && k.Value == key {
			return i
		}
	}
	return -1
}

func resolve(n *yaml.Node) *yaml.Node {
	for n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	return n
}

// equal says whether two nodes stand for the same values.
func equal(a, b *yaml.Node) bool {
	a, b = resolve(a), resolve(b)
	return a.Kind == b.Kind && a.ShortTag() == b.ShortTag() && a.Value == b.Value && slices.EqualFunc(a.Content, b.Content, equal)
}

func stripComments(n *yaml.Node) {
	n.HeadComment, n.LineComment, n.FootComment = "", "", ""
	for _, child := range n.Content {
		stripComments(child)
	}
}

func fileNode(f file) *yaml.Node {
	content, permissions := contentNode(f.content), quotedNode("0400")
	return &yaml.Node{Kind: yaml.MappingNode, Tag: "!!map", Content: []*yaml.Node{
		stringNode("path"), stringNode(path.Join(Dir, f.name)),
		stringNode("owner"), stringNode("root"),
		stringNode("permissions"), permissions,
		stringNode("content"), content,
	}}
}

func contentNode(content []byte) *yaml.Node {
	node := quotedNode(string(content))
	if bytes.ContainsRune(content, '\n') {
		node.Style = yaml.LiteralStyle
	}
	return node
}

func stringNode(s string) *yaml.Node {
	return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: s}
}

// quotedNode is a string for YAML 1.1 as well, whatever it looks like.
func quotedNode(s string) *yaml.Node {
	n := stringNode(s)
	n.Style = yaml.DoubleQuotedStyle
	return n
}
