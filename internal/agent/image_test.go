package agent

import (
	"testing"

	corev1 "k8s.io/api/core/v1"

	"kip.elotl.co/internal/itzo"
)

// A password of Docker Hub goes to Docker Hub, and to no registry whose name
// only ends like it.
func TestHubPasswordStaysAtTheHub(t *testing.T) {
	all := map[string]itzo.RegistryCredentials{
		"index.docker.io":      {Username: "hub"},
		"registry.example.com": {Username: "own"},
		"localhost:5000":       {Username: "local"},
	}
	for image, want := range map[string]string{
		"busybox":                          "hub",
		"team/app:v1":                      "hub",
		"docker.io/library/busybox":        "hub",
		"index.docker.io/library/busybox":  "hub",
		"registry-1.docker.io/team/app":    "hub",
		"notdocker.io/team/app":            "",
		"evil-docker.io/team/app":          "",
		"docker.io.example.com/team/app":   "",
		"registry.example.com/team/app:v1": "own",
		"example.com/team/app":             "",
		"localhost:5000/app":               "local",
	} {
		got := ""
		if found := credentialsFor(image, all); found != nil {
			got = found.Username
		}
		if got != want {
			t.Errorf("credentials for %s: got %q, want %q", image, got, want)
		}
	}
}

// TestNonRootInTheKubeletsWords: why a container is not run as root.
func TestNonRootInTheKubeletsWords(t *testing.T) {
	root, other, yes := int64(0), int64(7), true
	for _, test := range []struct {
		user  *int64
		image Image
		want  string
	}{
		{&root, Image{UID: &other}, `container's runAsUser breaks non-root policy (pod: "web_shop(u)", container: main)`},
		{nil, Image{UID: &root}, `container has runAsNonRoot and image will run as root (pod: "web_shop(u)", container: main)`},
		{nil, Image{}, `container has runAsNonRoot and image will run as root (pod: "web_shop(u)", container: main)`},
		{nil, Image{Username: "app"},
			`container has runAsNonRoot and image has non-numeric user (app), cannot verify user is non-root (pod: "web_shop(u)", container: main)`},
		{&other, Image{UID: &root}, ""},
		{nil, Image{UID: &other}, ""},
	} {
		pod := &corev1.Pod{Spec: corev1.PodSpec{SecurityContext: &corev1.PodSecurityContext{RunAsNonRoot: &yes, RunAsUser: test.user}}}
		pod.Name, pod.Namespace, pod.UID = "web", "shop", "u"
		got := ""
		if err := checkNonRoot(pod, &corev1.Container{Name: "main"}, test.image); err != nil {
			got = err.Error()
		}
		if got != test.want {
			t.Errorf("user %v, image %+v: got %q, want %q", test.user, test.image, got, test.want)
		}
	}
}
