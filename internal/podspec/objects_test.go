package podspec_test

import (
	corev1 "k8s.io/api/core/v1"

	"kip.elotl.co/internal/podfields"
)

// objects is podspec.Objects in memory; err, when set, is every answer.
type objects struct {
	configMaps map[string]*corev1.ConfigMap
	secrets    map[string]*corev1.Secret
	tokens     map[string]string // by audience
	err        error
}

func (o *objects) ConfigMap(name string) (*corev1.ConfigMap, error) {
	return o.configMaps[name], o.err
}

func (o *objects) Secret(name string) (*corev1.Secret, error) { return o.secrets[name], o.err }

func (o *objects) Token(source *corev1.ServiceAccountTokenProjection) (string, error) {
	return o.tokens[source.Audience], o.err
}

func (o *objects) Cell() (podfields.Cell, error) {
	return podfields.Cell{MemoryBytes: 1 << 30, CPUs: 2}, o.err
}
