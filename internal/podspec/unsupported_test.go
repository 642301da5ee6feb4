package podspec_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"

	"kip.elotl.co/internal/podspec"
)

func TestUnsupported(t *testing.T) {
	limits := corev1.DownwardAPIVolumeFile{Path: "disk", ResourceFieldRef: &corev1.ResourceFieldSelector{ContainerName: "main", Resource: "limits.hugepages-2Mi"}}
	projected := func(sources ...corev1.VolumeProjection) corev1.VolumeSource {
		return corev1.VolumeSource{Projected: &corev1.ProjectedVolumeSource{Sources: sources}}
	}
	downward := func(items ...corev1.DownwardAPIVolumeFile) corev1.VolumeSource {
		return corev1.VolumeSource{DownwardAPI: &corev1.DownwardAPIVolumeSource{Items: items}}
	}
	token := corev1.VolumeProjection{ServiceAccountToken: &corev1.ServiceAccountTokenProjection{Path: "token"}}
	tests := map[string]struct {
		volume corev1.VolumeSource
		want   []string
	}{
		"other kinds are not looked at": {corev1.VolumeSource{HostPath: &corev1.HostPathVolumeSource{}}, nil},
		"configMap":                     {corev1.VolumeSource{ConfigMap: configMap("absent")}, nil},
		"fields":                        {downward(fieldFile("a", "metadata.labels"), fieldFile("b", "metadata.annotations['x']")), nil},
		"resources":                     {downward(fieldFile("a", "metadata.name"), limits), []string{"spec.volumes[0].downwardAPI.items[1].resourceFieldRef.resource"}},
		"field of the status":           {downward(fieldFile("a", "status.podIP")), []string{"spec.volumes[0].downwardAPI.items[0].fieldRef.fieldPath"}},
		"open bracket":                  {downward(fieldFile("a", "metadata.labels['x")), []string{"spec.volumes[0].downwardAPI.items[0].fieldRef.fieldPath"}},
		"neither":                       {downward(corev1.DownwardAPIVolumeFile{Path: "a"}), []string{"spec.volumes[0].downwardAPI.items[0]"}},
		"projected": {projected(token, corev1.VolumeProjection{DownwardAPI: &corev1.DownwardAPIProjection{Items: []corev1.DownwardAPIVolumeFile{limits}}}),
			[]string{"spec.volumes[0].projected.sources[1].downwardAPI.items[0].resourceFieldRef.resource"}},
		"trust bundle": {projected(token, corev1.VolumeProjection{ClusterTrustBundle: &corev1.ClusterTrustBundleProjection{Path: "x"}}),
			[]string{"spec.volumes[0].projected.sources[1].clusterTrustBundle"}},
		"pod certificate": {projected(corev1.VolumeProjection{PodCertificate: &corev1.PodCertificateProjection{}}, token),
			[]string{"spec.volumes[0].projected.sources[0].podCertificate"}},
		"unknown source": {projected(corev1.VolumeProjection{}), []string{"spec.volumes[0].projected.sources[0]"}},
		"two":            {downward(limits, limits), []string{"spec.volumes[0].downwardAPI.items[0].resourceFieldRef.resource", "spec.volumes[0].downwardAPI.items[1].resourceFieldRef.resource"}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			pod := podWith(test.volume)
			var got []string
			for _, err := range podspec.Unsupported(pod) {
				got = append(got, err.Field)
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Error(diff)
			}
			// What is let pass here can be made, but for what is missing.
			delivered, err := podspec.Packages(pod, world())
			if len(test.want) > 0 && err == nil {
				t.Errorf("refused, but made: %v", delivered)
			}
		})
	}
}
