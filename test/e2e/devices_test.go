package e2e

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"

	"kip.elotl.co/api/v1beta1"
)

// TestDevices: a pod that asks for accelerators is put on a type that has them, with the image that the class has for such types, and each of its
// containers finds its own. The devices of the local cells do nothing but exist.
func TestDevices(t *testing.T) {
	t.Parallel()
	env := environment(t)
	if _, err := os.Stat(filepath.Join(env.BinDir, "containerd2", "containerd")); err != nil {
		t.Skip("needs containerd 2: make containerd2")
	}
	class := newClass(t, env, "devices", func(c *v1beta1.CellClass) {
		c.Spec.Capacity = corev1.ResourceList{
			"pods": resource.MustParse("10"), "nvidia.com/gpu": resource.MustParse("8"), "aws.amazon.com/neuron": resource.MustParse("8"),
		}
		for _, kind := range [][2]string{{"nvidia", "gpu"}, {"neuron", "neuron"}} {
			c.Spec.BootImageOverrides = append(c.Spec.BootImageOverrides, v1beta1.BootImageOverride{
				Accelerator: kind[0], Image: v1beta1.BootImageSpec{Owners: "self", Filters: "name=kip-cell-" + kind[1] + "-*"},
			})
		}
	})
	create(t, env, class)
	waitForNode(t, env, class)
	waitForRuntimeClass(t, env, class)
	ns := namespace(t, env)
	const show = "cd /dev; for d in nvidia* neuron*; do [ ! -c $d ] || { echo $d; echo x >$d; }; done"
	asking := func(name string, what corev1.ResourceName, count string) corev1.Container {
		container := podSpec(env, class, show).Containers[0]
		container.Name = name
		if what != "" {
			container.Resources.Limits = corev1.ResourceList{what: resource.MustParse(count)}
		}
		return container
	}
	for name, want := range map[string]map[string]string{
		"gpus":    {"first": "nvidia0", "second": "nvidia1 nvidia2 nvidia3", "none": ""},
		"neurons": {"first": "neuron0"},
	} {
		pod := newPod(env, ns, name, class, show, func(pod *corev1.Pod) {
			pod.Spec.RestartPolicy = corev1.RestartPolicyNever
			pod.Spec.Containers = []corev1.Container{asking("first", "nvidia.com/gpu", "1"), asking("second", "nvidia.com/gpu", "3"), asking("none", "", "")}
			if name == "neurons" {
				pod.Spec.Containers = []corev1.Container{asking("first", "aws.amazon.com/neuron", "1")}
			}
		})
		create(t, env, pod)
		waitForPhase(t, env, pod, corev1.PodSucceeded)
		for container, devices := range want {
			log, err := env.Kube.CoreV1().Pods(ns).GetLogs(name, &corev1.PodLogOptions{Container: container}).DoRaw(t.Context())
			if got := strings.Join(strings.Fields(string(log)), " "); err != nil || got != devices {
				t.Errorf("pod %s, container %s: %q, %v; want %s", name, container, got, err, devices)
			}
		}
	}
}
