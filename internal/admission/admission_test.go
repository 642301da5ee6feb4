package admission_test

import (
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"kip.elotl.co/api/v1beta1"
	"kip.elotl.co/internal/admission"
)

func podOf(edit ...func(*corev1.Pod)) *corev1.Pod {
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: "web", Namespace: "shop"},
		Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "main", Image: "busybox"}}},
	}
	for _, e := range edit {
		e(pod)
	}
	return pod
}

func TestPod(t *testing.T) {
	for name, test := range map[string]struct {
		edit   func(*corev1.Pod)
		reason string
		failed bool
		holds  string
	}{
		"plain":            {edit: func(*corev1.Pod) {}},
		"linux":            {edit: func(p *corev1.Pod) { p.Spec.OS = &corev1.PodOS{Name: corev1.Linux} }},
		"operating system": {func(p *corev1.Pod) { p.Spec.OS = &corev1.PodOS{Name: corev1.Windows} }, "PodOSNotSupported", true, `spec.os.name: "windows"`},
		"of the agent":     {func(p *corev1.Pod) { p.Spec.HostUsers = new(bool) }, v1beta1.ReasonUnsupportedField, false, "spec.hostUsers: "},
		"of a volume": {func(p *corev1.Pod) {
			p.Spec.Volumes = []corev1.Volume{{Name: "v", VolumeSource: corev1.VolumeSource{DownwardAPI: &corev1.DownwardAPIVolumeSource{Items: []corev1.DownwardAPIVolumeFile{{
				Path: "cpu", ResourceFieldRef: &corev1.ResourceFieldSelector{ContainerName: "main", Resource: "limits.hugepages-2Mi"},
			}}}}}}
		}, v1beta1.ReasonUnsupportedField, false, "spec.volumes[0].downwardAPI.items[0].resourceFieldRef.resource: "},
	} {
		t.Run(name, func(t *testing.T) {
			got := admission.Pod(podOf(test.edit), admission.ExpectedAgent())
			switch {
			case test.reason == "" && got != nil:
				t.Errorf("refused: %+v", got)
			case test.reason != "" && (got == nil || got.Reason != test.reason || got.Failed != test.failed || !strings.Contains(got.Message, test.holds)):
				t.Errorf("refusal %+v", got)
			}
		})
	}
}

func TestDaemon(t *testing.T) {
	yes := true
	owned := func(kind string, controller *bool) *corev1.Pod {
		return podOf(func(p *corev1.Pod) {
			p.OwnerReferences = []metav1.OwnerReference{{Kind: kind, Name: "proxy", Controller: controller}}
		})
	}
	allowing := &v1beta1.CellClass{Spec: v1beta1.CellClassSpec{RunDaemonSets: true}}
	for name, test := range map[string]struct {
		pod     *corev1.Pod
		class   *v1beta1.CellClass
		refused bool
	}{
		"nobody's":             {podOf(), &v1beta1.CellClass{}, false},
		"of a DaemonSet":       {owned("DaemonSet", &yes), &v1beta1.CellClass{}, true},
		"without a class":      {owned("DaemonSet", &yes), nil, true},
		"where the class says": {owned("DaemonSet", &yes), allowing, false},
		"of a ReplicaSet":      {owned("ReplicaSet", &yes), &v1beta1.CellClass{}, false},
		"not controlled by it": {owned("DaemonSet", nil), &v1beta1.CellClass{}, false},
	} {
		t.Run(name, func(t *testing.T) {
			got := admission.Daemon(test.pod, test.class)
			if (got != nil) != test.refused || got != nil && (got.Reason != v1beta1.ReasonDaemonSet || !strings.Contains(got.Message, "from DaemonSet proxy")) {
				t.Errorf("refusal %+v", got)
			}
		})
	}
}

func TestBlame(t *testing.T) {
	for _, test := range []struct {
		message, want string
	}{
		{"CellClass \"a\": spec.aws", "CellClass \"a\": spec.aws"},
		{"spec.instanceType: no such", "annotation pod.elotl.co/instance-type: no such"},
		{"spec.securityGroups: no such", "annotation pod.elotl.co/security-groups: no such"},
		{"spec.instanceProfile: no such", "annotation pod.elotl.co/instance-profile: no such"},
		{"spec.volumeSize: too small", "annotation pod.elotl.co/volume-size: too small"},
	} {
		if got := admission.Blame(test.message); got != test.want {
			t.Errorf("%q is %q, want %q", test.message, got, test.want)
		}
	}
}
