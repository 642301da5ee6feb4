package cri_test

import (
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"kip.elotl.co/internal/itzo"
)

func hookScript(script string) *corev1.LifecycleHandler {
	return &corev1.LifecycleHandler{Exec: &corev1.ExecAction{Command: []string{"sh", "-c", script}}}
}

// statusOf finds a container's status; nil when there is none.
func statusOf(status *corev1.PodStatus, name string) *corev1.ContainerStatus {
	for _, list := range [][]corev1.ContainerStatus{status.InitContainerStatuses, status.ContainerStatuses} {
		for i := range list {
			if list[i].Name == name {
				return &list[i]
			}
		}
	}
	return nil
}

func testInitContainers(t *testing.T, c *cell) {
	mount := []corev1.VolumeMount{{Name: "data", MountPath: "/data"}}
	fails := shell("fails", `echo fails >>/data/file; n=$(cat /data/file | busybox wc -l); [ $n -ge 2 ]`)
	second := shell("second", `echo second >>/data/file`)
	beside := shell("beside", `trap 'cat /data/file; exit 0' TERM; echo beside >>/data/file; while :; do sleep 0.05; done`)
	always := corev1.ContainerRestartPolicyAlways
	beside.RestartPolicy = &always
	last := shell("last", `until busybox grep -q beside /data/file; do sleep 0.05; done; echo last >>/data/file`)
	pod := withVolume(newPod(corev1.RestartPolicyOnFailure, shell("main", `echo main >>/data/file`)), "data", emptyDir(), "/data")
	for _, container := range []corev1.Container{fails, second, beside, last} {
		container.VolumeMounts = mount
		pod.Spec.InitContainers = append(pod.Spec.InitContainers, container)
	}
	c.run(pod)
	status := c.waitPhase(corev1.PodSucceeded)
	if got := statusOf(status, "fails"); got.RestartCount != 1 || !got.Ready || got.State.Terminated == nil ||
		got.LastTerminationState.Terminated == nil || got.LastTerminationState.Terminated.ExitCode != 1 {
		t.Errorf("fails: %+v", got)
	}
	if got := statusOf(status, "beside"); got.RestartCount != 0 || got.State.Terminated == nil || got.State.Terminated.ExitCode != 0 {
		t.Errorf("beside: %+v", got)
	}
	if got, want := c.logs("beside"), "fails\nfails\nsecond\nbeside\nlast\nmain\n"; got != want {
		t.Errorf("the order was %q, want %q", got, want)
	}
}

func testProbesAndHooks(t *testing.T, c *cell) {
	web := shell("web", `trap 'echo end; exit 0' TERM; until [ -e /www/begun ]; do sleep 0.05; done; httpd -p 8080 -h /www; `+
		`sleep 1; echo yes >/www/ready; while :; do sleep 0.05; done`)
	web.Ports = []corev1.ContainerPort{{Name: "web", ContainerPort: 8080}}
	web.ReadinessProbe = &corev1.Probe{PeriodSeconds: 1, FailureThreshold: 1, ProbeHandler: corev1.ProbeHandler{
		HTTPGet: &corev1.HTTPGetAction{Path: "/ready", Port: intstr.FromString("web")}}}
	web.LivenessProbe = &corev1.Probe{PeriodSeconds: 1, ProbeHandler: corev1.ProbeHandler{
		Exec: &corev1.ExecAction{Command: []string{"cat", "/www/begun"}}}}
	web.StartupProbe = &corev1.Probe{PeriodSeconds: 1, FailureThreshold: 60, ProbeHandler: corev1.ProbeHandler{
		TCPSocket: &corev1.TCPSocketAction{Port: intstr.FromInt32(8080)}}}
	web.Lifecycle = &corev1.Lifecycle{PostStart: hookScript(`mkdir /www; echo yes >/www/begun`), PreStop: hookScript(`echo hook >/proc/1/fd/1`)}
	grace := int64(1)
	slow := shell("slow", `while :; do sleep 0.05; done`)
	slow.LivenessProbe = &corev1.Probe{PeriodSeconds: 1, TimeoutSeconds: 1, FailureThreshold: 1, TerminationGracePeriodSeconds: &grace,
		ProbeHandler: corev1.ProbeHandler{Exec: &corev1.ExecAction{Command: []string{"sleep", "60"}}}}
	pod := newPod(corev1.RestartPolicyAlways, web, slow)
	c.run(pod)
	c.wait("a container that is not ready", func(status *corev1.PodStatus) bool {
		got := statusOf(status, "web")
		return got != nil && got.State.Running != nil && !got.Ready
	})
	c.wait("a container that is ready", func(status *corev1.PodStatus) bool {
		got := statusOf(status, "web")
		return got.Ready && *got.Started
	})
	status := c.wait("a restart", func(status *corev1.PodStatus) bool { return statusOf(status, "slow").RestartCount > 0 })
	if got := statusOf(status, "web"); got.RestartCount != 0 {
		t.Errorf("web: %+v", got)
	}
	must(t, c.client.Stop(t.Context(), itzo.StopRequest{PodUID: pod.UID, GracePeriodSeconds: 3}))
	c.waitPhase(corev1.PodFailed)
	if got := c.logs("web"); !strings.HasSuffix(got, "hook\nend\n") {
		t.Errorf("web wrote %q", got)
	}
}

// Another image is what the container runs with next, and that is found again.
func testImageChange(t *testing.T, c *cell) {
	pod := newPod(corev1.RestartPolicyNever, shell("main", `trap 'exit 3' TERM USR1; echo up; while :; do sleep 0.05; done`))
	c.run(pod)
	c.waitPhase(corev1.PodRunning)
	c.waitLog("main", "up\n")
	changed := pod.DeepCopy()
	changed.Generation, changed.Spec.Containers[0].Image = 2, busyboxUSR1
	c.run(changed)
	next := func(status *corev1.PodStatus) bool {
		got := statusOf(status, "main")
		return got.RestartCount == 1 && got.State.Running != nil
	}
	status := c.wait("the next run", next)
	if got := statusOf(status, "main"); got.LastTerminationState.Terminated == nil || got.LastTerminationState.Terminated.ExitCode != 3 {
		t.Errorf("got %+v", got)
	}
	c.waitLog("main", "up\n")
	c.run(changed)
	must(t, c.client.Stop(t.Context(), itzo.StopRequest{PodUID: pod.UID, GracePeriodSeconds: 30}))
	if end := statusOf(c.waitPhase(corev1.PodFailed), "main"); end.RestartCount != 1 || end.State.Terminated.ExitCode != 3 {
		t.Errorf("at its end: %+v", end)
	}
}

func testStopSignal(t *testing.T, c *cell) {
	main := shell("main", `trap 'exit 9' USR1; trap 'exit 1' TERM; echo up; while :; do sleep 0.05; done`)
	main.Image = busyboxUSR1
	pod := newPod(corev1.RestartPolicyNever, main)
	c.run(pod)
	c.waitPhase(corev1.PodRunning)
	c.waitLog("main", "up\n")
	must(t, c.client.Stop(t.Context(), itzo.StopRequest{PodUID: pod.UID, GracePeriodSeconds: 30}))
	if end := ended(t, c.waitPhase(corev1.PodFailed), "main"); end.ExitCode != 9 {
		t.Errorf("got %+v", end)
	}
}
