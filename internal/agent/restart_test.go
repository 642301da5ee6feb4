package agent_test

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
)

func restartPolicy(policy corev1.ContainerRestartPolicy, rules ...corev1.ContainerRestartRule) func(*corev1.Container) {
	return func(c *corev1.Container) { c.RestartPolicy, c.RestartPolicyRules = &policy, rules }
}

func restartOn(operator corev1.ContainerRestartRuleOnExitCodesOperator, codes ...int32) corev1.ContainerRestartRule {
	return corev1.ContainerRestartRule{Action: corev1.ContainerRestartRuleActionRestart,
		ExitCodes: &corev1.ContainerRestartRuleOnExitCodes{Operator: operator, Values: codes}}
}

// A container's own rules come first, then its own policy, then the pod's.
func TestContainerRestartPolicy(t *testing.T) {
	in, notIn := corev1.ContainerRestartRuleOnExitCodesOpIn, corev1.ContainerRestartRuleOnExitCodesOpNotIn
	tests := map[string]struct {
		pod      corev1.RestartPolicy
		own      func(*corev1.Container)
		exitCode string
		want     corev1.PodPhase
		restarts bool
	}{
		"never, own":               {corev1.RestartPolicyAlways, restartPolicy("Never"), "1", corev1.PodFailed, false},
		"never, own, succeeded":    {corev1.RestartPolicyAlways, restartPolicy("Never"), "0", corev1.PodSucceeded, false},
		"on failure, own":          {corev1.RestartPolicyNever, restartPolicy("OnFailure"), "1", corev1.PodRunning, true},
		"on failure, own, success": {corev1.RestartPolicyAlways, restartPolicy("OnFailure"), "0", corev1.PodSucceeded, false},
		"always, own":              {corev1.RestartPolicyNever, restartPolicy("Always"), "0", corev1.PodRunning, true},
		"rule":                     {corev1.RestartPolicyNever, restartPolicy("Never", restartOn(in, 41, 42)), "42", corev1.PodRunning, true},
		"rule of others":           {corev1.RestartPolicyAlways, restartPolicy("Never", restartOn(in, 41, 42)), "43", corev1.PodFailed, false},
		"rule with NotIn":          {corev1.RestartPolicyNever, restartPolicy("Never", restartOn(notIn, 1)), "2", corev1.PodRunning, true},
		"rule with NotIn, not":     {corev1.RestartPolicyNever, restartPolicy("Never", restartOn(notIn, 1)), "1", corev1.PodFailed, false},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			inCell(t, func(t *testing.T, c *cell) {
				pod := newPod(test.pod, `{"main":[{"runSeconds":1,"exitCode":`+test.exitCode+`}]}`, "main")
				test.own(&pod.Spec.Containers[0])
				c.update(pod)
				sleepSeconds(30)
				c.wantPhase(test.want)
				if got := c.container("main").RestartCount; (got > 0) != test.restarts {
					t.Errorf("restarted %d times", got)
				}
			})
		})
	}
}

func TestInitContainerRestartPolicy(t *testing.T) {
	tests := map[string]struct {
		pod  corev1.RestartPolicy
		own  func(*corev1.Container)
		want corev1.PodPhase
	}{
		"never":      {corev1.RestartPolicyAlways, restartPolicy("Never"), corev1.PodFailed},
		"on failure": {corev1.RestartPolicyNever, restartPolicy("OnFailure"), corev1.PodRunning},
		"rule":       {corev1.RestartPolicyNever, restartPolicy("Never", restartOn(corev1.ContainerRestartRuleOnExitCodesOpIn, 7)), corev1.PodRunning},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			inCell(t, func(_ *testing.T, c *cell) {
				pod := newPod(test.pod, `{"setup":[{"exitCode":7},{}]}`, "main")
				setup := corev1.Container{Name: "setup", Image: "busybox:1", ImagePullPolicy: corev1.PullIfNotPresent}
				test.own(&setup)
				pod.Spec.InitContainers = []corev1.Container{setup}
				c.update(pod)
				sleepSeconds(30)
				c.wantPhase(test.want)
			})
		})
	}
}

// A probe's verdict is no exit code: the policy alone decides.
func TestProbeAndRestartRules(t *testing.T) {
	for own, want := range map[corev1.ContainerRestartPolicy]corev1.PodPhase{"Never": corev1.PodFailed, "OnFailure": corev1.PodRunning} {
		t.Run(string(own), func(t *testing.T) {
			inCell(t, func(_ *testing.T, c *cell) {
				pod := newPod(corev1.RestartPolicyAlways, `{"main":[{"forever":true,"stopCode":0,"exec":{"ok":[1]}}]}`, "main")
				restartPolicy(own)(&pod.Spec.Containers[0])
				pod.Spec.Containers[0].LivenessProbe = &corev1.Probe{PeriodSeconds: 1, FailureThreshold: 1,
					ProbeHandler: corev1.ProbeHandler{Exec: &corev1.ExecAction{Command: []string{"ok"}}}}
				c.update(pod)
				sleepSeconds(5)
				if want == corev1.PodRunning {
					c.wantPhase(want)
					return
				}
				if got := c.status().Phase; got != corev1.PodSucceeded {
					c.t.Errorf("phase is %s", got)
				}
			})
		})
	}
}
