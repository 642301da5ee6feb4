package agent

import (
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
)

// TestAllot looks at which of four GPUs each container of a pod gets: running
// side by side never the same one.
func TestAllot(t *testing.T) {
	asking := func(name, count string) corev1.Container {
		return corev1.Container{Name: name, Resources: corev1.ResourceRequirements{
			Limits: corev1.ResourceList{"nvidia.com/gpu": resource.MustParse(count)},
		}}
	}
	sidecar := asking("sidecar", "1")
	always := corev1.ContainerRestartPolicyAlways
	sidecar.RestartPolicy = &always
	pod := &corev1.Pod{Spec: corev1.PodSpec{
		InitContainers: []corev1.Container{asking("before", "4"), sidecar, asking("after", "3")},
		Containers:     []corev1.Container{asking("two", "2"), {Name: "none"}, asking("one", "1"), asking("too many", "1")},
	}}
	var cell []Device
	for _, name := range []string{"0", "1", "2", "3"} {
		cell = append(cell, Device{Resource: "nvidia.com/gpu", Name: name})
	}
	for name, want := range map[string]string{"before": "0123", "sidecar": "0", "after": "123", "two": "12", "none": "", "one": "3"} {
		got, err := allot(pod, name, "nvidia.com/gpu", cell)
		var names []string
		for _, device := range got {
			names = append(names, device.Name)
		}
		if err != nil || !slices.Equal(names, strings.Split(want, "")) {
			t.Errorf("%s got %v, want %s; %v", name, names, want, err)
		}
	}
	_, err := allot(pod, "too many", "nvidia.com/gpu", cell)
	if err == nil || !strings.Contains(err.Error(), "resources.limits[nvidia.com/gpu]: container too many wants 1, the cell has 4, 4 of them for other containers") {
		t.Errorf("one more than there are: %v", err)
	}
}
