package podspec

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// References are the values that the environments of a pod's containers refer
// to, by object and key. What does not exist is not there: what that means is
// the agent's to say, as it is the kubelet's.
type References struct {
	ConfigMaps map[string]map[string]string
	Secrets    map[string]map[string][]byte
	// Missing is the first that a container cannot be started without.
	Missing *MissingError
}

// String says nothing of the values.
func (References) String() string { return "what environments refer to" }

// GoString says nothing of the values.
func (r References) GoString() string { return r.String() }

// ReferencesOf reads what the environments refer to: of an object that envFrom
// names all keys, else only those that are named.
func ReferencesOf(pod *corev1.Pod, objects Objects) (References, error) {
	c := &collector{objects: objects, found: References{ConfigMaps: map[string]map[string]string{}, Secrets: map[string]map[string][]byte{}}}
	for _, list := range []struct {
		name       string
		containers []corev1.Container
	}{{"initContainers", pod.Spec.InitContainers}, {"containers", pod.Spec.Containers}, {"ephemeralContainers", ephemeral(pod)}} {
		for i := range list.containers {
			if err := c.container(&list.containers[i], field.NewPath("spec", list.name).Index(i)); err != nil {
				return References{}, err
			}
		}
	}
	return c.found, nil
}

// ephemeral are the pod's ephemeral containers as containers.
func ephemeral(pod *corev1.Pod) []corev1.Container {
	containers := make([]corev1.Container, 0, len(pod.Spec.EphemeralContainers))
	for i := range pod.Spec.EphemeralContainers {
		containers = append(containers, corev1.Container(pod.Spec.EphemeralContainers[i].EphemeralContainerCommon))
	}
	return containers
}

// HasReferences says whether an environment of the pod holds what is not
// written there, and so may be another when a container is started again.
func HasReferences(pod *corev1.Pod) bool {
	for _, containers := range [][]corev1.Container{pod.Spec.InitContainers, pod.Spec.Containers, ephemeral(pod)} {
		for i := range containers {
			if len(containers[i].EnvFrom) > 0 {
				return true
			}
			for k := range containers[i].Env {
				if containers[i].Env[k].ValueFrom != nil {
					return true
				}
			}
		}
	}
	return false
}

type collector struct {
	objects Objects
	found   References
}

// wanted is a key of an object, or, without one, all.
type wanted struct {
	path     *field.Path
	name     string
	key      *string
	optional *bool
}

func (c *collector) container(container *corev1.Container, path *field.Path) error {
	for i, from := range container.EnvFrom {
		path := path.Child("envFrom").Index(i)
		if ref := from.ConfigMapRef; ref != nil {
			if err := c.configMap(wanted{path.Child("configMapRef"), ref.Name, nil, ref.Optional}); err != nil {
				return err
			}
		}
		if ref := from.SecretRef; ref != nil {
			if err := c.secret(wanted{path.Child("secretRef"), ref.Name, nil, ref.Optional}); err != nil {
				return err
			}
		}
	}
	for i := range container.Env {
		if from := container.Env[i].ValueFrom; from != nil {
			if err := c.value(from, path.Child("env").Index(i).Child("valueFrom")); err != nil {
				return err
			}
		}
	}
	return nil
}

func (c *collector) value(from *corev1.EnvVarSource, path *field.Path) error {
	if ref := from.ConfigMapKeyRef; ref != nil {
		return c.configMap(wanted{path.Child("configMapKeyRef"), ref.Name, &ref.Key, ref.Optional})
	}
	if ref := from.SecretKeyRef; ref != nil {
		return c.secret(wanted{path.Child("secretKeyRef"), ref.Name, &ref.Key, ref.Optional})
	}
	return nil
}

func (c *collector) configMap(w wanted) error {
	object, err := c.objects.ConfigMap(w.name)
	if err != nil {
		return fmt.Errorf("%s: %w", w.path, err)
	}
	missing := &MissingError{Path: w.path, Kind: KindConfigMap, Name: w.name}
	if object == nil {
		c.lacks(w, missing)
		return nil
	}
	var found bool
	if c.found.ConfigMaps[w.name], found = pick(c.found.ConfigMaps[w.name], object.Data, w.key); !found {
		missing.Key = *w.key
		c.lacks(w, missing)
	}
	return nil
}

func (c *collector) secret(w wanted) error {
	object, err := c.objects.Secret(w.name)
	if err != nil {
		return fmt.Errorf("%s: %w", w.path, err)
	}
	missing := &MissingError{Path: w.path, Kind: KindSecret, Name: w.name}
	if object == nil {
		c.lacks(w, missing)
		return nil
	}
	var found bool
	if c.found.Secrets[w.name], found = pick(c.found.Secrets[w.name], object.Data, w.key); !found {
		missing.Key = *w.key
		c.lacks(w, missing)
	}
	return nil
}

func (c *collector) lacks(w wanted, missing *MissingError) {
	if c.found.Missing == nil && !isTrue(w.optional) {
		c.found.Missing = missing
	}
}

// pick adds a key of data, or all. It is not found when the key is not there.
func pick[T any](into, data map[string]T, key *string) (result map[string]T, found bool) {
	if into == nil {
		into = map[string]T{}
	}
	for name, value := range data {
		if key == nil || name == *key {
			into[name], found = value, true
		}
	}
	return into, found || key == nil
}
