package cri_test

import (
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"

	"kip.elotl.co/internal/itzo"
	"kip.elotl.co/internal/podsupport"
)

// testEphemeral adds a container to a running pod that sees another's processes
// and volumes, and hears of all of it by events.
func testEphemeral(t *testing.T, c *cell) {
	main := shell("main", `echo here >/data/file; echo up; exec sleep 4321`)
	user, group := int64(1000), int64(3000)
	main.SecurityContext = &corev1.SecurityContext{RunAsUser: &user, RunAsGroup: &group}
	pod := withVolume(newPod(corev1.RestartPolicyAlways, main), "data", emptyDir(), "/data")
	pod.Spec.SecurityContext = &corev1.PodSecurityContext{FSGroup: &group}
	c.run(pod)
	status := c.waitPhase(corev1.PodRunning)
	c.waitLog("main", "up\n")
	if mounts := status.ContainerStatuses[0].VolumeMounts; len(mounts) != 1 || mounts[0].MountPath != "/data" {
		t.Errorf("mounts: %+v", mounts)
	}
	if got := status.ContainerStatuses[0].User; c.containerd.major >= 2 && (got == nil || got.Linux.UID != 1000 || got.Linux.GID != 3000) {
		t.Errorf("user: %+v", got)
	}
	added := pod.DeepCopy()
	debug := shell("debug", `cat /data/file; echo $WHO; busybox tr '\0' ' ' </proc/1/cmdline; exit 3`)
	debug.VolumeMounts = []corev1.VolumeMount{{Name: "data", MountPath: "/data"}}
	debug.Env = []corev1.EnvVar{{Name: "WHO", ValueFrom: &corev1.EnvVarSource{FieldRef: &corev1.ObjectFieldSelector{FieldPath: "metadata.name"}}}}
	added.Spec.EphemeralContainers = []corev1.EphemeralContainer{
		{EphemeralContainerCommon: corev1.EphemeralContainerCommon(debug), TargetContainerName: "main"}}
	must(t, c.client.UpdatePod(t.Context(), &itzo.PodParameters{PodName: "default_web", PodIP: podIP, Pod: added}))
	status = c.wait("the end of the ephemeral container", func(status *corev1.PodStatus) bool {
		all := status.EphemeralContainerStatuses
		return len(all) == 1 && all[0].State.Terminated != nil
	})
	if end := status.EphemeralContainerStatuses[0].State.Terminated; end.ExitCode != 3 || status.Phase != corev1.PodRunning {
		t.Errorf("got %+v", status)
	}
	if got := c.logs("debug"); got != "here\nweb\nsleep 4321 " {
		t.Errorf("it saw %q", got)
	}
	c.wantEvents("spec.containers{main} Normal Started", "spec.ephemeralContainers{debug} Normal Created", "spec.ephemeralContainers{debug} Normal Started")
}

// wantEvents wants these to be among the events.
func (c *cell) wantEvents(want ...string) {
	c.t.Helper()
	first := int64(0)
	reply, err := c.client.Poll(c.t.Context(), itzo.StatusQuery{Events: &first})
	must(c.t, err)
	var told strings.Builder
	for _, event := range reply.Events {
		told.WriteString(event.FieldPath + " " + event.Type + " " + event.Reason + " " + event.Message + "\n")
	}
	for _, line := range want {
		if !strings.Contains(told.String(), line) {
			c.t.Errorf("no event %q in\n%s", line, told.String())
		}
	}
}

// testOwnStopSignal: a stop signal of the pod's own comes before the image's, and
// is refused where the runtime would ignore it.
func testOwnStopSignal(t *testing.T, c *cell) {
	main := shell("main", `trap 'exit 9' USR1; trap 'exit 8' USR2; trap 'exit 1' TERM; echo up; while :; do sleep 0.05; done`)
	main.Image = busyboxUSR1
	signal := corev1.SIGUSR2
	main.Lifecycle = &corev1.Lifecycle{StopSignal: &signal}
	pod := newPod(corev1.RestartPolicyNever, main)
	pod.Spec.OS = &corev1.PodOS{Name: corev1.Linux}
	info, err := c.client.Info(t.Context())
	must(t, err)
	if errs := podsupport.Unsupported(pod, info); c.containerd.major < 2 {
		if len(errs) != 1 || errs[0].Field != "spec.containers[0].lifecycle.stopSignal" {
			t.Errorf("got %v", errs)
		}
		return
	}
	c.run(pod)
	status := c.waitPhase(corev1.PodRunning)
	if got := status.ContainerStatuses[0].StopSignal; got == nil || *got != signal {
		t.Errorf("status: %v", got)
	}
	c.waitLog("main", "up\n")
	must(t, c.client.Stop(t.Context(), itzo.StopRequest{PodUID: pod.UID, GracePeriodSeconds: 30}))
	if end := ended(t, c.waitPhase(corev1.PodFailed), "main"); end.ExitCode != 8 {
		t.Errorf("got %+v", end)
	}
	c.wantEvents("spec.containers{main} Normal Killing Stopping container main")
}
