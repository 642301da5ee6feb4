package podspec_test

import (
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"kip.elotl.co/internal/itzo"
	"kip.elotl.co/internal/podspec"
)

func TestCredentials(t *testing.T) {
	user := func(host, name string) itzo.RegistryCredentials {
		return itzo.RegistryCredentials{Server: host, Username: name, Password: name + "-password"}
	}
	type credentials = map[string]itzo.RegistryCredentials
	tests := map[string]struct {
		secrets []*corev1.Secret
		images  []string
		want    credentials
	}{
		"no secret": {nil, []string{"a.example/x"}, credentials{}},
		"config.json": {
			[]*corev1.Secret{config(`{"auths":{"a.example":%s}}`, auth("ann"))}, []string{"a.example/x"},
			credentials{"a.example": user("a.example", "ann")},
		},
		"dockercfg": {
			[]*corev1.Secret{{Type: corev1.SecretTypeDockercfg, Data: map[string][]byte{corev1.DockerConfigKey: []byte(`{"a.example":` + auth("ann") + `}`)}}},
			[]string{"a.example/x"}, credentials{"a.example": user("a.example", "ann")},
		},
		"only what the images need": {
			[]*corev1.Secret{config(`{"auths":{"a.example":%s,"b.example":%s}}`, auth("ann"), auth("bob"))}, []string{"a.example/x"},
			credentials{"a.example": user("a.example", "ann")},
		},
		"user and password in words": {
			[]*corev1.Secret{config(`{"auths":{"a.example":{"username":"ann","password":"ann-password","email":"a@b"}}}`)}, []string{"a.example/x"},
			credentials{"a.example": user("a.example", "ann")},
		},
		"auth counts more": {
			[]*corev1.Secret{config(`{"auths":{"a.example":{"username":"x","password":"y","auth":"%s"}}}`, encoded("ann:ann-password"))}, []string{"a.example/x"},
			credentials{"a.example": user("a.example", "ann")},
		},
		"auth without padding": {
			[]*corev1.Secret{config(`{"auths":{"a.example":{"auth":"%s"}}}`, strings.TrimRight(encoded("ann:ann-password"), "="))}, []string{"a.example/x"},
			credentials{"a.example": user("a.example", "ann")},
		},
		"colon in the password": {
			[]*corev1.Secret{config(`{"auths":{"a.example":{"auth":"%s"}}}`, encoded("ann:a:b"))}, []string{"a.example/x"},
			credentials{"a.example": {Server: "a.example", Username: "ann", Password: "a:b"}},
		},
		"address with scheme and version": {
			[]*corev1.Secret{config(`{"auths":{"https://A.example/v2/":%s}}`, auth("ann"))}, []string{"a.example/x"},
			credentials{"a.example": user("a.example", "ann")},
		},
		"port": {
			[]*corev1.Secret{config(`{"auths":{"a.example:5000":%s,"a.example":%s}}`, auth("ann"), auth("bob"))}, []string{"a.example:5000/x", "a.example/x"},
			credentials{"a.example:5000": user("a.example:5000", "ann"), "a.example": user("a.example", "bob")},
		},
		"localhost": {
			[]*corev1.Secret{config(`{"auths":{"localhost":%s}}`, auth("ann"))}, []string{"localhost/x"},
			credentials{"localhost": user("localhost", "ann")},
		},
		"longest path": {
			[]*corev1.Secret{config(`{"auths":{"a.example":%s,"a.example/team":%s}}`, auth("ann"), auth("bob"))}, []string{"a.example/team/x:1"},
			credentials{"a.example": user("a.example", "bob")},
		},
		"path of others": {
			[]*corev1.Secret{config(`{"auths":{"a.example/team":%s}}`, auth("ann"))}, []string{"a.example/x"}, credentials{},
		},
		"any part of a host": {
			[]*corev1.Secret{config(`{"auths":{"*.a.example":%s,"b.a.example":%s}}`, auth("ann"), auth("bob"))}, []string{"x.a.example/x", "b.a.example/x", "y.z.a.example/x"},
			credentials{"x.a.example": user("x.a.example", "ann"), "b.a.example": user("b.a.example", "bob")},
		},
		"first secret of equal ones": {
			[]*corev1.Secret{config(`{"auths":{"a.example":%s}}`, auth("ann")), config(`{"auths":{"a.example":%s}}`, auth("bob"))}, []string{"a.example/x"},
			credentials{"a.example": user("a.example", "ann")},
		},
		"missing secret": {
			[]*corev1.Secret{nil, config(`{"auths":{"a.example":%s}}`, auth("ann"))}, []string{"a.example/x"},
			credentials{"a.example": user("a.example", "ann")},
		},
		"other type": {
			[]*corev1.Secret{{Type: corev1.SecretTypeOpaque, Data: map[string][]byte{corev1.DockerConfigJsonKey: []byte(`{"auths":{"a.example":` + auth("ann") + `}}`)}}},
			[]string{"a.example/x"}, credentials{},
		},
		"key of the other type": {
			[]*corev1.Secret{{Type: corev1.SecretTypeDockercfg, Data: map[string][]byte{corev1.DockerConfigJsonKey: []byte(`{}`)}}},
			[]string{"a.example/x"}, credentials{},
		},
		"nothing to log in with": {
			[]*corev1.Secret{config(`{"auths":{"a.example":{"identitytoken":"t"}},"credsStore":"desktop"}`)}, []string{"a.example/x"}, credentials{},
		},
		"no address": {
			[]*corev1.Secret{config(`{"auths":{"":%[1]s,"a b":%[1]s,"https://":%[1]s,"a.example":%[1]s}}`, auth("ann"))}, []string{"a.example/x"},
			credentials{"a.example": user("a.example", "ann")},
		},
		"digest and tag": {
			[]*corev1.Secret{config(`{"auths":{"a.example":%s}}`, auth("ann"))}, []string{"a.example/x:1@sha256:0123"},
			credentials{"a.example": user("a.example", "ann")},
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			pod, objects := pullingPod(test.images, test.secrets)
			got, err := podspec.Credentials(pod, objects)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// However the hub is written, in the image or the configuration, agents find
// its credentials under the first name that they look for.
func TestDockerHubByAllItsNames(t *testing.T) {
	for _, registry := range []string{"https://index.docker.io/v1/", "index.docker.io", "docker.io", "registry-1.docker.io", "https://registry-1.docker.io/v2/"} {
		for _, image := range []string{"busybox", "busybox:1", "team/x", "docker.io/team/x", "index.docker.io/library/busybox", "registry-1.docker.io/library/busybox"} {
			pod, objects := pullingPod([]string{image}, []*corev1.Secret{config(`{"auths":{%q:%s}}`, registry, auth("ann"))})
			got, err := podspec.Credentials(pod, objects)
			if err != nil || len(got) != 1 || got["index.docker.io"].Username != "ann" {
				t.Errorf("registry %s, image %s: %v, %v", registry, image, got, err)
			}
		}
	}
	pod, objects := pullingPod([]string{"busybox"}, []*corev1.Secret{config(`{"auths":{"docker.io/library":%s}}`, auth("ann"))})
	if got, err := podspec.Credentials(pod, objects); err != nil || len(got) != 1 {
		t.Errorf("image without a path: %v, %v", got, err)
	}
	pod, objects = pullingPod([]string{"notdocker.io/x"}, []*corev1.Secret{config(`{"auths":{"docker.io":%s}}`, auth("ann"))})
	if got, err := podspec.Credentials(pod, objects); err != nil || len(got) != 0 {
		t.Errorf("another registry: %v, %v", got, err)
	}
}

func TestCredentialsRefuse(t *testing.T) {
	const secret = "c2VjcmV0"
	tests := map[string]struct {
		secret *corev1.Secret
		images []string
		want   string
	}{
		"text": {config(secret), []string{"x"},
			`spec.imagePullSecrets[0]: Secret "pull-0": .dockerconfigjson: is not JSON at byte 1`},
		"cut short": {config(`{"auths":{`), []string{"x"},
			`spec.imagePullSecrets[0]: Secret "pull-0": .dockerconfigjson: is not JSON at byte 10`},
		"list": {config(`{"auths":["` + secret + `"]}`), []string{"x"},
			`spec.imagePullSecrets[0]: Secret "pull-0": .dockerconfigjson: a JSON array at byte 10 where a map is expected`},
		"number": {config(`{"auths":{"a.example":{"password":12345}}}`), []string{"x"},
			`spec.imagePullSecrets[0]: Secret "pull-0": .dockerconfigjson: a JSON number at byte 39 where a string is expected`},
		"not base64": {config(`{"auths":{"a.example":{"auth":"!%s"}}}`, secret), []string{"x"},
			`spec.imagePullSecrets[0]: Secret "pull-0": .dockerconfigjson: registry "a.example": auth is not base64`},
		"no colon": {config(`{"auths":{"a.example":{"auth":"%s"}}}`, secret), []string{"x"},
			`spec.imagePullSecrets[0]: Secret "pull-0": .dockerconfigjson: registry "a.example": auth is not username:password`},
		"two users": {config(`{"auths":{"a.example/one":%s,"a.example/two":%s}}`, auth("ann"), auth("bob")), []string{"a.example/one/x", "a.example/two/x"},
			`spec.imagePullSecrets: the pod's images from a.example need different users ("ann" and "bob"), and a cell keeps one per registry`},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			pod, objects := pullingPod(test.images, []*corev1.Secret{test.secret})
			_, err := podspec.Credentials(pod, objects)
			if err == nil || err.Error() != test.want {
				t.Errorf("%v, want %s", err, test.want)
			}
			if err != nil && (strings.Contains(err.Error(), secret) || strings.Contains(err.Error(), "12345")) {
				t.Error("the error shows the Secret's content")
			}
		})
	}
}

func TestCredentialsNeedTheSecretToBeReadable(t *testing.T) {
	pod, objects := pullingPod([]string{"a.example/x"}, []*corev1.Secret{nil})
	objects.err = errors.New("forbidden")
	if _, err := podspec.Credentials(pod, objects); !errors.Is(err, objects.err) || !strings.Contains(err.Error(), "spec.imagePullSecrets[0]") {
		t.Errorf("%v, want the error with the field's path", err)
	}
	pod.Spec.ImagePullSecrets[0].Name = ""
	if _, err := podspec.Credentials(pod, objects); err != nil {
		t.Errorf("a reference without a name: %v", err)
	}
}

// Init containers pull as well.
func TestCredentialsOfInitContainers(t *testing.T) {
	pod, objects := pullingPod([]string{"busybox"}, []*corev1.Secret{config(`{"auths":{"a.example":%s}}`, auth("ann"))})
	pod.Spec.InitContainers = []corev1.Container{{Name: "init", Image: "a.example/x"}}
	got, err := podspec.Credentials(pod, objects)
	if err != nil || got["a.example"].Username != "ann" {
		t.Errorf("%v, %v", got, err)
	}
}

// pullingPod has a container for each image and refers to the Secrets; of nil
// ones it only has the name.
func pullingPod(images []string, secrets []*corev1.Secret) (*corev1.Pod, *objects) {
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "web"}}
	for i, image := range images {
		pod.Spec.Containers = append(pod.Spec.Containers, corev1.Container{Name: fmt.Sprintf("c%d", i), Image: image})
	}
	found := &objects{secrets: map[string]*corev1.Secret{}}
	for i, secret := range secrets {
		name := fmt.Sprintf("pull-%d", i)
		pod.Spec.ImagePullSecrets = append(pod.Spec.ImagePullSecrets, corev1.LocalObjectReference{Name: name})
		if secret != nil {
			found.secrets[name] = secret
		}
	}
	return pod, found
}

func config(format string, args ...any) *corev1.Secret {
	text := format
	if len(args) > 0 {
		text = fmt.Sprintf(format, args...)
	}
	return &corev1.Secret{Type: corev1.SecretTypeDockerConfigJson, Data: map[string][]byte{corev1.DockerConfigJsonKey: []byte(text)}}
}

func auth(user string) string {
	return `{"auth":"` + encoded(user+":"+user+"-password") + `"}`
}

func encoded(text string) string { return base64.StdEncoding.EncodeToString([]byte(text)) }
