package agent_test

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
)

func command(words ...string) corev1.ProbeHandler {
	return corev1.ProbeHandler{Exec: &corev1.ExecAction{Command: words}}
}

func (c *cell) wantReady(name string, ready, started bool) {
	c.t.Helper()
	got := c.container(name)
	if got.Ready != ready || *got.Started != started {
		c.t.Fatalf("%s is ready %v and started %v, want %v and %v: %+v", name, got.Ready, *got.Started, ready, started, got.State)
	}
}

func TestReadinessProbe(t *testing.T) {
	inCell(t, func(t *testing.T, c *cell) {
		pod := newPod(corev1.RestartPolicyAlways, `{"main":[{"forever":true,"exec":{"ready now":[1,0,0,1,1,0]}}]}`, "main")
		pod.Spec.Containers[0].Env = []corev1.EnvVar{{Name: "WHEN", Value: "now"}}
		pod.Spec.Containers[0].ReadinessProbe = &corev1.Probe{
			ProbeHandler: command("ready", "$(WHEN)"), InitialDelaySeconds: 3, PeriodSeconds: 10, SuccessThreshold: 2, FailureThreshold: 2,
		}
		c.update(pod)
		c.wantReady("main", false, true)
		if got := c.condition(corev1.PodReady); got.Status != corev1.ConditionFalse || got.Reason != "ContainersNotReady" ||
			got.Message != "containers with unready status: [main]" {
			t.Errorf("got %+v", got)
		}
		sleepSeconds(3 + 10) // failure, success
		c.wantReady("main", false, true)
		sleepSeconds(10) // success
		c.wantReady("main", true, true)
		if got := c.condition(corev1.PodReady); got.Status != corev1.ConditionTrue {
			t.Errorf("got %+v", got)
		}
		sleepSeconds(10) // failure
		c.wantReady("main", true, true)
		// An agent that comes back does not begin anew.
		c.stop()
		c.start()
		c.wantReady("main", true, true)
		if got := c.container("main"); got.RestartCount != 0 {
			t.Errorf("a readiness probe restarts nothing: %+v", got)
		}
		sleepSeconds(20)
		c.wantReady("main", true, true)
	})
}

func TestLivenessProbe(t *testing.T) {
	tests := map[corev1.RestartPolicy]struct {
		phase    corev1.PodPhase
		restarts int32
	}{
		corev1.RestartPolicyAlways:    {corev1.PodRunning, 1},
		corev1.RestartPolicyOnFailure: {corev1.PodRunning, 1},
		corev1.RestartPolicyNever:     {corev1.PodFailed, 0},
	}
	for policy, want := range tests {
		t.Run(string(policy), func(t *testing.T) {
			inCell(t, func(t *testing.T, c *cell) {
				pod := newPod(policy, `{"main":[{"forever":true,"stopSeconds":60,"exec":{"live":[0,1,1,1]}},{"forever":true}]}`, "main")
				grace := int64(5)
				pod.Spec.Containers[0].LivenessProbe = &corev1.Probe{
					ProbeHandler: command("live"), PeriodSeconds: 10, TerminationGracePeriodSeconds: &grace,
				}
				c.update(pod)
				sleepSeconds(30 + 4)
				if got := c.container("main"); got.State.Running == nil || got.RestartCount != 0 {
					t.Fatalf("killed before its time: %+v", got)
				}
				sleepSeconds(1)
				c.wantPhase(want.phase)
				if got := c.container("main"); got.RestartCount != want.restarts {
					t.Errorf("got %+v", got)
				}
			})
		})
	}
}

// A container that ends politely is restarted for its probe nevertheless.
func TestLivenessProbeOfThePolite(t *testing.T) {
	inCell(t, func(t *testing.T, c *cell) {
		pod := newPod(corev1.RestartPolicyOnFailure, `{"main":[{"forever":true,"stopCode":0,"exec":{"live":[1]}},{"forever":true}]}`, "main")
		pod.Spec.Containers[0].LivenessProbe = &corev1.Probe{ProbeHandler: command("live"), PeriodSeconds: 1, FailureThreshold: 1}
		c.update(pod)
		if got := c.container("main"); got.State.Running == nil || got.RestartCount != 1 {
			t.Errorf("got %+v", got)
		}
	})
}

// Restarts for a probe wait as well, counted from the end before.
func TestLivenessProbeBackoff(t *testing.T) {
	inCell(t, func(t *testing.T, c *cell) {
		pod := newPod(corev1.RestartPolicyAlways, `{"main":[{"forever":true,"exec":{"live":[1]}}]}`, "main")
		pod.Spec.Containers[0].LivenessProbe = &corev1.Probe{
			ProbeHandler: command("live"), InitialDelaySeconds: 2, PeriodSeconds: 1, FailureThreshold: 1,
		}
		c.update(pod)
		sleepSeconds(2 + 2 + 1) // two ends, at 2 and 4
		if got := c.container("main"); got.RestartCount != 2 || got.State.Running == nil {
			t.Fatalf("got %+v", got)
		}
		sleepSeconds(2) // the third at 6, ten seconds after the second: 14
		if got := c.container("main"); got.RestartCount != 2 || got.State.Waiting == nil || got.State.Waiting.Reason != "CrashLoopBackOff" {
			t.Fatalf("got %+v", got)
		}
		sleepSeconds(7.5)
		if got := c.container("main"); got.RestartCount != 3 {
			t.Errorf("got %+v", got)
		}
	})
}

