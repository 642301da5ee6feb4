package podspec_test

import (
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"kip.elotl.co/internal/itzo"
	"kip.elotl.co/internal/podspec"
)

func ptr[T any](v T) *T { return &v }

// world is what the pods of these tests may refer to.
func world() *objects {
	return &objects{
		configMaps: map[string]*corev1.ConfigMap{
			"settings": {
				Data:       map[string]string{"b.conf": "b", "a.conf": "a"},
				BinaryData: map[string][]byte{"logo": {0xff, 0}},
			},
			"empty": {},
		},
		secrets: map[string]*corev1.Secret{
			"login": {Data: map[string][]byte{"user": []byte("ann"), "password": []byte("x")}},
			"empty": {},
		},
		tokens: map[string]string{"": "token", "vault": "token for vault"},
	}
}

func podWith(volumes ...corev1.VolumeSource) *corev1.Pod {
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{
		Namespace: "shop", Name: "web-0", UID: "uid-1",
		Labels:      map[string]string{"app": "web", "app-tier": "front", "quote": `say "hi"`},
		Annotations: map[string]string{"note": "line\nbreak"},
	}}
	pod.Spec.Containers = []corev1.Container{{Name: "main", Resources: corev1.ResourceRequirements{
		Requests: corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("250m")},
	}}}
	for i, source := range volumes {
		pod.Spec.Volumes = append(pod.Spec.Volumes, corev1.Volume{Name: "volume-" + string(rune('a'+i)), VolumeSource: source})
	}
	return pod
}

func file(path string, mode int64, data string) itzo.PackageFile {
	return itzo.PackageFile{Path: path, Mode: mode, Data: []byte(data)}
}

func configMap(name string) *corev1.ConfigMapVolumeSource {
	return &corev1.ConfigMapVolumeSource{LocalObjectReference: corev1.LocalObjectReference{Name: name}}
}

func fieldFile(path, field string) corev1.DownwardAPIVolumeFile {
	return corev1.DownwardAPIVolumeFile{Path: path, FieldRef: &corev1.ObjectFieldSelector{FieldPath: field}}
}

func resourceFile(path, name, divisor string) corev1.DownwardAPIVolumeFile {
	return corev1.DownwardAPIVolumeFile{Path: path, ResourceFieldRef: &corev1.ResourceFieldSelector{
		ContainerName: "main", Resource: name, Divisor: resource.MustParse(divisor),
	}}
}

