package main

import (
	"fmt"
	"io"
	"reflect"
	"strings"
)

const head = `# Which fields of a pod are honoured

<!-- Made by hack/podsupport ("make generate"): do not edit. -->

Every field of a pod's spec that the API knows, as the code answers that refuses pods (` + "`internal/podsupport`, `internal/podspec`" + `). A pod with
a refused field stays Pending with reason ` + "`UnsupportedField`" + ` and the field's path, and nothing is launched for it; what only the cell can tell, its
agent refuses. Nothing is dropped silently. "yes" is what a kubelet does with the field, or what others than a kubelet do with it; a field or
value that is new in the API is refused until somebody has thought about it. A row stands for all that is below its fields.
`

const headOld = `
## Agents of the first Kip

Those of the generations 1.1 and 1.2. They also refuse some values and combinations, which a table of fields cannot show: [old-agents.md](old-agents.md).
`

const tableHead = `
| field of ` + "`spec`" + ` | honoured |
|---|---|
`

// render writes the tables of both kinds of agents.
func render(out io.Writer, tree *node) {
	fmt.Fprint(out, head, tableHead)
	(&table{out, func(n *node) verdict { return n.ours }, map[reflect.Type]*node{}}).rows(tree)
	fmt.Fprint(out, headOld, tableHead)
	(&table{out, func(n *node) verdict { return n.old }, map[reflect.Type]*node{}}).rows(tree)
}

// table shows the fields of a struct once, wherever the same is true of them.
type table struct {
	out   io.Writer
	of    func(*node) verdict
	shown map[reflect.Type]*node
}

// rows shows a node whose fields are not alike: first what is true of whole fields, then what is below the others.
func (t *table) rows(n *node) {
	if t.shown[n.of] == nil {
		t.shown[n.of] = n
	}
	var order []verdict
	together := map[verdict][]string{}
	var others []*node
	for _, child := range n.children {
		one, whole := t.whole(child)
		if !whole {
			others = append(others, child)
			continue
		}
		if together[one] == nil {
			order = append(order, one)
		}
		together[one] = append(together[one], "`"+child.name+"`")
	}
	for _, one := range order {
		fmt.Fprintf(t.out, "| %s%s | %s |\n", prefix(n), strings.Join(together[one], ", "), one)
	}
	for _, child := range others {
		if like := t.like(child); like != nil {
			fmt.Fprintf(t.out, "| `%s` | as `%s` |\n", child.path(), like.path())
			continue
		}
		t.rows(child)
	}
}

func prefix(n *node) string {
	if n.path() == "" {
		return ""
	}
	return "`" + n.path() + "`: "
}

// whole is what is true of every field below a node.
func (t *table) whole(n *node) (verdict, bool) {
	leaves := n.leaves()
	for _, leaf := range leaves {
		if t.of(leaf) != t.of(leaves[0]) {
			return "", false
		}
	}
	return t.of(leaves[0]), true
}

// like is a node of the same type that has been shown and whose fields are honoured alike; nil: there is none.
func (t *table) like(n *node) *node {
	other := t.shown[n.of]
	if other == nil {
		return nil
	}
	as, bs := n.leaves(), other.leaves()
	for i := range as {
		if t.of(as[i]) != t.of(bs[i]) {
			return nil
		}
	}
	return other
}