func TestStartupProbe(t *testing.T) {
	inCell(t, func(t *testing.T, c *cell) {
		pod := withInit(newPod(corev1.RestartPolicyAlways,
			`{"side":[{"forever":true,"exec":{"up":[1,1,0]}}],"main":[{"forever":true,"exec":{"up":[1]}},{"forever":true,"exec":{"up":[0]}}]}`, "main"), "side")
		pod.Spec.InitContainers[0].StartupProbe = &corev1.Probe{ProbeHandler: command("up"), PeriodSeconds: 5}
		main := &pod.Spec.Containers[0]
		main.StartupProbe = &corev1.Probe{ProbeHandler: command("up"), PeriodSeconds: 5, FailureThreshold: 2}
		main.LivenessProbe = &corev1.Probe{ProbeHandler: command("live"), PeriodSeconds: 5}
		c.update(pod)
		c.wantRunning("side")
		sleepSeconds(9)
		if got := c.initContainer("side"); *got.Started || got.Ready {
			t.Errorf("side: %+v", got)
		}
		c.wantRunning("side")
		sleepSeconds(1)
		c.wantRunning("side", "main")
		c.wantReady("main", false, false)
		if got := c.initContainer("side"); !*got.Started || !got.Ready {
			t.Errorf("side: %+v", got)
		}
		sleepSeconds(5)
		if got := c.container("main"); got.RestartCount != 1 {
			t.Errorf("main was not restarted: %+v", got)
		}
		c.wantReady("main", true, true)
		c.wantPhase(corev1.PodRunning)
	})
}

func TestProbeThatHangs(t *testing.T) {
	inCell(t, func(t *testing.T, c *cell) {
		pod := newPod(corev1.RestartPolicyNever, `{"main":[{"forever":true,"exec":{"live":[-1]}}]}`, "main")
		pod.Spec.Containers[0].LivenessProbe = &corev1.Probe{ProbeHandler: command("live"), TimeoutSeconds: 7, FailureThreshold: 1}
		c.update(pod)
		sleepSeconds(6.9)
		c.wantPhase(corev1.PodRunning)
		sleepSeconds(0.2)
		c.wantPhase(corev1.PodFailed)
	})
}

func TestNetworkProbes(t *testing.T) {
	tests := map[string]corev1.ProbeHandler{
		"http": {HTTPGet: &corev1.HTTPGetAction{Path: "/healthz?a=b", Port: intstr.FromString("web")}},
		"grpc": {GRPC: &corev1.GRPCAction{Port: 8080}},
		"tcp":  {TCPSocket: &corev1.TCPSocketAction{Port: intstr.FromInt32(8080)}},
	}
	for name, handler := range tests {
		t.Run(name, func(t *testing.T) {
			inCell(t, func(t *testing.T, c *cell) {
				down := 0
				if name != "tcp" {
					down = 500
				}
				c.host.SetPort("10.0.0.2:8080", down)
				pod := newPod(corev1.RestartPolicyAlways, "", "main")
				pod.Spec.Containers[0].Ports = []corev1.ContainerPort{{Name: "web", ContainerPort: 8080}}
				pod.Spec.Containers[0].ReadinessProbe = &corev1.Probe{ProbeHandler: handler, PeriodSeconds: 1}
				c.update(pod)
				sleepSeconds(5)
				c.wantReady("main", false, true)
				c.host.SetPort("10.0.0.2:8080", 302)
				sleepSeconds(1)
				c.wantReady("main", true, true)
				c.host.SetPort("10.0.0.2:8080", down)
				sleepSeconds(1.5)
				c.wantReady("main", true, true)
				sleepSeconds(2)
				c.wantReady("main", false, true)
			})
		})
	}
}

func TestActiveDeadline(t *testing.T) {
	inCell(t, func(t *testing.T, c *cell) {
		pod := newPod(corev1.RestartPolicyAlways, `{"main":[{"forever":true,"stopSeconds":3}]}`, "main")
		deadline := int64(60)
		pod.Spec.ActiveDeadlineSeconds = &deadline
		c.update(pod)
		sleepSeconds(62)
		c.wantPhase(corev1.PodRunning)
		c.stop()
		c.start()
		sleepSeconds(5)
		c.wantPhase(corev1.PodFailed)
		if got := c.status(); got.Reason != "DeadlineExceeded" || got.Message != "Pod was active on the node longer than the specified deadline" {
			t.Errorf("got %s: %s", got.Reason, got.Message)
		}
	})
}
