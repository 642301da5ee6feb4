package podspec_test

import (
	"testing"

	corev1 "k8s.io/api/core/v1"

	"kip.elotl.co/internal/podspec"
)

// What an ephemeral container refers to is read like any other's.
func TestReferencesOfEphemeralContainers(t *testing.T) {
	pod := &corev1.Pod{Spec: corev1.PodSpec{EphemeralContainers: []corev1.EphemeralContainer{{
		EphemeralContainerCommon: corev1.EphemeralContainerCommon{Name: "debug", Env: []corev1.EnvVar{keyOf(false, "settings", "a")}}}}}}
	if !podspec.HasReferences(pod) {
		t.Error("it has references")
	}
	settings := &corev1.ConfigMap{Data: map[string]string{"a": "1", "b": "2"}}
	got, err := podspec.ReferencesOf(pod, &objects{configMaps: map[string]*corev1.ConfigMap{"settings": settings}})
	if err != nil || got.ConfigMaps["settings"]["a"] != "1" || len(got.ConfigMaps["settings"]) != 1 {
		t.Errorf("got %+v, %v", got.ConfigMaps, err)
	}
}
