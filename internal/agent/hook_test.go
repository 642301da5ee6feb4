package agent_test

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
)

func hookCommand(words ...string) *corev1.LifecycleHandler {
	return &corev1.LifecycleHandler{Exec: &corev1.ExecAction{Command: words}}
}

// What comes after a container waits for its postStart hook.
func TestPostStart(t *testing.T) {
	inCell(t, func(t *testing.T, c *cell) {
		pod := newPod(corev1.RestartPolicyAlways, "", "one", "two")
		pod.Spec.Containers[0].Lifecycle = &corev1.Lifecycle{PostStart: &corev1.LifecycleHandler{Sleep: &corev1.SleepAction{Seconds: 5}}}
		c.update(pod)
		c.wantRunning("one")
		c.wantPhase(corev1.PodPending)
		if got := c.container("one"); got.State.Waiting == nil || got.State.Waiting.Reason != "ContainerCreating" || got.Ready {
			t.Errorf("one: %+v", got)
		}
		sleepSeconds(5)
		c.wantRunning("one", "two")
		c.wantPhase(corev1.PodRunning)
		c.wantReady("one", true, true)
	})
}

func TestPostStartFails(t *testing.T) {
	inCell(t, func(t *testing.T, c *cell) {
		pod := newPod(corev1.RestartPolicyAlways, `{"main":[{"forever":true,"stopSeconds":2,"exec":{"begin -x":[3]}},{"forever":true}]}`, "main")
		pod.Spec.Containers[0].Lifecycle = &corev1.Lifecycle{PostStart: hookCommand("begin", "-x")}
		c.update(pod)
		got := c.container("main")
		const want = `Exec lifecycle hook ([begin -x]) for Container "main" in Pod "web_default(uid-1)" failed - ` +
			`error: command 'begin -x' exited with 3: , message: ""`
		if got.State.Waiting == nil || got.State.Waiting.Reason != "PostStartHookError" || got.State.Waiting.Message != want {
			t.Errorf("got %+v", got)
		}
		sleepSeconds(2)
		if got := c.container("main"); got.State.Running == nil || got.RestartCount != 1 {
			t.Errorf("got %+v", got)
		}
	})
}

func TestStopDuringPostStart(t *testing.T) {
	inCell(t, func(t *testing.T, c *cell) {
		pod := newPod(corev1.RestartPolicyAlways, "", "main")
		pod.Spec.Containers[0].Lifecycle = &corev1.Lifecycle{PostStart: &corev1.LifecycleHandler{Sleep: &corev1.SleepAction{Seconds: 600}}}
		c.update(pod)
		c.wantRunning("main")
		c.sendStop("uid-1", 30)
		c.wantPhase(corev1.PodFailed)
	})
}

// The preStop hook's time is taken off the grace period.
func TestPreStop(t *testing.T) {
	tests := map[string]struct {
		hook     *corev1.LifecycleHandler
		script   string
		seconds  float64
		exitCode int32
	}{
		"in time":       {&corev1.LifecycleHandler{Sleep: &corev1.SleepAction{Seconds: 3}}, `{"forever":true,"stopSeconds":1}`, 4, 143},
		"little left":   {&corev1.LifecycleHandler{Sleep: &corev1.SleepAction{Seconds: 9}}, `{"forever":true,"stopSeconds":5}`, 11, 137},
		"takes all":     {&corev1.LifecycleHandler{Sleep: &corev1.SleepAction{Seconds: 99}}, `{"forever":true,"stopSeconds":1}`, 11, 143},
		"hangs":         {hookCommand("bye"), `{"forever":true,"stopSeconds":5,"exec":{"bye":[-1]}}`, 12, 137},
		"fails":         {hookCommand("bye"), `{"forever":true,"exec":{"bye":[1]}}`, 0, 143},
		"is not needed": {hookCommand("bye"), `{"runSeconds":5,"exec":{"bye":[-1]}}`, 5, 0},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			inCell(t, func(t *testing.T, c *cell) {
				pod := newPod(corev1.RestartPolicyNever, `{"main":[`+test.script+`]}`, "main")
				pod.Spec.Containers[0].Lifecycle = &corev1.Lifecycle{PreStop: test.hook}
				c.update(pod)
				c.wantRunning("main")
				c.sendStop("uid-1", 10)
				if test.seconds > 0 {
					sleepSeconds(test.seconds - 0.1)
					c.wantRunning("main")
					sleepSeconds(0.2)
				}
				c.wantRunning()
				if end := c.container("main").State.Terminated; end == nil || end.ExitCode != test.exitCode {
					t.Errorf("got %+v, want exit code %d", end, test.exitCode)
				}
			})
		})
	}
}

// A stop in less time does not wait for the first one's hook.
func TestStopSoonerThanPreStop(t *testing.T) {
	inCell(t, func(t *testing.T, c *cell) {
		pod := newPod(corev1.RestartPolicyAlways, "", "main")
		pod.Spec.Containers[0].Lifecycle = &corev1.Lifecycle{PreStop: &corev1.LifecycleHandler{Sleep: &corev1.SleepAction{Seconds: 500}}}
		c.update(pod)
		c.wantRunning("main")
		c.sendStop("uid-1", 600)
		c.wantRunning("main")
		c.sendStop("uid-1", 0)
		c.wantPhase(corev1.PodFailed)
	})
}
