package agent_test

import (
	"net/http"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
)

func withEphemeral(pod *corev1.Pod, name, target string) *corev1.Pod {
	pod = pod.DeepCopy()
	pod.Generation++
	pod.Spec.EphemeralContainers = append(pod.Spec.EphemeralContainers, corev1.EphemeralContainer{
		EphemeralContainerCommon: corev1.EphemeralContainerCommon{Name: name, Image: "debug:1", ImagePullPolicy: corev1.PullIfNotPresent},
		TargetContainerName:      target,
	})
	return pod
}

func (c *cell) ephemeral(name string) corev1.ContainerStatus {
	c.t.Helper()
	for _, status := range c.status().EphemeralContainerStatuses {
		if status.Name == name {
			return status
		}
	}
	c.t.Fatalf("no status of ephemeral container %s", name)
	return corev1.ContainerStatus{}
}

func TestEphemeralContainer(t *testing.T) {
	inCell(t, func(t *testing.T, c *cell) {
		pod := newPod(corev1.RestartPolicyAlways, `{"main":[{"runSeconds":100},{"forever":true}],"debug":[{"runSeconds":10,"exitCode":3,"log":"looking\n"}]}`, "main")
		c.update(pod)
		c.wantPhase(corev1.PodRunning)
		pod = withEphemeral(pod, "debug", "main")
		c.update(pod)
		got := c.ephemeral("debug")
		if got.State.Running == nil || got.Ready || got.Image != "debug:1" {
			t.Errorf("got %+v", got)
		}
		if target := c.runtime.Target("debug"); target == "" || !strings.HasSuffix(c.container("main").ContainerID, target) {
			t.Errorf("it looks at %q", target)
		}
		if log := c.do(http.MethodGet, "/rest/v1/logs/debug", nil); log.Body.String() != "looking\n" {
			t.Errorf("its log is %q", log.Body)
		}
		status := c.status()
		if status.Phase != corev1.PodRunning || status.ObservedGeneration != 2 || status.Conditions[2].Status != corev1.ConditionTrue {
			t.Errorf("got %+v", status)
		}
		sleepSeconds(10)
		// It has ended, and that is that: neither time, nor another version of the
		// pod, nor a restart of the agent starts it again.
		more := withEphemeral(pod, "more", "")
		slices.Reverse(more.Spec.EphemeralContainers)
		c.update(more)
		c.stop()
		c.start()
		sleepSeconds(200)
		if end := c.ephemeral("debug").State.Terminated; end == nil || end.ExitCode != 3 || c.ephemeral("debug").RestartCount != 0 {
			t.Errorf("got %+v", c.ephemeral("debug"))
		}
		if got := c.ephemeral("more"); got.State.Running == nil {
			t.Errorf("got %+v", got)
		}
		if got := c.container("main"); got.RestartCount != 1 {
			t.Errorf("main: %+v", got)
		}
	})
}

// One that is added changes nothing but that, and what there is cannot change.
func TestEphemeralContainerIsOnlyAdded(t *testing.T) {
	inCell(t, func(_ *testing.T, c *cell) {
		pod := newPod(corev1.RestartPolicyAlways, "", "main")
		c.update(pod)
		with := withEphemeral(pod, "debug", "")
		c.update(with)
		c.expect(c.do(http.MethodPost, "/rest/v1/updatepod", parameters(pod)), http.StatusBadRequest, "spec.ephemeralContainers[0]")
		with.Spec.EphemeralContainers[0].Image = "other"
		c.expect(c.do(http.MethodPost, "/rest/v1/updatepod", parameters(with)), http.StatusBadRequest, "spec.ephemeralContainers[0]")
		same := withEphemeral(pod, "main", "")
		c.expect(c.do(http.MethodPost, "/rest/v1/updatepod", parameters(same)), http.StatusBadRequest, `spec.ephemeralContainers[0].name: Duplicate value: "main"`)
	})
}

// It neither keeps a pod from its end nor brings it about.
func TestPodEndsWithoutItsEphemeralContainer(t *testing.T) {
	inCell(t, func(t *testing.T, c *cell) {
		pod := newPod(corev1.RestartPolicyNever, `{"main":[{"runSeconds":20}],"short":[{"runSeconds":1}]}`, "main")
		c.update(pod)
		pod = withEphemeral(pod, "short", "")
		c.update(pod)
		c.update(withEphemeral(pod, "long", ""))
		sleepSeconds(10)
		c.wantPhase(corev1.PodRunning)
		sleepSeconds(20)
		c.wantPhase(corev1.PodSucceeded)
		if end := c.ephemeral("long").State.Terminated; end == nil || end.ExitCode != 143 {
			t.Errorf("got %+v", c.ephemeral("long"))
		}
	})
}

func TestEphemeralContainerWhileInitializing(t *testing.T) {
	inCell(t, func(t *testing.T, c *cell) {
		pod := newPod(corev1.RestartPolicyAlways, `{"setup":[{"runSeconds":100}]}`, "main")
		pod.Spec.InitContainers = []corev1.Container{{Name: "setup", Image: "busybox:1", ImagePullPolicy: corev1.PullIfNotPresent}}
		c.update(pod)
		c.update(withEphemeral(withEphemeral(pod, "debug", "setup"), "early", "main"))
		if got := c.ephemeral("debug"); got.State.Running == nil {
			t.Errorf("got %+v", got)
		}
		early := c.ephemeral("early").State.Waiting
		if early == nil || early.Reason != "CreateContainerConfigError" || early.Message != "unable to find target container main" {
			t.Errorf("got %+v", early)
		}
		// The begin of the ephemeral container is not that of the main one.
		c.wantPhase(corev1.PodPending)
		sleepSeconds(200)
		c.wantPhase(corev1.PodRunning)
		if got := c.ephemeral("early"); got.State.Running == nil {
			t.Errorf("got %+v", got)
		}
	})
}
