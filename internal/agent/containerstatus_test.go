package agent_test

import (
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
)

// Statuses are sorted by name, and the containers share what a pod's messages may
// have.
func TestStatusesAreNormalized(t *testing.T) {
	inCell(t, func(t *testing.T, c *cell) {
		long := strings.Repeat("x", 4000)
		pod := newPod(corev1.RestartPolicyNever, `{"b":[{"message":"`+long+`"}],"a":[{"message":"`+long+`"}],"c":[{"message":"short"}],"setup":[{}]}`, "b", "c", "a")
		pod.Spec.InitContainers = []corev1.Container{{Name: "setup", Image: "busybox:1", ImagePullPolicy: corev1.PullIfNotPresent}}
		c.update(pod)
		sleepSeconds(1)
		var got []string
		for _, status := range c.status().ContainerStatuses {
			got = append(got, status.Name)
			if message := status.State.Terminated.Message; status.Name == "a" && len(message) != 12<<10/4 || status.Name == "c" && message != "short" {
				t.Errorf("%s: %d bytes", status.Name, len(message))
			}
		}
		if strings.Join(got, "") != "abc" {
			t.Errorf("order: %v", got)
		}
	})
}

func TestMountsInTheStatus(t *testing.T) {
	inCell(t, func(t *testing.T, c *cell) {
		pod := newPod(corev1.RestartPolicyNever, "", "main")
		pod.Spec.Volumes = []corev1.Volume{{Name: "data", VolumeSource: corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{}}}}
		pod.Spec.Containers[0].VolumeMounts = []corev1.VolumeMount{{Name: "data", MountPath: "/rw"}, {Name: "data", MountPath: "/ro", ReadOnly: true}}
		c.update(pod)
		got := c.container("main").VolumeMounts
		if len(got) != 2 || got[0].MountPath != "/rw" || got[0].RecursiveReadOnly != nil ||
			!got[1].ReadOnly || *got[1].RecursiveReadOnly != corev1.RecursiveReadOnlyDisabled {
			t.Errorf("got %+v", got)
		}
	})
}
