package podsupport

import (
	"reflect"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation/field"
)

// take answers a field's value and clears the field.
func take[T any](from *T) T {
	var zero T
	value := *from
	*from = zero
	return value
}

// forget clears an optional field that only states the default.
func forget[T comparable](optional **T, def T) {
	if *optional != nil && **optional == def {
		*optional = nil
	}
}

// oneOf refuses a value that is not among the allowed ones.
func oneOf[T ~string](c *checker, path *field.Path, value T, allowed ...T) {
	if slices.Contains(allowed, value) {
		return
	}
	allowed = slices.DeleteFunc(allowed, func(v T) bool { return v == "" })
	c.add(field.NotSupported(path, value, allowed))
}

// leftovers refuses every field of a struct that still has a value. It looks
// one level deep: what is understood in part has been taken apart before.
func (c *checker) leftovers(pointer any, path *field.Path) {
	c.leftoverFields(reflect.ValueOf(pointer).Elem(), path)
}

func (c *checker) leftoverFields(value reflect.Value, path *field.Path) {
	for i := range value.NumField() {
		member := value.Type().Field(i)
		switch name := jsonName(member); {
		case member.Anonymous && name == "":
			c.leftoverFields(value.Field(i), path)
		case !isEmpty(value.Field(i)):
			c.add(field.Forbidden(path.Child(name), strings.Join(strings.Fields("agent "+c.agent.Agent+" "+c.agent.Version), " ")+" cannot honour this field"))
		}
	}
}

func jsonName(member reflect.StructField) string {
	name, _, _ := strings.Cut(member.Tag.Get("json"), ",")
	return name
}

func isEmpty(value reflect.Value) bool {
	switch value.Kind() {
	case reflect.Slice, reflect.Map:
		return value.Len() == 0
	default:
		return value.IsZero()
	}
}
