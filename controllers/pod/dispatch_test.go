package pod_test

import (
	"encoding/base64"
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"kip.elotl.co/internal/itzo"
)

func volume(source corev1.VolumeSource) func(*corev1.Pod) {
	return func(p *corev1.Pod) {
		p.Spec.Volumes = []corev1.Volume{{Name: "content", VolumeSource: source}}
		p.Spec.Containers[0].VolumeMounts = []corev1.VolumeMount{{Name: "content", MountPath: "/content"}}
	}
}

func (s *scene) meta(name string) metav1.ObjectMeta {
	return metav1.ObjectMeta{Namespace: s.namespace, Name: name}
}

func TestVolumesAreDelivered(t *testing.T) {
	s := newScene(t)
	s.operator()
	s.create(&corev1.ConfigMap{ObjectMeta: s.meta("settings"), Data: map[string]string{"a.conf": "a"}})
	s.create(&corev1.Secret{ObjectMeta: s.meta("login"), StringData: map[string]string{"user": "ann"}})
	_, _, h := s.start("web", volume(corev1.VolumeSource{Projected: &corev1.ProjectedVolumeSource{Sources: []corev1.VolumeProjection{
		{ConfigMap: &corev1.ConfigMapProjection{LocalObjectReference: corev1.LocalObjectReference{Name: "settings"}}},
		{Secret: &corev1.SecretProjection{LocalObjectReference: corev1.LocalObjectReference{Name: "login"}, Items: []corev1.KeyToPath{{Key: "user", Path: "login/user"}}}},
		{DownwardAPI: &corev1.DownwardAPIProjection{Items: []corev1.DownwardAPIVolumeFile{{Path: "name", FieldRef: &corev1.ObjectFieldSelector{FieldPath: "metadata.name"}}}}},
	}}}))
	for path, want := range map[string]string{"a.conf": "a", "login/user": "ann", "name": "web"} {
		if got := h.host.content("content", path); got != want {
			t.Errorf("%s holds %q, want %q", path, got, want)
		}
	}
}

func TestMissingObject(t *testing.T) {
	tests := map[string]struct {
		source  corev1.VolumeSource
		message string
		object  func(*scene)
	}{
		"ConfigMap": {
			corev1.VolumeSource{ConfigMap: &corev1.ConfigMapVolumeSource{LocalObjectReference: corev1.LocalObjectReference{Name: "late"}}},
			`MountVolume.SetUp failed for volume "content" : configmap "late" not found`,
			func(s *scene) {
				s.create(&corev1.ConfigMap{ObjectMeta: s.meta("late"), Data: map[string]string{"key": "value"}})
			},
		},
		"Secret": {
			corev1.VolumeSource{Secret: &corev1.SecretVolumeSource{SecretName: "late"}},
			`MountVolume.SetUp failed for volume "content" : secret "late" not found`,
			func(s *scene) {
				s.create(&corev1.Secret{ObjectMeta: s.meta("late"), StringData: map[string]string{"key": "value"}})
			},
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			s := newScene(t)
			s.operator()
			p := s.add("web", volume(test.source))
			_, h := s.boot(p)
			s.refusedWith(p, "FailedMount", test.message)
			test.object(s)
			p = s.running(p)
			if p.Status.Reason != "" || p.Status.Message != "" {
				t.Errorf("it still says %s: %s", p.Status.Reason, p.Status.Message)
			}
			if got := h.host.content("content", "key"); got != "value" {
				t.Errorf("key holds %q", got)
			}
		})
	}
}

// TestMissingObjects: each volume that cannot be made has its event, and the
// pod goes on when all is there.
func TestMissingObjects(t *testing.T) {
	s := newScene(t)
	s.operator()
	s.create(&corev1.ConfigMap{ObjectMeta: s.meta("settings"), Data: map[string]string{"key": "value"}})
	p := s.add("web", volume(corev1.VolumeSource{Secret: &corev1.SecretVolumeSource{SecretName: "login"}}), func(p *corev1.Pod) {
		keys := &corev1.ConfigMapVolumeSource{LocalObjectReference: corev1.LocalObjectReference{Name: "settings"}, Items: []corev1.KeyToPath{{Key: "late", Path: "late"}}}
		p.Spec.Volumes = append(p.Spec.Volumes, corev1.Volume{Name: "settings", VolumeSource: corev1.VolumeSource{ConfigMap: keys}})
	})
	s.boot(p)
	const first, second = `MountVolume.SetUp failed for volume "content" : secret "login" not found`,
		`MountVolume.SetUp failed for volume "settings" : configmap references non-existent config key: late`
	s.podIs(p, "waiting for both", func(p *corev1.Pod) bool {
		return p.Status.Reason == "FailedMount" && p.Status.Message == first+"\n"+second
	})
	s.event(p, "FailedMount", first)
	s.event(p, "FailedMount", second)
	s.create(&corev1.Secret{ObjectMeta: s.meta("login"), StringData: map[string]string{"key": "value"}})
	s.podIs(p, "waiting for the other", func(p *corev1.Pod) bool { return p.Status.Message == second })
	settings := &corev1.ConfigMap{ObjectMeta: s.meta("settings"), Data: map[string]string{"late": "value"}}
	if err := cluster.admin.Update(t.Context(), settings); err != nil {
		t.Fatal(err)
	}
	s.running(p)
}

