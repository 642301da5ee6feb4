package agent

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// cellOf4 is a cell of which only the resources count.
type cellOf4 struct{ Host }

func (cellOf4) Resources() Resources { return Resources{MemoryBytes: 1 << 30, CPUs: 4} }

func object(name string) corev1.LocalObjectReference {
	return corev1.LocalObjectReference{Name: name}
}

func fromConfigMap(variable, name, key string, optional *bool) corev1.EnvVar {
	return corev1.EnvVar{Name: variable, ValueFrom: &corev1.EnvVarSource{ConfigMapKeyRef: &corev1.ConfigMapKeySelector{
		LocalObjectReference: object(name), Key: key, Optional: optional}}}
}

func fromSecret(variable, name, key string, optional *bool) corev1.EnvVar {
	return corev1.EnvVar{Name: variable, ValueFrom: &corev1.EnvVarSource{SecretKeyRef: &corev1.SecretKeySelector{
		LocalObjectReference: object(name), Key: key, Optional: optional}}}
}

func fromField(variable, path string) corev1.EnvVar {
	return corev1.EnvVar{Name: variable, ValueFrom: &corev1.EnvVarSource{FieldRef: &corev1.ObjectFieldSelector{FieldPath: path}}}
}

func fromResource(variable, container, name, divisor string) corev1.EnvVar {
	return corev1.EnvVar{Name: variable, ValueFrom: &corev1.EnvVarSource{ResourceFieldRef: &corev1.ResourceFieldSelector{
		ContainerName: container, Resource: name, Divisor: resource.MustParse(divisor)}}}
}

func allOfConfigMap(prefix, name string, optional *bool) corev1.EnvFromSource {
	return corev1.EnvFromSource{Prefix: prefix, ConfigMapRef: &corev1.ConfigMapEnvSource{LocalObjectReference: object(name), Optional: optional}}
}

func allOfSecret(prefix, name string, optional *bool) corev1.EnvFromSource {
	return corev1.EnvFromSource{Prefix: prefix, SecretRef: &corev1.SecretEnvSource{LocalObjectReference: object(name), Optional: optional}}
}

// environmentOf makes the environment of the first container of a pod.
func environmentOf(from []corev1.EnvFromSource, env []corev1.EnvVar) ([]corev1.EnvVar, map[string]string, error) {
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "web-0", UID: "uid-1", Labels: map[string]string{"app": "web"}, Annotations: map[string]string{"note": "n"}},
		Spec: corev1.PodSpec{NodeName: "kip-small", ServiceAccountName: "seller", Containers: []corev1.Container{
			{Name: "main", EnvFrom: from, Env: env, Resources: corev1.ResourceRequirements{Limits: corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("1500m")}}},
			{Name: "other"},
		}},
	}
	a := &Agent{config: Config{Host: cellOf4{}}}
	return a.environment(job{
		pod: pod, spec: &pod.Spec.Containers[0], ip: netip.MustParseAddr("10.0.0.2"), cellIP: netip.MustParseAddr("10.0.0.1"),
		configMaps: map[string]map[string]string{"settings": {"b": "2", "a": "1", "ref": "$(A)"}, "none": {}},
		services:   map[string]string{"DB_SERVICE_HOST": "10.96.0.7", "DB_PORT": "tcp://10.96.0.7:5432"},
		secrets:    map[string]map[string][]byte{"login": {"user": []byte("ann"), "word": []byte("p$$w$(A)")}},
	})
}

