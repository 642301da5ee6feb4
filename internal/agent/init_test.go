package agent_test

import (
	"context"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	corev1 "k8s.io/api/core/v1"

	"kip.elotl.co/internal/agent"
)

// withInit puts init containers before a pod's containers; a name that begins
// with "side" is a restartable one's.
func withInit(pod *corev1.Pod, names ...string) *corev1.Pod {
	for _, name := range names {
		container := corev1.Container{Name: name, Image: "busybox:1", ImagePullPolicy: corev1.PullIfNotPresent}
		if strings.HasPrefix(name, "side") {
			container.RestartPolicy = new(corev1.ContainerRestartPolicy)
			*container.RestartPolicy = corev1.ContainerRestartPolicyAlways
		}
		pod.Spec.InitContainers = append(pod.Spec.InitContainers, container)
	}
	return pod
}

// initContainer is the status of one init container.
func (c *cell) initContainer(name string) corev1.ContainerStatus {
	c.t.Helper()
	for _, status := range c.status().InitContainerStatuses {
		if status.Name == name {
			return status
		}
	}
	c.t.Fatalf("no status of init container %s", name)
	return corev1.ContainerStatus{}
}

func (c *cell) condition(kind corev1.PodConditionType) corev1.PodCondition {
	c.t.Helper()
	for _, condition := range c.status().Conditions {
		if condition.Type == kind {
			return condition
		}
	}
	c.t.Fatalf("no condition %s", kind)
	return corev1.PodCondition{}
}

// running are the names of the containers that run, in the order of their start.
func (c *cell) running() []string {
	c.t.Helper()
	synctest.Wait()
	obs, err := c.runtime.List(context.Background(), "uid-1")
	if err != nil {
		c.t.Fatal(err)
	}
	var names []string
	for _, container := range obs.Containers {
		if container.State == agent.ContainerRunning {
			names = append(names, container.Name)
		}
	}
	return names
}

func (c *cell) wantRunning(want ...string) {
	c.t.Helper()
	if got := c.running(); !slices.Equal(got, want) {
		c.t.Fatalf("running are %v, want %v", got, want)
	}
}

func TestInitContainersInOrder(t *testing.T) {
	inCell(t, func(t *testing.T, c *cell) {
		c.update(withInit(newPod(corev1.RestartPolicyNever,
			`{"one":[{"runSeconds":5}],"two":[{"runSeconds":5}],"main":[{"runSeconds":5}]}`, "main"), "one", "two"))
		c.wantRunning("one")
		c.wantPhase(corev1.PodPending)
		if got := c.condition(corev1.PodInitialized); got.Status != corev1.ConditionFalse || got.Reason != "ContainersNotInitialized" ||
			got.Message != "containers with incomplete status: [one two]" {
			t.Errorf("got %+v", got)
		}
		if got := c.initContainer("one"); got.State.Running == nil || got.Ready {
			t.Errorf("one: %+v", got)
		}
		for _, got := range []corev1.ContainerStatus{c.initContainer("two"), c.container("main")} {
			if got.State.Waiting == nil || got.State.Waiting.Reason != "PodInitializing" {
				t.Errorf("%s: %+v", got.Name, got)
			}
		}
		sleepSeconds(5)
		c.wantRunning("two")
		if got := c.initContainer("one"); got.State.Terminated == nil || got.State.Terminated.Reason != "Completed" || !got.Ready {
			t.Errorf("one: %+v", got)
		}
		sleepSeconds(5)
		c.wantRunning("main")
		c.wantPhase(corev1.PodRunning)
		if got := c.condition(corev1.PodInitialized); got.Status != corev1.ConditionTrue {
			t.Errorf("got %+v", got)
		}
		sleepSeconds(5)
		c.wantPhase(corev1.PodSucceeded)
		if got := c.condition(corev1.PodInitialized); got.Status != corev1.ConditionTrue || got.Reason != "PodCompleted" {
			t.Errorf("got %+v", got)
		}
	})
}

func TestInitContainerFails(t *testing.T) {
	inCell(t, func(t *testing.T, c *cell) {
		c.update(withInit(newPod(corev1.RestartPolicyNever, `{"one":[{"runSeconds":1,"exitCode":4}]}`, "main"), "one", "two"))
		sleepSeconds(1)
		c.wantPhase(corev1.PodFailed)
		if end := c.initContainer("one").State.Terminated; end == nil || end.ExitCode != 4 || end.Reason != "Error" {
			t.Errorf("one: %+v", end)
		}
		for _, got := range []corev1.ContainerStatus{c.initContainer("two"), c.container("main")} {
			if got.State.Waiting == nil || got.State.Waiting.Reason != "PodInitializing" {
				t.Errorf("%s: %+v", got.Name, got)
			}
		}
	})
}

func TestInitContainerIsTriedAgain(t *testing.T) {
	for _, policy := range []corev1.RestartPolicy{corev1.RestartPolicyAlways, corev1.RestartPolicyOnFailure} {
		t.Run(string(policy), func(t *testing.T) {
			inCell(t, func(t *testing.T, c *cell) {
				c.update(withInit(newPod(policy, `{"one":[{"exitCode":1},{"exitCode":2},{}]}`, "main"), "one"))
				got := c.initContainer("one")
				if got.State.Waiting == nil || got.State.Waiting.Reason != "CrashLoopBackOff" || got.RestartCount != 1 ||
					got.LastTerminationState.Terminated.ExitCode != 2 {
					t.Errorf("got %+v", got)
				}
				c.wantPhase(corev1.PodPending)
				sleepSeconds(10)
				c.wantRunning("main")
				if got := c.initContainer("one"); got.RestartCount != 2 || !got.Ready {
					t.Errorf("got %+v", got)
				}
			})
		})
	}
}

