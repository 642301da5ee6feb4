package podspec_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"

	"kip.elotl.co/internal/podspec"
)

func keyOf(secret bool, name, key string) corev1.EnvVar {
	reference := corev1.LocalObjectReference{Name: name}
	if secret {
		return corev1.EnvVar{Name: "V", ValueFrom: &corev1.EnvVarSource{SecretKeyRef: &corev1.SecretKeySelector{LocalObjectReference: reference, Key: key}}}
	}
	return corev1.EnvVar{Name: "V", ValueFrom: &corev1.EnvVarSource{ConfigMapKeyRef: &corev1.ConfigMapKeySelector{LocalObjectReference: reference, Key: key}}}
}

func allOf(secret bool, name string) corev1.EnvFromSource {
	reference := corev1.LocalObjectReference{Name: name}
	if secret {
		return corev1.EnvFromSource{SecretRef: &corev1.SecretEnvSource{LocalObjectReference: reference}}
	}
	return corev1.EnvFromSource{ConfigMapRef: &corev1.ConfigMapEnvSource{LocalObjectReference: reference}}
}

func TestReferences(t *testing.T) {
	type configMaps = map[string]map[string]string
	type secrets = map[string]map[string][]byte
	everySetting, everyLogin := map[string]string{"a.conf": "a", "b.conf": "b"}, map[string][]byte{"user": []byte("ann"), "password": []byte("x")}
	tests := map[string]struct {
		pod  corev1.PodSpec
		want podspec.References
	}{
		"none": {corev1.PodSpec{Containers: []corev1.Container{{Env: []corev1.EnvVar{{Name: "A", Value: "1"}}}}}, podspec.References{ConfigMaps: configMaps{}, Secrets: secrets{}}},
		"keys": {
			corev1.PodSpec{Containers: []corev1.Container{{Env: []corev1.EnvVar{keyOf(false, "settings", "a.conf"), keyOf(true, "login", "user")}}}},
			podspec.References{ConfigMaps: configMaps{"settings": {"a.conf": "a"}}, Secrets: secrets{"login": {"user": []byte("ann")}}},
		},
		"all, and what is named beside": {
			corev1.PodSpec{
				InitContainers: []corev1.Container{{Env: []corev1.EnvVar{keyOf(true, "login", "user")}}},
				Containers:     []corev1.Container{{EnvFrom: []corev1.EnvFromSource{allOf(false, "settings"), allOf(true, "login")}, Env: []corev1.EnvVar{keyOf(false, "settings", "a.conf")}}},
			},
			podspec.References{ConfigMaps: configMaps{"settings": everySetting}, Secrets: secrets{"login": everyLogin}},
		},
		"missing objects and keys": {
			corev1.PodSpec{Containers: []corev1.Container{{
				EnvFrom: []corev1.EnvFromSource{allOf(false, "absent"), allOf(true, "absent")},
				Env:     []corev1.EnvVar{keyOf(false, "settings", "absent"), keyOf(true, "empty", "absent"), keyOf(false, "settings", "logo")},
			}}},
			podspec.References{ConfigMaps: configMaps{"settings": {}}, Secrets: secrets{"empty": {}}},
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			got, err := podspec.ReferencesOf(&corev1.Pod{Spec: test.pod}, world())
			if err != nil {
				t.Fatal(err)
			}
			if (name == "missing objects and keys") != (got.Missing != nil) {
				t.Errorf("missing: %v", got.Missing)
			}
			if has := podspec.HasReferences(&corev1.Pod{Spec: test.pod}); has != (name != "none") {
				t.Errorf("has references: %v", has)
			}
			got.Missing = nil
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Error(diff)
			}
			for _, format := range []string{"%v", "%+v", "%#v", "%s"} {
				if text := fmt.Sprintf(format, got); strings.Contains(text, "ann") {
					t.Errorf("%s shows the values: %s", format, text)
				}
			}
		})
	}
}

func TestMissingReferences(t *testing.T) {
	optional := keyOf(true, "absent", "k")
	optional.ValueFrom.SecretKeyRef.Optional = ptr(true)
	for want, container := range map[string]corev1.Container{
		"": {Env: []corev1.EnvVar{optional}},
		`spec.containers[0].envFrom[0].secretRef: Secret "absent" does not exist`:                       {EnvFrom: []corev1.EnvFromSource{allOf(true, "absent")}},
		`spec.containers[0].envFrom[0].configMapRef: ConfigMap "absent" does not exist`:                 {EnvFrom: []corev1.EnvFromSource{allOf(false, "absent")}},
		`spec.containers[0].env[1].valueFrom.secretKeyRef: Secret "login" has no key "absent"`:          {Env: []corev1.EnvVar{optional, keyOf(true, "login", "absent"), keyOf(true, "absent", "k")}},
		`spec.containers[0].env[0].valueFrom.configMapKeyRef: ConfigMap "settings" has no key "absent"`: {Env: []corev1.EnvVar{keyOf(false, "settings", "absent")}},
	} {
		got, err := podspec.ReferencesOf(&corev1.Pod{Spec: corev1.PodSpec{Containers: []corev1.Container{container}}}, world())
		if err != nil {
			t.Fatal(err)
		}
		if text := ""; got.Missing != nil || want != "" {
			if got.Missing != nil {
				text = got.Missing.Error()
			}
			if text != want {
				t.Errorf("%q, want %q", text, want)
			}
		}
	}
}

func TestReferencesThatCannotBeRead(t *testing.T) {
	forbidden := errors.New("forbidden")
	for path, container := range map[string]corev1.Container{
		"spec.containers[0].envFrom[0].configMapRef":          {EnvFrom: []corev1.EnvFromSource{allOf(false, "c")}},
		"spec.containers[0].envFrom[0].secretRef":             {EnvFrom: []corev1.EnvFromSource{allOf(true, "s")}},
		"spec.containers[0].env[0].valueFrom.secretKeyRef":    {Env: []corev1.EnvVar{keyOf(true, "s", "k")}},
		"spec.containers[0].env[1].valueFrom.configMapKeyRef": {Env: []corev1.EnvVar{{Name: "A"}, keyOf(false, "c", "k")}},
	} {
		_, err := podspec.ReferencesOf(&corev1.Pod{Spec: corev1.PodSpec{Containers: []corev1.Container{container}}}, &objects{err: forbidden})
		if !errors.Is(err, forbidden) || !strings.HasPrefix(err.Error(), path+": ") {
			t.Errorf("%s: %v", path, err)
		}
	}
}
