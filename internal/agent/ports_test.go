package agent_test

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// wrongPorts are ports that a container does not have, and what is said of them.
func wrongPorts() map[string]intstr.IntOrString {
	return map[string]intstr.IntOrString{
		"port web not found":         intstr.FromString("web"),
		"port 80a not found":         intstr.FromString("80a"),
		"invalid port number: 70000": intstr.FromString("70000"),
		"invalid port number: -1":    intstr.FromInt32(-1),
	}
}

// A probe of a port that is not there is none: nothing is ready, nothing is
// killed, and the event says why.
func TestProbeOfAWrongPort(t *testing.T) {
	for problem, port := range wrongPorts() {
		for what, handler := range map[string]corev1.ProbeHandler{
			"http": {HTTPGet: &corev1.HTTPGetAction{Port: port}}, "tcp": {TCPSocket: &corev1.TCPSocketAction{Port: port}},
		} {
			t.Run(what+" "+problem, func(t *testing.T) {
				inCell(t, func(t *testing.T, c *cell) {
					pod := newPod(corev1.RestartPolicyAlways, `{"main":[{"forever":true}]}`, "main")
					main := &pod.Spec.Containers[0]
					main.Ports = []corev1.ContainerPort{{Name: "other", ContainerPort: 8080}}
					main.LivenessProbe = &corev1.Probe{ProbeHandler: handler, FailureThreshold: 1, PeriodSeconds: 10}
					main.ReadinessProbe = &corev1.Probe{ProbeHandler: handler, InitialDelaySeconds: 1, PeriodSeconds: 10}
					c.update(pod)
					const path, text = "spec.containers{main}", " probe errored and resulted in unknown state: "
					last := c.newEvents(0, append(append(pulled(path), created(path)...), path+" Warning Unhealthy Liveness"+text+problem)...)
					sleepSeconds(1)
					c.newEvents(last, path+" Warning Unhealthy Readiness"+text+problem)
					sleepSeconds(35)
					c.wantReady("main", false, true)
					if got := c.container("main"); got.RestartCount != 0 {
						t.Errorf("it was restarted: %+v", got)
					}
				})
			})
		}
	}
}

// A hook that asks a port that is not there has failed.
func TestHookOfAWrongPort(t *testing.T) {
	for problem, port := range wrongPorts() {
		t.Run(problem, func(t *testing.T) {
			inCell(t, func(t *testing.T, c *cell) {
				pod := newPod(corev1.RestartPolicyAlways, `{"main":[{"forever":true,"stopSeconds":2}]}`, "main")
				pod.Spec.Containers[0].Lifecycle = &corev1.Lifecycle{PostStart: &corev1.LifecycleHandler{HTTPGet: &corev1.HTTPGetAction{Path: "/up", Port: port}}}
				c.update(pod)
				want := `HTTP lifecycle hook (/up) for Container "main" in Pod "web_default(uid-1)" failed - error: ` + problem
				if got := c.container("main").State.Waiting; got == nil || got.Reason != "PostStartHookError" || got.Message != want {
					t.Errorf("got %+v, want %q", got, want)
				}
				const path = "spec.containers{main}"
				c.newEvents(0, append(append(pulled(path), created(path)...),
					path+" Warning FailedPostStartHook PostStartHook failed", path+" Normal Killing FailedPostStartHook")...)
			})
		})
	}
}