// An agent that comes back goes on where the last one was.
func TestAgentRestartDuringInit(t *testing.T) {
	inCell(t, func(t *testing.T, c *cell) {
		c.update(withInit(newPod(corev1.RestartPolicyNever, `{"one":[{}],"two":[{"runSeconds":5}]}`, "main"), "one", "two"))
		c.wantRunning("two")
		before := c.initContainer("two").ContainerID
		c.stop()
		sleepSeconds(10)
		c.start()
		c.wantRunning("main")
		if got := c.initContainer("two"); got.ContainerID != before || got.RestartCount != 0 {
			t.Errorf("two ran again: %+v", got)
		}
	})
}

// In another sandbox everything is to be initialized again.
func TestSandboxDiesAfterInit(t *testing.T) {
	inCell(t, func(t *testing.T, c *cell) {
		c.update(withInit(newPod(corev1.RestartPolicyAlways, `{"one":[{},{"runSeconds":5}]}`, "main"), "one", "side"))
		c.wantRunning("side", "main")
		c.runtime.FailSandbox("uid-1")
		sleepSeconds(1)
		c.wantRunning("one")
		c.wantPhase(corev1.PodPending)
		sleepSeconds(5)
		c.wantRunning("side", "main")
		if got := c.initContainer("one"); got.RestartCount != 1 || !got.Ready {
			t.Errorf("one: %+v", got)
		}
	})
}

func TestStopDuringInit(t *testing.T) {
	inCell(t, func(t *testing.T, c *cell) {
		c.update(withInit(newPod(corev1.RestartPolicyAlways, "", "main"), "one"))
		c.wantRunning("one")
		c.sendStop("uid-1", 10)
		c.wantPhase(corev1.PodFailed)
		if end := c.initContainer("one").State.Terminated; end == nil || end.ExitCode != 143 {
			t.Errorf("one: %+v", end)
		}
	})
}

func TestSidecars(t *testing.T) {
	inCell(t, func(t *testing.T, c *cell) {
		c.update(withInit(newPod(corev1.RestartPolicyNever,
			`{"side2":[{"runSeconds":3,"exitCode":1},{"forever":true}],"one":[{"runSeconds":5}],"main":[{"runSeconds":5}]}`, "main"),
			"side1", "side2", "one"))
		c.wantRunning("side1", "side2", "one")
		if got := c.initContainer("side1"); got.State.Running == nil || !got.Ready || !*got.Started {
			t.Errorf("side1: %+v", got)
		}
		// It is restarted whatever the pod's policy says.
		sleepSeconds(3)
		c.wantRunning("side1", "one", "side2")
		sleepSeconds(2)
		c.wantRunning("side1", "side2", "main")
		c.wantPhase(corev1.PodRunning)
		sleepSeconds(5)
		c.wantPhase(corev1.PodSucceeded)
		if got := c.initContainer("side2"); got.RestartCount != 1 || got.State.Terminated == nil || got.State.Terminated.ExitCode != 143 {
			t.Errorf("side2: %+v", got)
		}
	})
}

// Sidecars end after the main containers and in reverse order.
func TestSidecarsEndLast(t *testing.T) {
	inCell(t, func(t *testing.T, c *cell) {
		c.update(withInit(newPod(corev1.RestartPolicyAlways,
			`{"main":[{"forever":true,"stopSeconds":4}],"side1":[{"forever":true,"stopSeconds":1}],"side2":[{"forever":true,"stopSeconds":3}]}`,
			"main"), "side1", "side2"))
		c.wantRunning("side1", "side2", "main")
		c.sendStop("uid-1", 6)
		sleepSeconds(3.9)
		c.wantRunning("side1", "side2", "main")
		sleepSeconds(0.2)
		c.wantRunning("side1", "side2")
		// The rest of the time is not enough for side2, but all have a little.
		sleepSeconds(1.8)
		c.wantRunning("side1", "side2")
		sleepSeconds(0.2)
		c.wantRunning("side1")
		sleepSeconds(0.9)
		c.wantRunning()
		c.wantPhase(corev1.PodFailed)
		for name, want := range map[string]int32{"side1": 143, "side2": 137} {
			if got := c.initContainer(name).State.Terminated.ExitCode; got != want {
				t.Errorf("%s ended with %d, want %d", name, got, want)
			}
		}
	})
}

// What kills at once does not wait for an order.
func TestSidecarsAreKilledAtOnce(t *testing.T) {
	inCell(t, func(t *testing.T, c *cell) {
		c.update(withInit(newPod(corev1.RestartPolicyAlways,
			`{"main":[{"forever":true,"stopSeconds":100}],"side":[{"forever":true,"stopSeconds":100}]}`, "main"), "side"))
		c.sendStop("uid-1", 0)
		c.wantPhase(corev1.PodFailed)
	})
}

// A pod that is stopped before its sidecar has started has failed: its main
// container's turn never comes.
func TestStopBeforeSidecarStarted(t *testing.T) {
	inCell(t, func(_ *testing.T, c *cell) {
		pod := withInit(newPod(corev1.RestartPolicyAlways, `{"side":[{"forever":true,"exec":{"up":[1]}}]}`, "main"), "side")
		pod.Spec.InitContainers[0].StartupProbe = &corev1.Probe{FailureThreshold: 100,
			ProbeHandler: corev1.ProbeHandler{Exec: &corev1.ExecAction{Command: []string{"up"}}}}
		c.update(pod)
		sleepSeconds(1)
		c.wantPhase(corev1.PodPending)
		c.sendStop("uid-1", 5)
		sleepSeconds(1)
		c.wantPhase(corev1.PodFailed)
	})
}
