package podfields

import (
	"errors"
	"fmt"
	"maps"
	"slices"

	corev1 "k8s.io/api/core/v1"
)

// Surroundings are what the environments of a pod's containers are made of.
type Surroundings struct {
	Pod *corev1.Pod
	// ConfigMaps and Secrets are what the environments refer to; what does not
	// exist is not there.
	ConfigMaps map[string]map[string]string
	Secrets    map[string]map[string][]byte
	// Services are the variables of services.
	Services  map[string]string
	Addresses Addresses
	Cell      Cell
}

// String says nothing of the values.
func (Surroundings) String() string { return "what environments are made of" }

// GoString says nothing of the values.
func (s Surroundings) GoString() string { return s.String() }

// Environment makes the variables of a container as the kubelet does, and gives
// them by name as well. Its errors name objects and keys, never values.
func (s *Surroundings) Environment(container *corev1.Container) ([]corev1.EnvVar, map[string]string, error) {
	e := &environment{Surroundings: s, container: container, values: maps.Clone(s.Services), own: map[string]bool{}}
	if e.values == nil {
		e.values = map[string]string{}
	}
	for i := range container.EnvFrom {
		if err := e.from(&container.EnvFrom[i]); err != nil {
			return nil, nil, err
		}
	}
	for i := range container.Env {
		if err := e.add(&container.Env[i]); err != nil {
			return nil, nil, err
		}
	}
	for _, name := range slices.Sorted(maps.Keys(e.Services)) {
		if !e.own[name] {
			e.names = append(e.names, name)
		}
	}
	variables := make([]corev1.EnvVar, 0, len(e.names))
	for _, name := range e.names {
		variables = append(variables, corev1.EnvVar{Name: name, Value: e.values[name]})
	}
	return variables, e.values, nil
}

// environment is one that is being made. Of several variables with one name the
// last one counts; those of services yield to the container's own.
type environment struct {
	*Surroundings
	container *corev1.Container
	names     []string // in the order in which they were first set
	own       map[string]bool
	values    map[string]string // those of services among them
}

func (e *environment) set(name, value string) {
	if !e.own[name] {
		e.names = append(e.names, name)
	}
	e.own[name], e.values[name] = true, value
}

// from sets a variable for each key of an object.
func (e *environment) from(source *corev1.EnvFromSource) error {
	switch {
	case source.ConfigMapRef != nil:
		return setAll(e, source.Prefix, e.ConfigMaps, "configmap", source.ConfigMapRef.Name, source.ConfigMapRef.Optional)
	case source.SecretRef != nil:
		return setAll(e, source.Prefix, e.Secrets, "secret", source.SecretRef.Name, source.SecretRef.Optional)
	}
	return errors.New("envFrom has neither a configMapRef nor a secretRef")
}

func setAll[T ~string | ~[]byte](e *environment, prefix string, objects map[string]map[string]T, kind, name string, optional *bool) error {
	object, found := objects[name]
	if !found && !isTrue(optional) {
		return fmt.Errorf("%s %q not found", kind, name)
	}
	for _, key := range slices.Sorted(maps.Keys(object)) {
		e.set(prefix+key, string(object[key]))
	}
	return nil
}

// add sets one variable. In a value that is given the references to variables
// that were set before are replaced; a value from elsewhere stays as it is.
func (e *environment) add(variable *corev1.EnvVar) error {
	from := variable.ValueFrom
	if variable.Value != "" || from == nil {
		e.set(variable.Name, Expand(variable.Value, e.values))
		return nil
	}
	value, found, err := e.valueFrom(from)
	if err != nil {
		return err
	}
	if found {
		e.set(variable.Name, value)
	}
	return nil
}

// valueFrom finds a value; found is false when it is optional and not there.
func (e *environment) valueFrom(from *corev1.EnvVarSource) (value string, found bool, err error) {
	switch {
	case from.ConfigMapKeyRef != nil:
		ref := from.ConfigMapKeyRef
		return valueOf(e, e.ConfigMaps, [2]string{"configmap", "ConfigMap"}, ref.Name, ref.Key, ref.Optional)
	case from.SecretKeyRef != nil:
		ref := from.SecretKeyRef
		return valueOf(e, e.Secrets, [2]string{"secret", "Secret"}, ref.Name, ref.Key, ref.Optional)
	case from.FieldRef != nil:
		value, err = InEnvironment(e.Pod, from.FieldRef.FieldPath, e.Addresses)
		return value, true, err
	case from.ResourceFieldRef != nil:
		value, err = Resource(e.Pod, e.container, from.ResourceFieldRef, e.Cell)
		return value, true, err
	}
	return "", false, errors.New("valueFrom is of a kind that is not known")
}

// valueOf finds a key of an object; the errors are the kubelet's, which has two
// ways to write an object's kind.
func valueOf[T ~string | ~[]byte](e *environment, objects map[string]map[string]T, kind [2]string, name, key string, optional *bool) (value string, found bool, err error) {
	object, exists := objects[name]
	data, found := object[key]
	switch {
	case found:
		return string(data), true, nil
	case isTrue(optional):
		return "", false, nil
	case !exists:
		return "", false, fmt.Errorf("%s %q not found", kind[0], name)
	}
	return "", false, fmt.Errorf("couldn't find key %s in %s %s/%s", key, kind[1], e.Pod.Namespace, name)
}

func isTrue(value *bool) bool { return value != nil && *value }