// A token is bound to its pod, and for nobody but whom the pod names.
func TestTokenIsDelivered(t *testing.T) {
	s := newScene(t)
	s.operator()
	hour := int64(3600)
	p, _, h := s.start("web", volume(corev1.VolumeSource{Projected: &corev1.ProjectedVolumeSource{Sources: []corev1.VolumeProjection{
		{ServiceAccountToken: &corev1.ServiceAccountTokenProjection{Path: "token", ExpirationSeconds: &hour}},
		{ServiceAccountToken: &corev1.ServiceAccountTokenProjection{Path: "vault", Audience: "vault", ExpirationSeconds: &hour}},
	}}}))
	token := h.host.content("content", "token")
	var claims struct {
		Kubernetes struct {
			Namespace string `json:"namespace"`
			Pod       struct {
				Name string `json:"name"`
				UID  string `json:"uid"`
			} `json:"pod"`
		} `json:"kubernetes.io"`
	}
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		t.Fatalf("%q is not a token", token)
	}
	payload, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(payload, &claims); err != nil {
		t.Fatal(err)
	}
	if claims.Kubernetes.Namespace != s.namespace || claims.Kubernetes.Pod.Name != "web" || claims.Kubernetes.Pod.UID != string(p.UID) {
		t.Errorf("claims are %s", payload)
	}
	for _, test := range []struct {
		token, audience string
		valid           bool
	}{
		{token, "", true}, {token, "vault", false},
		{h.host.content("content", "vault"), "", false}, {h.host.content("content", "vault"), "vault", true},
	} {
		review := &authenticationv1.TokenReview{Spec: authenticationv1.TokenReviewSpec{Token: test.token}}
		if test.audience != "" {
			review.Spec.Audiences = []string{test.audience}
		}
		s.create(review)
		if review.Status.Authenticated != test.valid {
			t.Errorf("for audience %q: %v, want %v (%s)", test.audience, review.Status.Authenticated, test.valid, review.Status.Error)
		}
	}
}

// What the operator sends under a registry's name the agent finds under the image's.
func TestImagePullSecrets(t *testing.T) {
	s := newScene(t)
	s.operator()
	s.create(&corev1.Secret{ObjectMeta: s.meta("pull"), Type: corev1.SecretTypeDockerConfigJson, StringData: map[string]string{
		corev1.DockerConfigJsonKey: `{"auths":{"https://registry.example:5000/v2/":{"username":"ann","password":"x"},"other.example":{"username":"bob","password":"y"}}}`,
	}})
	s.create(&corev1.Secret{ObjectMeta: s.meta("pull-old"), Type: corev1.SecretTypeDockercfg, StringData: map[string]string{
		corev1.DockerConfigKey: `{"https://index.docker.io/v1/":{"username":"hub","password":"z"}}`,
	}})
	tests := map[string]struct {
		image string
		want  []itzo.RegistryCredentials
	}{
		"own-registry": {"registry.example:5000/team/x:1", []itzo.RegistryCredentials{{Server: "registry.example:5000", Username: "ann", Password: "x"}}},
		"hub":          {"busybox:1", []itzo.RegistryCredentials{{Server: "index.docker.io", Username: "hub", Password: "z"}}},
		"hub-by-name":  {"docker.io/team/x", []itzo.RegistryCredentials{{Server: "index.docker.io", Username: "hub", Password: "z"}}},
		"hub-by-host":  {"registry-1.docker.io/team/x:1", []itzo.RegistryCredentials{{Server: "index.docker.io", Username: "hub", Password: "z"}}},
		"no-login":     {"public.example/x:1", nil},
	}
	for name, test := range tests {
		_, _, h := s.start(name, func(p *corev1.Pod) {
			p.Spec.Containers[0].Image = test.image
			p.Spec.ImagePullSecrets = []corev1.LocalObjectReference{{Name: "absent"}, {Name: "pull"}, {Name: "pull-old"}}
		})
		_, _, pulls := h.runtime.seen()
		if diff := cmp.Diff(test.want, pulls); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}

func TestBadImagePullSecret(t *testing.T) {
	s := newScene(t)
	s.operator()
	s.create(&corev1.Secret{ObjectMeta: s.meta("pull"), Type: corev1.SecretTypeDockerConfigJson, StringData: map[string]string{
		corev1.DockerConfigJsonKey: `{"auths":{"registry.example":{"auth":"?"}}}`,
	}})
	p := s.add("web", func(p *corev1.Pod) { p.Spec.ImagePullSecrets = []corev1.LocalObjectReference{{Name: "pull"}} })
	s.boot(p)
	s.refusedWith(p, "DispatchFailed", `spec.imagePullSecrets[0]: Secret "pull": .dockerconfigjson: registry "registry.example": auth is not base64`)
	secret := &corev1.Secret{ObjectMeta: s.meta("pull"), Type: corev1.SecretTypeDockerConfigJson, StringData: map[string]string{
		corev1.DockerConfigJsonKey: `{"auths":{"registry.example":{"username":"ann","password":"x"}}}`,
	}}
	if err := cluster.admin.Update(t.Context(), secret); err != nil {
		t.Fatal(err)
	}
	s.running(p)
}

// The node's identity reads what the node's pods refer to, and nothing else.
func TestNodeReadsOnlyWhatItsPodsReferTo(t *testing.T) {
	s := newScene(t)
	s.operator()
	s.create(&corev1.Secret{ObjectMeta: s.meta("login"), StringData: map[string]string{"user": "ann"}})
	s.create(&corev1.Secret{ObjectMeta: s.meta("unrelated"), StringData: map[string]string{"user": "ann"}})
	s.start("web", volume(corev1.VolumeSource{Secret: &corev1.SecretVolumeSource{SecretName: "login"}}))
	client := s.nodeClient()
	if _, err := client.CoreV1().Secrets(s.namespace).Get(t.Context(), "login", metav1.GetOptions{}); err != nil {
		t.Error(err)
	}
	if _, err := client.CoreV1().Secrets(s.namespace).Get(t.Context(), "unrelated", metav1.GetOptions{}); err == nil {
		t.Error("the node reads a Secret that no pod of its refers to")
	}
}