func TestPackages(t *testing.T) {
	withItems, withMode, optional := configMap("settings"), configMap("settings"), configMap("absent")
	withItems.Items = []corev1.KeyToPath{{Key: "b.conf", Path: "etc/b"}, {Key: "logo", Path: "logo", Mode: ptr(int32(0o400))}}
	withMode.DefaultMode = ptr(int32(0o600))
	optional.Optional = ptr(true)
	optionalKey := configMap("settings")
	optionalKey.Optional = ptr(true)
	optionalKey.Items = []corev1.KeyToPath{{Key: "absent", Path: "x"}, {Key: "a.conf", Path: "y"}}
	notOptional := configMap("empty")
	notOptional.Optional = ptr(false)

	tests := map[string]struct {
		volume corev1.VolumeSource
		want   []itzo.PackageFile
	}{
		"configMap": {corev1.VolumeSource{ConfigMap: configMap("settings")},
			[]itzo.PackageFile{file("a.conf", 0o644, "a"), file("b.conf", 0o644, "b"), file("logo", 0o644, "\xff\x00")}},
		"configMap with items":      {corev1.VolumeSource{ConfigMap: withItems}, []itzo.PackageFile{file("etc/b", 0o644, "b"), file("logo", 0o400, "\xff\x00")}},
		"configMap with mode":       {corev1.VolumeSource{ConfigMap: withMode}, []itzo.PackageFile{file("a.conf", 0o600, "a"), file("b.conf", 0o600, "b"), file("logo", 0o600, "\xff\x00")}},
		"configMap without keys":    {corev1.VolumeSource{ConfigMap: notOptional}, []itzo.PackageFile{}},
		"optional missing object":   {corev1.VolumeSource{ConfigMap: optional}, []itzo.PackageFile{}},
		"optional missing key":      {corev1.VolumeSource{ConfigMap: optionalKey}, []itzo.PackageFile{file("y", 0o644, "a")}},
		"secret":                    {corev1.VolumeSource{Secret: &corev1.SecretVolumeSource{SecretName: "login"}}, []itzo.PackageFile{file("password", 0o644, "x"), file("user", 0o644, "ann")}},
		"secret without keys":       {corev1.VolumeSource{Secret: &corev1.SecretVolumeSource{SecretName: "empty"}}, []itzo.PackageFile{}},
		"optional missing secret":   {corev1.VolumeSource{Secret: &corev1.SecretVolumeSource{SecretName: "absent", Optional: ptr(true)}}, []itzo.PackageFile{}},
		"mode of no one, as it may": {corev1.VolumeSource{Secret: &corev1.SecretVolumeSource{SecretName: "login", DefaultMode: ptr(int32(0)), Items: []corev1.KeyToPath{{Key: "user", Path: "u"}}}}, []itzo.PackageFile{file("u", 0, "ann")}},
		"items may name a key twice": {corev1.VolumeSource{Secret: &corev1.SecretVolumeSource{SecretName: "login", Items: []corev1.KeyToPath{{Key: "user", Path: "u"}, {Key: "user", Path: "a/b/u"}}}},
			[]itzo.PackageFile{file("a/b/u", 0o644, "ann"), file("u", 0o644, "ann")}},
		"downwardAPI": {
			corev1.VolumeSource{DownwardAPI: &corev1.DownwardAPIVolumeSource{DefaultMode: ptr(int32(0o440)), Items: []corev1.DownwardAPIVolumeFile{
				fieldFile("uid", "metadata.uid"), fieldFile("name", "metadata.name"), fieldFile("namespace", "metadata.namespace"),
				fieldFile("app", "metadata.labels['app']"), fieldFile("note", "metadata.annotations['note']"), fieldFile("absent", "metadata.labels['absent']"),
				{Path: "own", Mode: ptr(int32(0o400)), FieldRef: &corev1.ObjectFieldSelector{FieldPath: "metadata.name"}},
			}}},
			[]itzo.PackageFile{file("absent", 0o440, ""), file("app", 0o440, "web"), file("name", 0o440, "web-0"), file("namespace", 0o440, "shop"),
				file("note", 0o440, "line\nbreak"), file("own", 0o400, "web-0"), file("uid", 0o440, "uid-1")},
		},
		"resources": {
			corev1.VolumeSource{DownwardAPI: &corev1.DownwardAPIVolumeSource{Items: []corev1.DownwardAPIVolumeFile{
				resourceFile("cpu", "requests.cpu", "1m"), resourceFile("memory", "limits.memory", "1Mi"),
			}}},
			[]itzo.PackageFile{file("cpu", 0o644, "250"), file("memory", 0o644, "1024")},
		},
		// A kubelet orders by the key, and "app" comes before "app-tier" although "=" does not come before "-".
		"labels and annotations": {
			corev1.VolumeSource{DownwardAPI: &corev1.DownwardAPIVolumeSource{Items: []corev1.DownwardAPIVolumeFile{
				fieldFile("labels", "metadata.labels"), fieldFile("annotations", "metadata.annotations"),
			}}},
			[]itzo.PackageFile{file("annotations", 0o644, `note="line\nbreak"`), file("labels", 0o644, `app="web"`+"\n"+`app-tier="front"`+"\n"+`quote="say \"hi\""`)},
		},
		"projected": {
			corev1.VolumeSource{Projected: &corev1.ProjectedVolumeSource{DefaultMode: ptr(int32(0o444)), Sources: []corev1.VolumeProjection{
				{ServiceAccountToken: &corev1.ServiceAccountTokenProjection{Path: "token"}},
				{ServiceAccountToken: &corev1.ServiceAccountTokenProjection{Path: "vault/token", Audience: "vault"}},
				{ConfigMap: &corev1.ConfigMapProjection{LocalObjectReference: corev1.LocalObjectReference{Name: "settings"}, Items: []corev1.KeyToPath{{Key: "a.conf", Path: "a"}}}},
				{ConfigMap: &corev1.ConfigMapProjection{LocalObjectReference: corev1.LocalObjectReference{Name: "absent"}, Optional: ptr(true)}},
				{Secret: &corev1.SecretProjection{LocalObjectReference: corev1.LocalObjectReference{Name: "login"}, Items: []corev1.KeyToPath{{Key: "user", Path: "user", Mode: ptr(int32(0o400))}}}},
				{DownwardAPI: &corev1.DownwardAPIProjection{Items: []corev1.DownwardAPIVolumeFile{fieldFile("namespace", "metadata.namespace")}}},
			}}},
			[]itzo.PackageFile{file("a", 0o444, "a"), file("namespace", 0o444, "shop"), file("token", 0o444, "token"), file("user", 0o400, "ann"), file("vault/token", 0o444, "token for vault")},
		},
		"of one path the later source counts": {
			corev1.VolumeSource{Projected: &corev1.ProjectedVolumeSource{Sources: []corev1.VolumeProjection{
				{ConfigMap: &corev1.ConfigMapProjection{LocalObjectReference: corev1.LocalObjectReference{Name: "settings"}, Items: []corev1.KeyToPath{{Key: "a.conf", Path: "x"}}}},
				{Secret: &corev1.SecretProjection{LocalObjectReference: corev1.LocalObjectReference{Name: "login"}, Items: []corev1.KeyToPath{{Key: "user", Path: "x"}}}},
			}}},
			[]itzo.PackageFile{file("x", 0o644, "ann")},
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			got, err := podspec.Packages(podWith(test.volume), world())
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff([]podspec.Package{{Name: "volume-a", Files: test.want}}, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestPackagesAreOfTheVolumesThatNeedThem(t *testing.T) {
	pod := podWith(
		corev1.VolumeSource{Secret: &corev1.SecretVolumeSource{SecretName: "login"}},
		corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{}},
		corev1.VolumeSource{ConfigMap: configMap("settings")},
	)
	// Objects are maps: an answer that depends on their order shows soon.
	first, err := podspec.Packages(pod, world())
	if err != nil {
		t.Fatal(err)
	}
	if len(first) != 2 || first[0].Name != "volume-a" || first[1].Name != "volume-c" {
		t.Errorf("packages are not those of the first and the third volume: %v", first)
	}
	for range 20 {
		again, err := podspec.Packages(pod, world())
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(first, again); diff != "" {
			t.Fatal(diff)
		}
	}
	if none, err := podspec.Packages(podWith(), world()); err != nil || len(none) != 0 {
		t.Errorf("a pod without volumes: %v, %v", none, err)
	}
}

func TestMissing(t *testing.T) {
	key := configMap("settings")
	key.Items = []corev1.KeyToPath{{Key: "a.conf", Path: "a"}, {Key: "absent", Path: "x"}}
	projected := func(source corev1.VolumeProjection) corev1.VolumeSource {
		return corev1.VolumeSource{Projected: &corev1.ProjectedVolumeSource{Sources: []corev1.VolumeProjection{
			{ServiceAccountToken: &corev1.ServiceAccountTokenProjection{Path: "token"}}, source,
		}}}
	}
	tests := map[string]struct {
		volume corev1.VolumeSource
		want   string
	}{
		"configMap":     {corev1.VolumeSource{ConfigMap: configMap("absent")}, `configmap "absent" not found`},
		"configMap key": {corev1.VolumeSource{ConfigMap: key}, `configmap references non-existent config key: absent`},
		"secret":        {corev1.VolumeSource{Secret: &corev1.SecretVolumeSource{SecretName: "absent"}}, `secret "absent" not found`},
		"secret key": {corev1.VolumeSource{Secret: &corev1.SecretVolumeSource{SecretName: "empty", Items: []corev1.KeyToPath{{Key: "k", Path: "p"}}}},
			`references non-existent secret key: k`},
		"projected configMap": {projected(corev1.VolumeProjection{ConfigMap: &corev1.ConfigMapProjection{LocalObjectReference: corev1.LocalObjectReference{Name: "absent"}}}),
			`configmap "absent" not found`},
		"projected secret key": {projected(corev1.VolumeProjection{Secret: &corev1.SecretProjection{LocalObjectReference: corev1.LocalObjectReference{Name: "login"}, Items: []corev1.KeyToPath{{Key: "k", Path: "p"}}}}),
			`references non-existent secret key: k`},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			_, err := podspec.Packages(podWith(corev1.VolumeSource{ConfigMap: configMap("settings")}, test.volume), world())
			var missing *podspec.MissingError
			if want := `MountVolume.SetUp failed for volume "volume-b" : ` + test.want; !errors.As(err, &missing) || missing.Error() != want {
				t.Errorf("%v, want %s", err, want)
			}
		})
	}
}

// TestMissingInSeveral: each volume has its line, with all that it lacks; what is
// waited for is what the first lacks.
func TestMissingInSeveral(t *testing.T) {
	several := corev1.VolumeSource{Projected: &corev1.ProjectedVolumeSource{Sources: []corev1.VolumeProjection{
		{ConfigMap: &corev1.ConfigMapProjection{LocalObjectReference: corev1.LocalObjectReference{Name: "one"}}},
		{ConfigMap: &corev1.ConfigMapProjection{LocalObjectReference: corev1.LocalObjectReference{Name: "settings"}}},
		{Secret: &corev1.SecretProjection{LocalObjectReference: corev1.LocalObjectReference{Name: "two"}}},
		{Secret: &corev1.SecretProjection{LocalObjectReference: corev1.LocalObjectReference{Name: "three"}, Optional: ptr(true)}},
	}}}
	pod := podWith(corev1.VolumeSource{ConfigMap: configMap("settings")}, several, corev1.VolumeSource{Secret: &corev1.SecretVolumeSource{SecretName: "four"}})
	packages, err := podspec.Packages(pod, world())
	want := &podspec.MissingError{Kind: podspec.KindConfigMap, Name: "one", Mounts: []string{
		`MountVolume.SetUp failed for volume "volume-b" : [configmap "one" not found, secret "two" not found]`,
		`MountVolume.SetUp failed for volume "volume-c" : secret "four" not found`,
	}}
	missing := &podspec.MissingError{}
	if errors.As(err, &missing) {
		missing.Path = nil
	}
	if diff := cmp.Diff(want, missing); diff != "" || packages != nil {
		t.Errorf("%v, %s", packages, diff)
	}
}

// An object that cannot be read is not one that is missing.
func TestUnreadable(t *testing.T) {
	tests := map[string]corev1.VolumeSource{
		"spec.volumes[0].configMap": {ConfigMap: configMap("settings")},
		"spec.volumes[0].secret":    {Secret: &corev1.SecretVolumeSource{SecretName: "login", Optional: ptr(true)}},
		"spec.volumes[0].projected.sources[0].serviceAccountToken": {Projected: &corev1.ProjectedVolumeSource{Sources: []corev1.VolumeProjection{
			{ServiceAccountToken: &corev1.ServiceAccountTokenProjection{Path: "token"}},
		}}},
	}
	for path, volume := range tests {
		forbidden := errors.New("forbidden")
		_, err := podspec.Packages(podWith(volume), &objects{err: forbidden})
		var missing *podspec.MissingError
		if !errors.Is(err, forbidden) || errors.As(err, &missing) || !strings.HasPrefix(err.Error(), path+": ") {
			t.Errorf("%s: %v", path, err)
		}
	}
}

// What the API server would have refused stays refused where archives are made.
func TestPathsThatEscape(t *testing.T) {
	for _, path := range []string{"../x", "/etc/passwd", "a/../../x", "..", ".", "", "a/.."} {
		volume := configMap("settings")
		volume.Items = []corev1.KeyToPath{{Key: "a.conf", Path: path}}
		packages, err := podspec.Packages(podWith(corev1.VolumeSource{ConfigMap: volume}), world())
		if err != nil {
			t.Fatal(err)
		}
		if err := itzo.WritePackage(io.Discard, packages[0].Files); err == nil {
			t.Errorf("%q was packed as %q", path, packages[0].Files[0].Path)
		}
	}
}
