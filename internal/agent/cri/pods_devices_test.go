package cri_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
)

// gpus describes two GPUs as nvidia-ctk does, which are null devices here.
const gpus = `{"cdiVersion": "0.6.0", "kind": "nvidia.com/gpu",
"containerEdits": {"env": ["NVIDIA_VISIBLE_DEVICES=void"]},
"devices": [
 {"name": "1", "containerEdits": {"env": ["GPU_1=yes"], "deviceNodes": [{"path": "/dev/nvidia1", "hostPath": "/dev/null"}]}},
 {"name": "0", "containerEdits": {"env": ["GPU_0=yes"], "deviceNodes": [{"path": "/dev/nvidia0", "hostPath": "/dev/null"}]}},
 {"name": "all", "containerEdits": {"env": ["GPU_ALL=yes"]}}]}`

func withGPUs(container corev1.Container, count string) corev1.Container {
	container.Resources.Limits = corev1.ResourceList{"nvidia.com/gpu": resource.MustParse(count)}
	container.Resources.Requests = container.Resources.Limits
	return container
}

// testDevices gives each container GPUs of its own, and an init container some
// that a later one gets too. A runtime that would ignore devices is told of.
func testDevices(t *testing.T, c *cell) {
	const show = `env | grep GPU_ | sort; cd /dev; ls nvidia*; true`
	pod := newPod(corev1.RestartPolicyNever, withGPUs(shell("first", show), "1"), withGPUs(shell("second", show), "1"), shell("none", show))
	pod.Spec.InitContainers = []corev1.Container{withGPUs(shell("both", show), "2")}
	if c.containerd.major < 2 {
		c.run(pod)
		c.waitInitProblem("both", "containerd 1.7 or newer")
		return
	}
	// Nothing is lost of a pod whose driver comes late.
	c.run(pod)
	c.waitInitProblem("both", "nvidia-ctk cdi generate")
	dir := filepath.Join(c.containerd.dir, "cdi")
	must(t, os.MkdirAll(dir, 0o755))
	must(t, os.WriteFile(filepath.Join(dir, "nvidia.json"), []byte(gpus), 0o600))
	c.waitPhase(corev1.PodSucceeded)
	for name, want := range map[string]string{
		"both": "GPU_0=yes GPU_1=yes nvidia0 nvidia1", "first": "GPU_0=yes nvidia0", "second": "GPU_1=yes nvidia1", "none": "",
	} {
		got := strings.Join(strings.Fields(c.logs(name)), " ")
		if got, _, _ = strings.Cut(got, " ls:"); strings.TrimPrefix(got, "ls: nvidia*: No such file or directory") != want {
			t.Errorf("%s sees %q, want %q", name, got, want)
		}
	}
}

// waitInitProblem waits until an init container waits for a reason that says
// what is missing.
func (c *cell) waitInitProblem(name, text string) {
	c.t.Helper()
	c.wait(name+" to say "+text, func(status *corev1.PodStatus) bool {
		for _, container := range status.InitContainerStatuses {
			waiting := container.State.Waiting
			if container.Name == name && waiting != nil && waiting.Reason == "CreateContainerConfigError" {
				return strings.Contains(waiting.Message, text) && strings.Contains(waiting.Message, "resources.limits[nvidia.com/gpu]")
			}
		}
		return false
	})
}
