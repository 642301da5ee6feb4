package agent_test

import (
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"

	"kip.elotl.co/internal/agent/fake"
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

// What is known of a container's last run stays when the runtime has forgotten it.
func TestUserInTheStatus(t *testing.T) {
	inCell(t, func(t *testing.T, c *cell) {
		pod, user := newPod(corev1.RestartPolicyNever, `{"main":[{"runSeconds":5}]}`, "main"), int64(1000)
		pod.Spec.Containers[0].SecurityContext = &corev1.SecurityContext{RunAsUser: &user}
		c.update(pod)
		c.wantPhase(corev1.PodRunning)
		for range 2 {
			if got := c.container("main"); got.User == nil || got.User.Linux.UID != user || got.ContainerID == "" {
				t.Errorf("got %+v", got)
			}
			c.stop()
			c.runtime = fake.NewRuntime()
			c.start()
		}
	})
}
