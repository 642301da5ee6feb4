package main

import (
	"reflect"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
)

// node is a field of the pod's spec. It has children, or values were tried.
type node struct {
	// name has "[]" behind it where there can be several.
	name  string
	index []int // of the field below its parent's struct
	// of is the struct behind pointers and slices; the field's own type where there is none.
	of       reflect.Type
	parent   *node
	children []*node
	ours     verdict
	old      verdict
}

// newTree has a node for each field below a struct.
func newTree(parent *node) []*node {
	var all []*node
	for _, member := range reflect.VisibleFields(parent.of) {
		name, _, _ := strings.Cut(member.Tag.Get("json"), ",")
		if name == "" || !member.IsExported() {
			continue // its fields are members, too
		}
		n := &node{name: name, index: member.Index, of: member.Type, parent: parent}
		if n.of.Kind() == reflect.Pointer {
			n.of = n.of.Elem()
		}
		if n.of.Kind() == reflect.Slice && n.of.Elem().Kind() == reflect.Struct {
			n.of, n.name = n.of.Elem(), name+"[]"
		}
		if n.of.Kind() == reflect.Struct && scalars()[n.of] == nil {
			n.children = newTree(n)
		}
		all = append(all, n)
	}
	return all
}

// root is spec itself, with containers before what is like them.
func root() *node {
	spec := &node{name: "spec", of: reflect.TypeFor[corev1.PodSpec]()}
	spec.children = newTree(spec)
	first := func(n *node) int {
		if n.name == "containers[]" {
			return 0
		}
		return 1
	}
	slices.SortStableFunc(spec.children, func(a, b *node) int { return first(a) - first(b) })
	return spec
}

// path is as in the documentation of the API: without "spec".
func (n *node) path() string {
	if n.parent == nil {
		return ""
	}
	return strings.TrimPrefix(n.parent.path()+"."+n.name, ".")
}

// errorPath is the field's in a refusal.
func (n *node) errorPath() string {
	return "spec." + strings.ReplaceAll(n.path(), "[]", "[0]")
}

// in finds the field in a pod, and makes what is on the way.
func (n *node) in(pod *corev1.Pod) reflect.Value {
	if n.parent == nil {
		return reflect.ValueOf(&pod.Spec).Elem()
	}
	return structIn(n.parent.in(pod)).FieldByIndex(n.index)
}

func structIn(value reflect.Value) reflect.Value {
	switch value.Kind() {
	case reflect.Pointer:
		if value.IsNil() {
			value.Set(reflect.New(value.Type().Elem()))
		}
		return structIn(value.Elem())
	case reflect.Slice:
		if value.Len() == 0 {
			value.Set(reflect.MakeSlice(value.Type(), 1, 1))
		}
		return structIn(value.Index(0))
	}
	return value
}

func (n *node) leaves() []*node {
	if len(n.children) == 0 {
		return []*node{n}
	}
	var all []*node
	for _, child := range n.children {
		all = append(all, child.leaves()...)
	}
	return all
}
