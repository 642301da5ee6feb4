package podsupport_test

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"

	"kip.elotl.co/internal/podsupport"
)

func TestChanges(t *testing.T) {
	tests := map[string]struct {
		change func(*corev1.Pod)
		want   []string
	}{
		"nothing":      {func(*corev1.Pod) {}, nil},
		"metadata":     {func(p *corev1.Pod) { p.Labels = map[string]string{"a": "b"} }, nil},
		"toleration":   {func(p *corev1.Pod) { p.Spec.Tolerations = nil }, nil},
		"grace period": {func(p *corev1.Pod) { p.Spec.TerminationGracePeriodSeconds = ptr(int64(1)) }, nil},
		"environment":  {func(p *corev1.Pod) { p.Spec.Containers[0].Env[0].Value = "new" }, nil},
		"same amount": {func(p *corev1.Pod) {
			p.Spec.Containers[0].Resources.Limits[corev1.ResourceCPU] = resource.MustParse("1000m")
		}, nil},
		"image": {func(p *corev1.Pod) { p.Spec.Containers[0].Image = "other" }, nil},
		"resources": {func(p *corev1.Pod) {
			p.Spec.Containers[0].Resources.Limits[corev1.ResourceCPU] = resource.MustParse("2")
			p.Spec.Resources = &corev1.ResourceRequirements{}
		}, nil},
		"volumes":        {func(p *corev1.Pod) { p.Spec.Volumes = nil }, []string{"spec.volumes"}},
		"containers":     {func(p *corev1.Pod) { p.Spec.Containers = append(p.Spec.Containers, corev1.Container{}) }, []string{"spec.containers"}},
		"init container": {func(p *corev1.Pod) { p.Spec.InitContainers[0].Image = "other" }, nil},
		"command":        {func(p *corev1.Pod) { p.Spec.Containers[0].Command = []string{"other"} }, []string{"spec.containers[0].command"}},
		"ephemeral container": {func(p *corev1.Pod) {
			p.Spec.EphemeralContainers = slices.Insert(p.Spec.EphemeralContainers, 0, corev1.EphemeralContainer{})
		}, nil},
		"other ephemeral container": {func(p *corev1.Pod) { p.Spec.EphemeralContainers[0].TargetContainerName = "" }, []string{"spec.ephemeralContainers[0]"}},
		"policy":                    {func(p *corev1.Pod) { p.Spec.RestartPolicy = corev1.RestartPolicyNever }, []string{"spec.restartPolicy"}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			old := defaulted()
			old.Spec.EphemeralContainers = []corev1.EphemeralContainer{{TargetContainerName: "web"}}
			pod := old.DeepCopy()
			test.change(pod)
			var got []string
			for _, err := range podsupport.Changes(old, pod) {
				got = append(got, err.Field)
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}
