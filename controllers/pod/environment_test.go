package pod_test

import (
	"encoding/json"
	"maps"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
)

func object(name string) corev1.LocalObjectReference {
	return corev1.LocalObjectReference{Name: name}
}

// password is a value that nobody but the container may see.
const password = "correct-horse-battery"

func TestEnvironment(t *testing.T) {
	s := newScene(t)
	s.operator()
	s.create(&corev1.ConfigMap{ObjectMeta: s.meta("settings"), Data: map[string]string{"COLOUR": "green", "SIZE": "4"}})
	s.create(&corev1.Secret{ObjectMeta: s.meta("login"), StringData: map[string]string{"password": password, "other": "x"}})
	yes := true
	p, _, h := s.start("web", func(p *corev1.Pod) {
		p.Labels = map[string]string{"app": "web"}
		p.Spec.EnableServiceLinks = new(bool)
		main := &p.Spec.Containers[0]
		main.EnvFrom = []corev1.EnvFromSource{
			{Prefix: "SET_", ConfigMapRef: &corev1.ConfigMapEnvSource{LocalObjectReference: object("settings")}},
			{SecretRef: &corev1.SecretEnvSource{LocalObjectReference: object("absent"), Optional: &yes}},
		}
		main.Env = []corev1.EnvVar{
			{Name: "PASSWORD", ValueFrom: &corev1.EnvVarSource{SecretKeyRef: &corev1.SecretKeySelector{LocalObjectReference: object("login"), Key: "password"}}},
			{Name: "APP", ValueFrom: &corev1.EnvVarSource{FieldRef: &corev1.ObjectFieldSelector{FieldPath: "metadata.labels['app']"}}},
			{Name: "NODE", ValueFrom: &corev1.EnvVarSource{FieldRef: &corev1.ObjectFieldSelector{FieldPath: "spec.nodeName"}}},
			{Name: "IP", ValueFrom: &corev1.EnvVarSource{FieldRef: &corev1.ObjectFieldSelector{FieldPath: "status.podIP"}}},
			{Name: "HOST", ValueFrom: &corev1.EnvVarSource{FieldRef: &corev1.ObjectFieldSelector{FieldPath: "status.hostIP"}}},
			{Name: "CPUS", ValueFrom: &corev1.EnvVarSource{ResourceFieldRef: &corev1.ResourceFieldSelector{Resource: "limits.cpu"}}},
			{Name: "URL", Value: "http://$(APP):$(PASSWORD)@$(IP)"},
		}
	})
	want := map[string]string{
		"SET_COLOUR": "green", "SET_SIZE": "4", "PASSWORD": password, "APP": "web", "NODE": s.node, "IP": p.Status.PodIP, "HOST": p.Status.HostIP,
		"CPUS": "2", "URL": "http://web:" + password + "@" + p.Status.PodIP,
	}
	got := h.runtime.lastEnvironment()
	maps.DeleteFunc(got, func(name, _ string) bool { return strings.HasPrefix(name, "KUBERNETES_") })
	if diff := cmp.Diff(want, got); diff != "" || p.Status.PodIP == "" || p.Status.HostIP == "" {
		t.Error(diff)
	}
	// No object shows the value, be it the pod or what is told of it.
	shown, err := json.Marshal(p)
	if err != nil || strings.Contains(string(shown), password) {
		t.Errorf("the pod shows the password: %v", err)
	}
}

// The API server's service is told to every pod, those of its namespace unless
// the pod wants none.
func TestEnvironmentOfServices(t *testing.T) {
	s := newScene(t)
	s.operator()
	db := &corev1.Service{ObjectMeta: s.meta("db"), Spec: corev1.ServiceSpec{Ports: []corev1.ServicePort{{Name: "sql", Port: 5432}}}}
	s.create(db)
	for name, links := range map[string]*bool{"default": nil, "none": new(bool)} {
		_, _, h := s.start(name, func(p *corev1.Pod) { p.Spec.EnableServiceLinks = links })
		got := h.runtime.lastEnvironment()
		if got["KUBERNETES_SERVICE_HOST"] == "" || got["KUBERNETES_SERVICE_PORT"] != "443" {
			t.Errorf("%s: of the API server it knows %v", name, got)
		}
		want := db.Spec.ClusterIP
		if links != nil {
			want = ""
		}
		if got["DB_SERVICE_HOST"] != want || db.Spec.ClusterIP == "" {
			t.Errorf("%s: DB_SERVICE_HOST is %q, want %q", name, got["DB_SERVICE_HOST"], want)
		}
	}
}

// What is missing keeps the container from being made, in the kubelet's words,
// until it comes.
func TestEnvironmentWaits(t *testing.T) {
	key := func(secret bool) corev1.EnvVar {
		if secret {
			return corev1.EnvVar{Name: "A", ValueFrom: &corev1.EnvVarSource{SecretKeyRef: &corev1.SecretKeySelector{LocalObjectReference: object("late"), Key: "key"}}}
		}
		return corev1.EnvVar{Name: "A", ValueFrom: &corev1.EnvVarSource{ConfigMapKeyRef: &corev1.ConfigMapKeySelector{LocalObjectReference: object("late"), Key: "key"}}}
	}
	tests := map[string]struct {
		variable corev1.EnvVar
		message  string
		come     func(*scene)
	}{
		"Secret": {key(true), `secret "late" not found`, func(s *scene) {
			s.create(&corev1.Secret{ObjectMeta: s.meta("late"), StringData: map[string]string{"key": password}})
		}},
		"ConfigMap": {key(false), `configmap "late" not found`, func(s *scene) {
			s.create(&corev1.ConfigMap{ObjectMeta: s.meta("late"), Data: map[string]string{"key": password}})
		}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			s := newScene(t)
			s.operator()
			p := s.add("web", func(p *corev1.Pod) { p.Spec.Containers[0].Env = []corev1.EnvVar{test.variable} })
			_, h := s.boot(p)
			s.podIs(p, "waiting for the object", func(p *corev1.Pod) bool {
				if len(p.Status.ContainerStatuses) != 1 || p.Status.ContainerStatuses[0].State.Waiting == nil {
					return false
				}
				waiting := p.Status.ContainerStatuses[0].State.Waiting
				return waiting.Reason == "CreateContainerConfigError" && waiting.Message == test.message
			})
			test.come(s)
			s.running(p)
			if got := h.runtime.lastEnvironment()["A"]; got != password {
				t.Errorf("A is %q", got)
			}
		})
	}
}

func TestEnvironmentWaitsForAKey(t *testing.T) {
	s := newScene(t)
	s.operator()
	settings := &corev1.ConfigMap{ObjectMeta: s.meta("settings"), Data: map[string]string{"other": "x"}}
	s.create(settings)
	p := s.add("web", func(p *corev1.Pod) {
		p.Spec.Containers[0].Env = []corev1.EnvVar{{Name: "A", ValueFrom: &corev1.EnvVarSource{ConfigMapKeyRef: &corev1.ConfigMapKeySelector{LocalObjectReference: object("settings"), Key: "key"}}}}
	})
	s.boot(p)
	s.podIs(p, "waiting for the key", func(p *corev1.Pod) bool {
		return len(p.Status.ContainerStatuses) == 1 && p.Status.ContainerStatuses[0].State.Waiting != nil &&
			p.Status.ContainerStatuses[0].State.Waiting.Message == "couldn't find key key in ConfigMap "+s.namespace+"/settings"
	})
	settings.Data["key"] = "value"
	if err := cluster.admin.Update(t.Context(), settings); err != nil {
		t.Fatal(err)
	}
	s.running(p)
}
