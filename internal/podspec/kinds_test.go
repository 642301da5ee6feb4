package podspec_test

import (
	"bytes"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation"

	"kip.elotl.co/internal/itzo"
	"kip.elotl.co/internal/podspec"
)

// Volumes of the kinds that hold no objects' content give no package, whatever
// stands around them.
func TestKindsWithoutContent(t *testing.T) {
	kinds := map[string]corev1.VolumeSource{
		"emptyDir":              {EmptyDir: &corev1.EmptyDirVolumeSource{Medium: corev1.StorageMediumMemory}},
		"hostPath":              {HostPath: &corev1.HostPathVolumeSource{Path: "/"}},
		"persistentVolumeClaim": {PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{ClaimName: "c"}},
		"csi":                   {CSI: &corev1.CSIVolumeSource{Driver: "d"}},
		"ephemeral":             {Ephemeral: &corev1.EphemeralVolumeSource{}},
		"nfs":                   {NFS: &corev1.NFSVolumeSource{}},
		"image":                 {Image: &corev1.ImageVolumeSource{Reference: "busybox"}},
		"awsElasticBlockStore":  {AWSElasticBlockStore: &corev1.AWSElasticBlockStoreVolumeSource{}},
		"of no kind":            {},
	}
	for name, kind := range kinds {
		t.Run(name, func(t *testing.T) {
			pod := podWith(kind, corev1.VolumeSource{Secret: &corev1.SecretVolumeSource{SecretName: "login"}}, kind)
			got, err := podspec.Packages(pod, world())
			if err != nil {
				t.Fatal(err)
			}
			if len(got) != 1 || got[0].Name != "volume-b" {
				t.Errorf("%v, want the Secret's package alone", got)
			}
		})
	}
}

// Keys are DNS subdomain names with more characters; each that the API server
// lets through is a file of that name.
func TestOddNames(t *testing.T) {
	names := []string{"..data.json", ".hidden", "a..b", "-dash", "_", "UPPER.Case", "tls.crt", "...", strings.Repeat("k", 253)}
	object := &corev1.ConfigMap{Data: map[string]string{}}
	var want []string
	for _, name := range names {
		if errs := validation.IsConfigMapKey(name); len(errs) == 0 {
			object.Data[name] = name
			want = append(want, name)
		}
	}
	got, err := podspec.Packages(podWith(corev1.VolumeSource{ConfigMap: configMap("odd")}), &objects{configMaps: map[string]*corev1.ConfigMap{"odd": object}})
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]string{}
	for _, f := range got[0].Files {
		found[f.Path] = string(f.Data)
	}
	for _, name := range want {
		if found[name] != name {
			t.Errorf("%q holds %q", name, found[name])
		}
	}
	if len(found) != len(want) || len(want) < 6 {
		t.Errorf("%d files of %d keys", len(found), len(want))
	}
	if err := itzo.WritePackage(&bytes.Buffer{}, got[0].Files); err != nil {
		t.Errorf("names that the API server allows cannot be packed: %v", err)
	}
}

// A Secret and a ConfigMap can hold 1 MiB, in one key or in thousands.
func TestBigContents(t *testing.T) {
	const limit = corev1.MaxSecretSize
	one := &corev1.Secret{Data: map[string][]byte{"all": bytes.Repeat([]byte{0, 0xff}, limit/2)}}
	many := &corev1.ConfigMap{Data: map[string]string{}, BinaryData: map[string][]byte{}}
	for i := range 4096 {
		key := "key-" + strings.Repeat("k", i%100) + "-" + string(rune('a'+i%26)) + strings.Repeat("x", i/100)
		many.Data[key] = strings.Repeat("v", limit/4096)
	}
	found := &objects{secrets: map[string]*corev1.Secret{"one": one}, configMaps: map[string]*corev1.ConfigMap{"many": many}}
	got, err := podspec.Packages(podWith(corev1.VolumeSource{Secret: &corev1.SecretVolumeSource{SecretName: "one"}}, corev1.VolumeSource{ConfigMap: configMap("many")}), found)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got[0].Files[0].Data, one.Data["all"]) {
		t.Error("1 MiB in one key is not what it was")
	}
	if len(got[1].Files) != len(many.Data) {
		t.Errorf("%d files of %d keys", len(got[1].Files), len(many.Data))
	}
	for i := 1; i < len(got[1].Files); i++ {
		if got[1].Files[i-1].Path >= got[1].Files[i].Path {
			t.Fatalf("%q stands before %q", got[1].Files[i-1].Path, got[1].Files[i].Path)
		}
	}
}

// Every mode a volume can have, from the volume, or an item that overrules it.
func TestModes(t *testing.T) {
	for _, mode := range []*int32{nil, ptr(int32(0)), ptr(int32(0o400)), ptr(int32(0o644)), ptr(int32(0o777))} {
		for _, own := range []*int32{nil, ptr(int32(0)), ptr(int32(0o755))} {
			want := int64(0o644)
			if mode != nil {
				want = int64(*mode)
			}
			if own != nil {
				want = int64(*own)
			}
			items := []corev1.KeyToPath{{Key: "user", Path: "f", Mode: own}}
			keys := []corev1.KeyToPath{{Key: "a.conf", Path: "f", Mode: own}}
			downward := fieldFile("f", "metadata.name")
			downward.Mode = own
			reference := corev1.LocalObjectReference{Name: "settings"}
			for name, volume := range map[string]corev1.VolumeSource{
				"secret":      {Secret: &corev1.SecretVolumeSource{SecretName: "login", Items: items, DefaultMode: mode}},
				"configMap":   {ConfigMap: &corev1.ConfigMapVolumeSource{LocalObjectReference: reference, Items: keys, DefaultMode: mode}},
				"downwardAPI": {DownwardAPI: &corev1.DownwardAPIVolumeSource{Items: []corev1.DownwardAPIVolumeFile{downward}, DefaultMode: mode}},
				"projected": {Projected: &corev1.ProjectedVolumeSource{DefaultMode: mode, Sources: []corev1.VolumeProjection{
					{ConfigMap: &corev1.ConfigMapProjection{LocalObjectReference: reference, Items: keys}}}}},
			} {
				got, err := podspec.Packages(podWith(volume), world())
				if err != nil {
					t.Fatal(name, err)
				}
				if got[0].Files[0].Mode != want {
					t.Errorf("%s: mode %o, want %o", name, got[0].Files[0].Mode, want)
				}
			}
		}
	}
}

// What is sent is the pod's own in every field of the spec, and what is left
// away of its metadata is only what the API server needs.
func TestParametersOfBarePods(t *testing.T) {
	for name, pod := range map[string]*corev1.Pod{
		"nothing but a name": {ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "a"}},
		"an odd name":        {ObjectMeta: metav1.ObjectMeta{Namespace: "kube-system", Name: "a.b-c.9"}},
	} {
		t.Run(name, func(t *testing.T) {
			got := podspec.Parameters(pod, "")
			if got.PodName != pod.Namespace+"_"+pod.Name || got.PodHostname != pod.Name || got.PodIP != "" {
				t.Errorf("%+v", got)
			}
			if diff := cmp.Diff(pod.ObjectMeta, got.Pod.ObjectMeta); diff != "" {
				t.Error(diff)
			}
		})
	}
}
