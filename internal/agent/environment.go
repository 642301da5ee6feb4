package agent

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"

	"kip.elotl.co/internal/podfields"
)

// environment makes the variables of a container as the kubelet does, and gives
// them by name as well. Its errors name objects and keys, never values.
func (a *Agent) environment(j job) ([]corev1.EnvVar, map[string]string, error) {
	resources := a.config.Host.Resources()
	e := &environment{
		job: j, cell: podfields.Cell{MemoryBytes: resources.MemoryBytes, CPUs: resources.CPUs},
		values: maps.Clone(j.services), own: map[string]bool{},
	}
	if e.values == nil {
		e.values = map[string]string{}
	}
	for i := range j.spec.EnvFrom {
		if err := e.from(&j.spec.EnvFrom[i]); err != nil {
			return nil, nil, err
		}
	}
	for i := range j.spec.Env {
		if err := e.add(&j.spec.Env[i]); err != nil {
			return nil, nil, err
		}
	}
	for _, name := range slices.Sorted(maps.Keys(e.services)) {
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
	job
	cell   podfields.Cell
	names  []string // in the order in which they were first set
	own    map[string]bool
	values map[string]string // those of services among them
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
		return setAll(e, source.Prefix, e.configMaps, "configmap", source.ConfigMapRef.Name, source.ConfigMapRef.Optional)
	case source.SecretRef != nil:
		return setAll(e, source.Prefix, e.secrets, "secret", source.SecretRef.Name, source.SecretRef.Optional)
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
		e.set(variable.Name, expand(variable.Value, e.values))
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
		return valueOf(e, e.configMaps, [2]string{"configmap", "ConfigMap"}, ref.Name, ref.Key, ref.Optional)
	case from.SecretKeyRef != nil:
		ref := from.SecretKeyRef
		return valueOf(e, e.secrets, [2]string{"secret", "Secret"}, ref.Name, ref.Key, ref.Optional)
	case from.FieldRef != nil:
		value, err = podfields.InEnvironment(e.pod, from.FieldRef.FieldPath, podfields.Addresses{Pod: e.ip, Host: e.cellIP})
		return value, true, err
	case from.ResourceFieldRef != nil:
		value, err = podfields.Resource(e.pod, e.spec, from.ResourceFieldRef, e.cell)
		return value, true, err
	}
	return "", false, errors.New("valueFrom is of a kind that this agent does not know")
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
	return "", false, fmt.Errorf("couldn't find key %s in %s %s/%s", key, kind[1], e.pod.Namespace, name)
}

func isTrue(value *bool) bool { return value != nil && *value }

// retryConfig lets containers that lacked something of their configuration try
// again at once: it may have come with the pod's new version.
func (m *machine) retryConfig() {
	for _, c := range m.containers {
		if problem := c.start.problem; problem != nil && problem.reason == reasonCreateConfig {
			c.start.failedAt = time.Time{}
		}
	}
}
