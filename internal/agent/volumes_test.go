package agent_test

import (
	"errors"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
)

// mounting is a pod with volumes of these names, of which its container mounts all
// but the last.
func mounting(script string, names ...string) *corev1.Pod {
	pod := newPod(corev1.RestartPolicyAlways, script, "main")
	for i, name := range names {
		pod.Spec.Volumes = append(pod.Spec.Volumes, corev1.Volume{Name: name, VolumeSource: corev1.VolumeSource{HostPath: &corev1.HostPathVolumeSource{Path: "/" + name}}})
		if i < len(names)-1 {
			pod.Spec.Containers[0].VolumeMounts = append(pod.Spec.Containers[0].VolumeMounts, corev1.VolumeMount{Name: name, MountPath: "/" + name})
		}
	}
	return pod
}

// wantCreating wants a container that waits as if nothing were wrong.
func (c *cell) wantCreating(name, reason string) {
	c.t.Helper()
	if diff := cmp.Diff(&corev1.ContainerStateWaiting{Reason: reason}, c.container(name).State.Waiting); diff != "" {
		c.t.Error(diff)
	}
}

// TestFailedMount: each volume that cannot be made has its event, and nothing is
// begun before all can.
func TestFailedMount(t *testing.T) {
	inCell(t, func(t *testing.T, c *cell) {
		for _, name := range []string{"one", "three", "unused"} {
			c.host.BreakVolume(name, errors.New("hostPath type check failed: /"+name+" is not a directory"))
		}
		c.update(mounting(`{"main":[{"forever":true}]}`, "one", "two", "three", "unused"))
		c.wantCreating("main", "ContainerCreating")
		lines, _ := c.events(0)
		lines = slices.DeleteFunc(lines, func(line string) bool { return slices.Contains(pulled("spec.containers{main}"), line) })
		want := []string{
			`Warning FailedMount MountVolume.SetUp failed for volume "one" : hostPath type check failed: /one is not a directory`,
			`Warning FailedMount MountVolume.SetUp failed for volume "three" : hostPath type check failed: /three is not a directory`,
		}
		if diff := cmp.Diff(want, lines); diff != "" {
			t.Error(diff)
		}
		if got := c.condition(corev1.PodReadyToStartContainers); got.Status != corev1.ConditionFalse {
			t.Errorf("there is a sandbox: %+v", got)
		}
		c.host.BreakVolume("one", nil)
		c.host.BreakVolume("three", nil)
		sleepSeconds(30)
		c.wantRunning("main")
	})
}

// TestFailedMountAtARestart: of a volume that went bad meanwhile it is told in the
// same words.
func TestFailedMountAtARestart(t *testing.T) {
	inCell(t, func(t *testing.T, c *cell) {
		c.update(mounting(`{"main":[{"runSeconds":5,"exitCode":3},{"forever":true}]}`, "one", "unused"))
		c.wantRunning("main")
		_, last := c.events(0)
		c.host.BreakVolume("one", errors.New("it is gone"))
		sleepSeconds(5)
		present := `spec.containers{main} Normal Pulled Container image "busybox:1" already present on machine and can be accessed by the pod`
		c.newEvents(last, present, `Warning FailedMount MountVolume.SetUp failed for volume "one" : it is gone`,
			"spec.containers{main} Warning BackOff Back-off restarting failed container main in pod web_default(uid-1)")
		c.host.BreakVolume("one", nil)
		sleepSeconds(300)
		if got := c.container("main"); got.State.Running == nil || got.RestartCount != 1 {
			t.Errorf("got %+v", got)
		}
	})
}
