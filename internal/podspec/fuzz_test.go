package podspec_test

import (
	"bytes"
	"path/filepath"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"

	"kip.elotl.co/internal/itzo"
	"kip.elotl.co/internal/podspec"
)

// Whatever a pull Secret holds: no panic, keys that are bare hosts, the same
// answer each time, and no error that shows a password.
func FuzzCredentials(f *testing.F) {
	for _, text := range []string{
		`{"auths":{"https://index.docker.io/v1/":` + auth("ann") + `}}`,
		`{"auths":{"a.example:5000/team":` + auth("ann") + `,"*.example":{"username":"x","password":"y"}}}`,
		`{"auths":{"a.example":{"auth":"!"}}}`, `{"auths":null}`, `[]`, `{"a.example":{"password":1}}`, `{`, ``,
	} {
		f.Add([]byte(text), "a.example:5000/team/x", false)
		f.Add([]byte(text), "busybox", true)
	}
	f.Fuzz(func(t *testing.T, data []byte, image string, old bool) {
		secret := &corev1.Secret{Type: corev1.SecretTypeDockerConfigJson, Data: map[string][]byte{corev1.DockerConfigJsonKey: data, corev1.DockerConfigKey: data}}
		if old {
			secret.Type = corev1.SecretTypeDockercfg
		}
		pod, found := pullingPod([]string{image}, []*corev1.Secret{secret})
		got, err := podspec.Credentials(pod, found)
		again, errAgain := podspec.Credentials(pod, found)
		if (err == nil) != (errAgain == nil) || len(got) != len(again) {
			t.Fatalf("first %v, %v, then %v, %v", got, err, again, errAgain)
		}
		for host, credentials := range got {
			if strings.Contains(host, "/") || host != credentials.Server || credentials != again[host] {
				t.Errorf("%q: %v, then %v", host, credentials, again[host])
			}
		}
	})
}

// Whatever paths and keys a volume has, its archive either cannot be made or
// stays inside the package, and is the same each time.
func FuzzPackages(f *testing.F) {
	f.Add("a.conf", "etc/a", "x", int32(0o644), "metadata.labels")
	f.Add("a.conf", "../a", "x", int32(0o600), "metadata.labels['app']")
	f.Add("", "/etc/passwd", "", int32(-1), "metadata.annotations['")
	f.Add("k", "a//b/../c", "k", int32(0), "metadata.labels['']")
	f.Fuzz(func(t *testing.T, key, path, value string, mode int32, fieldPath string) {
		pod := podWith(corev1.VolumeSource{Projected: &corev1.ProjectedVolumeSource{DefaultMode: &mode, Sources: []corev1.VolumeProjection{
			{ConfigMap: &corev1.ConfigMapProjection{LocalObjectReference: corev1.LocalObjectReference{Name: "c"}, Items: []corev1.KeyToPath{{Key: key, Path: path}}}},
			{DownwardAPI: &corev1.DownwardAPIProjection{Items: []corev1.DownwardAPIVolumeFile{fieldFile("downward", fieldPath)}}},
		}}})
		found := &objects{configMaps: map[string]*corev1.ConfigMap{"c": {Data: map[string]string{key: value}}}}
		got, err := podspec.Packages(pod, found)
		if refused := podspec.Unsupported(pod); (err == nil) != (len(refused) == 0) {
			t.Fatalf("refused: %v, made: %v", refused, err)
		}
		if err != nil {
			return
		}
		var first, second bytes.Buffer
		err = itzo.WritePackage(&first, got[0].Files)
		if again := itzo.WritePackage(&second, got[0].Files); (err == nil) != (again == nil) || !bytes.Equal(first.Bytes(), second.Bytes()) {
			t.Fatalf("first %v, then %v", err, again)
		}
		for _, file := range got[0].Files {
			if err == nil && !filepath.IsLocal(file.Path) {
				t.Errorf("%q leaves the package", file.Path)
			}
		}
	})
}
