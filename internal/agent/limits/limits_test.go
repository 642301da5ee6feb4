package limits

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
)

func list(cpu, memory string) corev1.ResourceList {
	list := corev1.ResourceList{}
	for name, amount := range map[corev1.ResourceName]string{corev1.ResourceCPU: cpu, corev1.ResourceMemory: memory} {
		if amount != "" {
			list[name] = resource.MustParse(amount)
		}
	}
	return list
}

func container(requests, limits corev1.ResourceList) corev1.Container {
	return corev1.Container{Name: "c", Resources: corev1.ResourceRequirements{Requests: requests, Limits: limits}}
}

func sidecar(requests, limits corev1.ResourceList) corev1.Container {
	always := corev1.ContainerRestartPolicyAlways
	made := container(requests, limits)
	made.Name, made.RestartPolicy = "s", &always
	return made
}

const mib = 1 << 20

func TestPod(t *testing.T) {
	tests := map[string]struct {
		spec  corev1.PodSpec
		class corev1.PodQOSClass
		want  Limits
	}{
		"nothing": {corev1.PodSpec{Containers: []corev1.Container{container(nil, nil)}}, corev1.PodQOSBestEffort, Limits{CPUShares: 2}},
		"guaranteed, with a sidecar": {corev1.PodSpec{
			InitContainers: []corev1.Container{sidecar(list("1", "64Mi"), list("1", "64Mi"))},
			Containers:     []corev1.Container{container(list("1", "64Mi"), list("1", "64Mi"))},
		}, corev1.PodQOSGuaranteed, Limits{CPUShares: 2048, CPUQuota: 200_000, Memory: 128 * mib}},
		"an init container needs more": {corev1.PodSpec{
			InitContainers: []corev1.Container{container(list("2", "256Mi"), list("2", "256Mi"))},
			Containers:     []corev1.Container{container(list("1", "64Mi"), list("1", "64Mi"))},
		}, corev1.PodQOSGuaranteed, Limits{CPUShares: 2048, CPUQuota: 200_000, Memory: 256 * mib}},
		"one without a limit": {corev1.PodSpec{
			Containers: []corev1.Container{container(list("1", ""), list("1", "64Mi")), container(list("500m", "32Mi"), list("500m", ""))},
		}, corev1.PodQOSBurstable, Limits{CPUShares: 1536, CPUQuota: 150_000}},
		"the pod's own": {corev1.PodSpec{
			Containers: []corev1.Container{container(nil, nil), container(list("500m", ""), nil)},
			Resources:  &corev1.ResourceRequirements{Requests: list("1", "64Mi"), Limits: list("2", "128Mi")},
		}, corev1.PodQOSBurstable, Limits{CPUShares: 1024, CPUQuota: 200_000, Memory: 128 * mib}},
		"the pod's own, guaranteed": {corev1.PodSpec{
			Containers: []corev1.Container{container(nil, nil)},
			Resources:  &corev1.ResourceRequirements{Requests: list("1", "64Mi"), Limits: list("1", "64Mi")},
		}, corev1.PodQOSGuaranteed, Limits{CPUShares: 1024, CPUQuota: 100_000, Memory: 64 * mib}},
		"overhead": {corev1.PodSpec{
			Containers: []corev1.Container{container(list("1", "64Mi"), list("1", "64Mi"))}, Overhead: list("1", "1Mi"),
		}, corev1.PodQOSGuaranteed, Limits{CPUShares: 2048, CPUQuota: 200_000, Memory: 65 * mib}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			pod := &corev1.Pod{Spec: test.spec}
			if got := QOS(pod); got != test.class {
				t.Errorf("class %s, want %s", got, test.class)
			}
			if diff := cmp.Diff(test.want, Pod(pod)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestContainerOfPodWithItsOwn(t *testing.T) {
	pod := &corev1.Pod{Spec: corev1.PodSpec{
		Containers: []corev1.Container{container(nil, nil), container(list("500m", "16Mi"), list("1", "32Mi"))},
		Resources:  &corev1.ResourceRequirements{Requests: list("1", "64Mi"), Limits: list("2", "128Mi")},
	}}
	want := []Limits{{CPUShares: 2048, CPUQuota: 200_000, Memory: 128 * mib}, {CPUShares: 512, CPUQuota: 100_000, Memory: 32 * mib}}
	for i := range want {
		if diff := cmp.Diff(want[i], Container(pod, &pod.Spec.Containers[i])); diff != "" {
			t.Errorf("container %d: %s", i, diff)
		}
	}
}

func TestOOMScore(t *testing.T) {
	pod := &corev1.Pod{Spec: corev1.PodSpec{
		InitContainers: []corev1.Container{sidecar(nil, nil)},
		Containers:     []corev1.Container{container(list("", "256Mi"), nil), container(list("", "512Mi"), nil)},
	}}
	const capacity = 1 << 30
	score := func(c *corev1.Container) int64 { return OOMScore(pod, c, capacity) }
	got := []int64{score(&pod.Spec.InitContainers[0]), score(&pod.Spec.Containers[0]), score(&pod.Spec.Containers[1])}
	if diff := cmp.Diff([]int64{750, 750, 500}, got); diff != "" {
		t.Error(diff)
	}
	// What the pod asks for beyond that is shared by all three.
	pod.Spec.Resources = &corev1.ResourceRequirements{Requests: list("", "960Mi")}
	got = []int64{score(&pod.Spec.InitContainers[0]), score(&pod.Spec.Containers[0]), score(&pod.Spec.Containers[1])}
	if diff := cmp.Diff([]int64{688, 688, 438}, got); diff != "" {
		t.Error(diff)
	}
}

func TestMemoryVolume(t *testing.T) {
	limited := &corev1.Pod{Spec: corev1.PodSpec{Containers: []corev1.Container{container(nil, list("", "64Mi"))}}}
	open := &corev1.Pod{Spec: corev1.PodSpec{Containers: []corev1.Container{container(nil, nil)}}}
	size := func(text string) *resource.Quantity { q := resource.MustParse(text); return &q }
	for _, test := range []struct {
		pod   *corev1.Pod
		limit *resource.Quantity
		want  int64
	}{
		{open, nil, 512 * mib}, {open, size("1Mi"), mib}, {open, size("1Gi"), 512 * mib}, {open, size("0"), 512 * mib},
		{limited, nil, 64 * mib}, {limited, size("128Mi"), 64 * mib}, {limited, size("32Mi"), 32 * mib},
	} {
		if got := MemoryVolume(test.pod, test.limit, 512*mib); got != test.want {
			t.Errorf("limit %v: %d bytes, want %d", test.limit, got, test.want)
		}
	}
}