func TestEnvironment(t *testing.T) {
	yes, no := true, false
	type vars = []corev1.EnvVar
	tests := map[string]struct {
		from []corev1.EnvFromSource
		env  vars
		want vars
	}{
		"given": {nil, vars{{Name: "A", Value: "1"}, {Name: "B", Value: "$(A)2"}, {Name: "C", Value: "$(D)"}, {Name: "D", Value: "x"}, {Name: "A", Value: "$(A)again"}, {Name: "E"}},
			vars{{Name: "A", Value: "1again"}, {Name: "B", Value: "12"}, {Name: "C", Value: "$(D)"}, {Name: "D", Value: "x"}, {Name: "E"}}},
		"keys": {nil, vars{fromConfigMap("A", "settings", "a", nil), fromSecret("U", "login", "user", &no), {Name: "BOTH", Value: "$(U)@$(A)"}},
			vars{{Name: "A", Value: "1"}, {Name: "U", Value: "ann"}, {Name: "BOTH", Value: "ann@1"}}},
		"what comes from elsewhere is not expanded": {nil, vars{{Name: "A", Value: "x"}, fromSecret("W", "login", "word", nil), fromConfigMap("R", "settings", "ref", nil), {Name: "C", Value: "$(W)"}},
			vars{{Name: "A", Value: "x"}, {Name: "W", Value: "p$$w$(A)"}, {Name: "R", Value: "$(A)"}, {Name: "C", Value: "p$$w$(A)"}}},
		"optional": {[]corev1.EnvFromSource{allOfConfigMap("", "absent", &yes), allOfSecret("", "absent", &yes)},
			vars{{Name: "A", Value: "stays"}, fromConfigMap("A", "absent", "a", &yes), fromConfigMap("B", "settings", "absent", &yes), fromSecret("C", "absent", "a", &yes), fromSecret("D", "login", "absent", &yes)},
			vars{{Name: "A", Value: "stays"}}},
		"all keys": {[]corev1.EnvFromSource{allOfConfigMap("", "settings", nil), allOfSecret("L_", "login", nil), allOfConfigMap("X_", "none", nil)},
			vars{{Name: "C", Value: "$(a)$(L_user)"}, {Name: "a", Value: "own"}},
			vars{{Name: "a", Value: "own"}, {Name: "b", Value: "2"}, {Name: "ref", Value: "$(A)"}, {Name: "L_user", Value: "ann"}, {Name: "L_word", Value: "p$$w$(A)"}, {Name: "C", Value: "1ann"}}},
		"of two objects the later counts": {[]corev1.EnvFromSource{allOfConfigMap("", "settings", nil), {SecretRef: &corev1.SecretEnvSource{LocalObjectReference: object("login")}, Prefix: ""}},
			vars{fromSecret("a", "login", "user", nil)},
			vars{{Name: "a", Value: "ann"}, {Name: "b", Value: "2"}, {Name: "ref", Value: "$(A)"}, {Name: "user", Value: "ann"}, {Name: "word", Value: "p$$w$(A)"}}},
		"fields": {nil, vars{fromField("N", "metadata.name"), fromField("L", "metadata.labels['app']"), fromField("O", "metadata.annotations['note']"), fromField("NODE", "spec.nodeName"),
			fromField("SA", "spec.serviceAccountName"), fromField("IP", "status.podIP"), fromField("IPS", "status.podIPs"), fromField("H", "status.hostIP"), {Name: "URL", Value: "http://$(IP)/"}},
			vars{{Name: "N", Value: "web-0"}, {Name: "L", Value: "web"}, {Name: "O", Value: "n"}, {Name: "NODE", Value: "kip-small"}, {Name: "SA", Value: "seller"},
				{Name: "IP", Value: "10.0.0.2"}, {Name: "IPS", Value: "10.0.0.2"}, {Name: "H", Value: "10.0.0.1"}, {Name: "URL", Value: "http://10.0.0.2/"}}},
		"resources": {nil, vars{fromResource("CPU", "", "limits.cpu", "1m"), fromResource("ALL", "other", "limits.cpu", "1"), fromResource("MEM", "", "limits.memory", "1Mi")},
			vars{{Name: "CPU", Value: "1500"}, {Name: "ALL", Value: "4"}, {Name: "MEM", Value: "1024"}}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			got, values, err := environmentOf(test.from, test.env)
			if err != nil {
				t.Fatal(err)
			}
			if len(got) < 2 || got[len(got)-2].Name != "DB_PORT" || got[len(got)-1].Name != "DB_SERVICE_HOST" {
				t.Fatalf("the variables of services are not the last ones: %v", got)
			}
			got = got[:len(got)-2]
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Error(diff)
			}
			for _, variable := range got {
				if values[variable.Name] != variable.Value {
					t.Errorf("%s is %q in command and arguments", variable.Name, values[variable.Name])
				}
			}
		})
	}
}

func TestEnvironmentOfServices(t *testing.T) {
	got, values, err := environmentOf(nil, []corev1.EnvVar{{Name: "URL", Value: "$(DB_SERVICE_HOST)/x"}, {Name: "DB_PORT", Value: "own, was $(DB_PORT)"}})
	want := []corev1.EnvVar{{Name: "URL", Value: "10.96.0.7/x"}, {Name: "DB_PORT", Value: "own, was tcp://10.96.0.7:5432"}, {Name: "DB_SERVICE_HOST", Value: "10.96.0.7"}}
	if diff := cmp.Diff(want, got); diff != "" || err != nil || values["DB_SERVICE_HOST"] != "10.96.0.7" {
		t.Error(diff, err)
	}
}

// The texts are those of the kubelet.
func TestEnvironmentLacks(t *testing.T) {
	no := false
	tests := map[string]struct {
		from []corev1.EnvFromSource
		env  []corev1.EnvVar
	}{
		`configmap "absent" not found`:                    {nil, []corev1.EnvVar{fromConfigMap("A", "absent", "a", nil)}},
		`couldn't find key x in ConfigMap shop/settings`:  {nil, []corev1.EnvVar{fromConfigMap("A", "settings", "x", &no)}},
		`secret "absent" not found`:                       {nil, []corev1.EnvVar{fromSecret("A", "absent", "a", &no)}},
		`couldn't find key x in Secret shop/login`:        {nil, []corev1.EnvVar{fromSecret("A", "login", "x", nil)}},
		`configmap "gone" not found`:                      {[]corev1.EnvFromSource{allOfConfigMap("P_", "gone", nil)}, nil},
		`secret "gone" not found`:                         {[]corev1.EnvFromSource{allOfSecret("", "gone", &no)}, nil},
		`"status.phase" cannot be put into a variable`:    {nil, []corev1.EnvVar{fromField("A", "status.phase")}},
		`containerName: the pod has no container "third"`: {nil, []corev1.EnvVar{fromResource("A", "third", "limits.cpu", "1")}},
	}
	for want, test := range tests {
		_, _, err := environmentOf(test.from, test.env)
		if err == nil || err.Error() != want {
			t.Errorf("%v, want %s", err, want)
		}
		if err != nil && strings.Contains(err.Error(), "p$$w") {
			t.Error("the error shows a Secret's content")
		}
	}
}
