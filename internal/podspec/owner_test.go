package podspec_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"

	"kip.elotl.co/internal/itzo"
	"kip.elotl.co/internal/podspec"
)

// The modes and owners are those of a kubelet.
func TestOwners(t *testing.T) {
	const none = -1
	tests := map[string]struct {
		group int64
		users []int64 // of each container; none: none
		want  []itzo.PackageFile
	}{
		"nobody": {none, []int64{none}, []itzo.PackageFile{file("key", 0o400, "ann"), file("token", 0o644, "token")}},
		"a group": {1000, []int64{none}, []itzo.PackageFile{
			{Dir: true, Mode: 0o2755, GID: 1000}, {Path: "key", Mode: 0o440, GID: 1000, Data: []byte("ann")}, {Path: "token", Mode: 0o640, GID: 1000, Data: []byte("token")}}},
		"one user":      {none, []int64{7, 7}, []itzo.PackageFile{file("key", 0o400, "ann"), {Path: "token", Mode: 0o600, UID: 7, Data: []byte("token")}}},
		"two users":     {none, []int64{7, 8}, []itzo.PackageFile{file("key", 0o400, "ann"), file("token", 0o644, "token")}},
		"one says none": {none, []int64{7, none}, []itzo.PackageFile{file("key", 0o400, "ann"), file("token", 0o644, "token")}},
		"both": {1000, []int64{7}, []itzo.PackageFile{
			{Dir: true, Mode: 0o2755, GID: 1000}, {Path: "key", Mode: 0o440, GID: 1000, Data: []byte("ann")}, {Path: "token", Mode: 0o640, UID: 7, GID: 1000, Data: []byte("token")}}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			pod := podWith(corev1.VolumeSource{Projected: &corev1.ProjectedVolumeSource{DefaultMode: ptr(int32(0o644)), Sources: []corev1.VolumeProjection{
				{Secret: &corev1.SecretProjection{LocalObjectReference: corev1.LocalObjectReference{Name: "login"}, Items: []corev1.KeyToPath{{Key: "user", Path: "key", Mode: ptr(int32(0o400))}}}},
				{ServiceAccountToken: &corev1.ServiceAccountTokenProjection{Path: "token"}},
			}}})
			pod.Spec.Containers = nil
			for _, user := range test.users {
				container := corev1.Container{}
				if user != none {
					container.SecurityContext = &corev1.SecurityContext{RunAsUser: &user}
				}
				pod.Spec.Containers = append(pod.Spec.Containers, container)
			}
			pod.Spec.SecurityContext = &corev1.PodSecurityContext{}
			if test.group != none {
				pod.Spec.SecurityContext.FSGroup = &test.group
			}
			got, err := podspec.Packages(pod, world())
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.want, got[0].Files); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// The pod's user counts where a container has none.
func TestUserOfThePod(t *testing.T) {
	pod := podWith(corev1.VolumeSource{Projected: &corev1.ProjectedVolumeSource{Sources: []corev1.VolumeProjection{
		{ServiceAccountToken: &corev1.ServiceAccountTokenProjection{Path: "token"}}}}})
	pod.Spec.SecurityContext = &corev1.PodSecurityContext{RunAsUser: ptr(int64(9))}
	got, err := podspec.Packages(pod, world())
	if err != nil || got[0].Files[0].UID != 9 || got[0].Files[0].Mode != 0o600 {
		t.Errorf("%+v, %v", got, err)
	}
}
