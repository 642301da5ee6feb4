// Package query decodes the parameters of AWS's query protocol, in which
// structure is spelled in names: Filter.1.Value.2=x is the second value of the
// first filter.
//
// Values are read by name; what was read is remembered, so that a parameter
// nobody read can be refused instead of being silently dropped.
package query

import (
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"kip.elotl.co/hack/localaws/awserr"
)

const (
	maxDepth  = 12
	maxFields = 20_000
)

// Params is one structure of a call's parameters: the whole call, or a member.
// The zero value has no members.
type Params struct {
	node *node
	path string
	errs *sink
}

type node struct {
	value    *string
	children map[string]*node
	read     bool
}

// sink keeps the first error met while reading, so that an action can read
// everything and ask once.
type sink struct{ first error }

func (s *sink) add(err error) {
	if s.first == nil {
		s.first = err
	}
}

// Parse builds Params from decoded form values. It refuses a name that occurs
// twice, an empty name part, and a name that is both a value and a structure.
func Parse(values url.Values) (Params, error) {
	if len(values) > maxFields {
		return Params{}, awserr.New("MalformedQueryString", "The query string has more than %d parameters", maxFields)
	}
	root := &node{}
	for _, name := range slices.Sorted(maps.Keys(values)) {
		if len(values[name]) != 1 {
			return Params{}, awserr.New("InvalidQueryParameter", "The parameter %s occurs more than once", name)
		}
		if err := root.insert(name, values[name][0]); err != nil {
			return Params{}, err
		}
	}
	return Params{node: root, errs: &sink{}}, nil
}

func (n *node) insert(name, value string) error {
	parts := strings.Split(name, ".")
	if len(parts) > maxDepth {
		return awserr.New("MalformedQueryString", "The parameter %s is nested too deeply", name)
	}
	for _, part := range parts {
		if part == "" {
			return awserr.New("MalformedQueryString", "The parameter name %q has an empty part", name)
		}
		if n.value != nil {
			return awserr.New("MalformedQueryString", "The parameter %s is both a value and a structure", name)
		}
		next := n.children[part]
		if next == nil {
			next = &node{}
			if n.children == nil {
				n.children = map[string]*node{}
			}
			n.children[part] = next
		}
		n = next
	}
	if n.children != nil {
		return awserr.New("MalformedQueryString", "The parameter %s is both a value and a structure", name)
	}
	n.value = &value
	return nil
}

func (p Params) child(name string) *node {
	if p.node == nil {
		return nil
	}
	return p.node.children[name]
}

func (p Params) pathOf(name string) string {
	if p.path == "" {
		return name
	}
	return p.path + "." + name
}

// Lookup reads a value and says whether it was given.
func (p Params) Lookup(name string) (string, bool) {
	n := p.child(name)
	if n == nil {
		return "", false
	}
	if n.value == nil {
		p.errs.add(awserr.New("InvalidParameterValue", "The parameter %s is a structure where a value is expected", p.pathOf(name)))
		n.markAll()
		return "", false
	}
	n.read = true
	return *n.value, true
}

// String reads a value; "" when absent.
func (p Params) String(name string) string {
	s, _ := p.Lookup(name)
	return s
}

// Required reads a value that must be there and not empty.
func (p Params) Required(name string) string {
	s := p.String(name)
	if s == "" && p.errs != nil {
		p.errs.add(awserr.New("MissingParameter", "The request must contain the parameter %s", p.pathOf(name)))
	}
	return s
}

// Int reads a decimal integer; nil when absent.
func (p Params) Int(name string) *int {
	s, ok := p.Lookup(name)
	if !ok {
		return nil
	}
	v, err := strconv.ParseInt(s, 10, 32)
	if err != nil {
		p.errs.add(awserr.New("InvalidParameterValue", "Invalid value '%s' for %s. Value must be an integer.", s, p.pathOf(name)))
		return nil
	}
	i := int(v)
	return &i
}

// Bool reads true or false; nil when absent.
func (p Params) Bool(name string) *bool {
	s, ok := p.Lookup(name)
	if !ok {
		return nil
	}
	switch strings.ToLower(s) {
	case "true":
		return new(true)
	case "false":
		return new(false)
	}
	p.errs.add(awserr.New("InvalidParameterValue", "Invalid value '%s' for %s. Value must be true or false.", s, p.pathOf(name)))
	return nil
}

// OneOf reads a value that must be one of allowed; "" when absent.
func (p Params) OneOf(name string, allowed ...string) string {
	s, ok := p.Lookup(name)
	if ok && !slices.Contains(allowed, s) {
		p.errs.add(awserr.New("InvalidParameterValue", "Invalid value '%s' for %s. Valid values are %s.",
			s, p.pathOf(name), strings.Join(allowed, ", ")))
		return ""
	}
	return s
}

// Struct reads the member name.*; ok is false when nothing of it was given.
func (p Params) Struct(name string) (member Params, ok bool) {
	n := p.child(name)
	if n == nil {
		return Params{errs: p.errs}, false
	}
	if n.value != nil {
		n.read = true
		p.errs.add(awserr.New("InvalidParameterValue", "The parameter %s is a value where a structure is expected", p.pathOf(name)))
		return Params{errs: p.errs}, false
	}
	return Params{node: n, path: p.pathOf(name), errs: p.errs}, true
}

// Strings reads the values name.1, name.2, … in the order of their numbers.
// Numbers may have gaps.
func (p Params) Strings(name string) []string {
	list, _ := p.Struct(name)
	var out []string
	for _, i := range list.indices() {
		if v, ok := list.Lookup(strconv.Itoa(i)); ok {
			out = append(out, v)
		}
	}
	return out
}

// Structs reads the structures name.1.*, name.2.*, … in the order of their
// numbers.
func (p Params) Structs(name string) []Params {
	list, _ := p.Struct(name)
	var out []Params
	for _, i := range list.indices() {
		if v, ok := list.Struct(strconv.Itoa(i)); ok {
			out = append(out, v)
		}
	}
	return out
}

func (p Params) indices() []int {
	if p.node == nil {
		return nil
	}
	var out []int
	for name := range p.node.children {
		i, err := strconv.Atoi(name)
		if err != nil || i < 1 || strconv.Itoa(i) != name {
			p.errs.add(awserr.New("MalformedQueryString", "%s is not a number from 1 in the parameter %s", name, p.pathOf(name)))
			p.node.children[name].markAll()
			continue
		}
		out = append(out, i)
	}
	slices.Sort(out)
	return out
}

// Err is the first error that reading met: a bad value, or a required
// parameter missing.
func (p Params) Err() error {
	if p.errs == nil {
		return nil
	}
	return p.errs.first
}

// Finish is Err, and an UnknownParameter error when a parameter was given that
// nobody read.
func (p Params) Finish() error {
	if err := p.Err(); err != nil {
		return err
	}
	if name := p.node.unread(""); name != "" {
		return awserr.New("UnknownParameter", "The parameter %s is not recognized", name)
	}
	return nil
}

func (n *node) unread(path string) string {
	if n == nil {
		return ""
	}
	if n.value != nil && !n.read {
		return path
	}
	for _, name := range slices.Sorted(maps.Keys(n.children)) {
		below := name
		if path != "" {
			below = path + "." + name
		}
		if found := n.children[name].unread(below); found != "" {
			return found
		}
	}
	return ""
}

func (n *node) markAll() {
	n.read = true
	for _, c := range n.children {
		c.markAll()
	}
}
