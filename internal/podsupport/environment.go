package podsupport

import (
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"kip.elotl.co/internal/podfields"
)

func (c *checker) env(env []corev1.EnvVar, path *field.Path) {
	for i := range env {
		env[i].Name, env[i].Value = "", ""
		c.valueFrom(take(&env[i].ValueFrom), path.Index(i).Child("valueFrom"))
		c.leftovers(&env[i], path.Index(i))
	}
}

func (c *checker) valueFrom(from *corev1.EnvVarSource, path *field.Path) {
	switch {
	case from == nil:
	case from.ConfigMapKeyRef != nil:
		ref := take(&from.ConfigMapKeyRef)
		ref.Name, ref.Key, ref.Optional = "", "", nil
		c.leftovers(ref, path.Child("configMapKeyRef"))
		c.leftovers(from, path)
	case from.SecretKeyRef != nil:
		ref := take(&from.SecretKeyRef)
		ref.Name, ref.Key, ref.Optional = "", "", nil
		c.leftovers(ref, path.Child("secretKeyRef"))
		c.leftovers(from, path)
	case from.FieldRef != nil:
		selector := take(&from.FieldRef)
		if _, err := podfields.InEnvironment(&corev1.Pod{}, selector.FieldPath, podfields.Addresses{}); err != nil {
			c.add(field.Invalid(path.Child("fieldRef", "fieldPath"), selector.FieldPath, err.Error()))
		}
		c.leftovers(from, path)
	case from.ResourceFieldRef != nil:
		selector := take(&from.ResourceFieldRef)
		if err := podfields.CheckResource(selector); err != nil {
			c.add(field.Invalid(path.Child("resourceFieldRef", "resource"), selector.Resource, err.Error()))
		}
		c.leftovers(from, path)
	case *from == (corev1.EnvVarSource{}):
		c.add(field.Required(path, "configMapKeyRef, secretKeyRef, fieldRef or resourceFieldRef"))
	default:
		c.leftovers(from, path)
	}
}

func (c *checker) envFrom(from []corev1.EnvFromSource, path *field.Path) {
	for i := range from {
		source, path := &from[i], path.Index(i)
		source.Prefix = ""
		configMap, secret := take(&source.ConfigMapRef), take(&source.SecretRef)
		if configMap != nil {
			configMap.Name, configMap.Optional = "", nil
			c.leftovers(configMap, path.Child("configMapRef"))
		}
		if secret != nil {
			secret.Name, secret.Optional = "", nil
			c.leftovers(secret, path.Child("secretRef"))
		}
		if configMap == nil && secret == nil {
			c.add(field.Required(path, "configMapRef or secretRef"))
		}
		c.leftovers(source, path)
	}
}
