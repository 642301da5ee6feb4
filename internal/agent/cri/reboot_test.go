package cri_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
	corev1 "k8s.io/api/core/v1"

	"kip.elotl.co/internal/itzo"
)

// TestReboot and TestReboot2 are about cells that boot again with a pod.
func TestReboot(t *testing.T) { testReboots(t, "") }

func TestReboot2(t *testing.T) { testReboots(t, containerd2(t)) }

func testReboots(t *testing.T, dir string) {
	if !inNamespaces(t, dir) {
		return
	}
	c := startContainerd(t)
	for name, test := range map[string]func(*testing.T, *containerd, *cell){
		"restarted":  testRestartedAfterReboot,
		"not again":  testNotRestartedAfterReboot,
		"ended":      testEndedBeforeReboot,
		"being made": testRebootWhileInitializing,
		"stopping":   testRebootWhileStopping,
	} {
		t.Run(name, func(t *testing.T) { test(t, c, c.newCell(t)) })
	}
}

// reboot ends everything at once, takes away what no reboot leaves, and starts
// containerd and the agent again. The test is process 1 of its cell.
func (c *containerd) reboot(t *testing.T, cell *cell) {
	t.Helper()
	must(t, unix.Kill(-1, unix.SIGKILL))
	cell.stop() // it is as dead as the rest, but for the test's own process
	c.kill()
	for range patienceTries {
		var state unix.WaitStatus
		if _, err := unix.Wait4(-1, &state, 0, nil); err != nil {
			break // nobody is left
		}
	}
	unmountAll(t, c.dir)
	namespaces, err := filepath.Glob("/run/netns/*")
	must(t, err)
	for _, namespace := range namespaces {
		must(t, unix.Unmount(namespace, unix.MNT_DETACH))
	}
	emptyDirectory(t, "/run")
	must(t, os.RemoveAll(c.dir+"/state"))
	run(t, "iptables", "--table", "raw", "--flush")
	newBootID(t, c)
	c.launch()
	cell.start()
}

func emptyDirectory(t *testing.T, dir string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	must(t, err)
	for _, entry := range entries {
		must(t, os.RemoveAll(filepath.Join(dir, entry.Name())))
	}
}

// patienceTries is more than there are processes in a test.
const patienceTries = 1000

// newBootID has the kernel tell of another boot.
func newBootID(t *testing.T, c *containerd) {
	t.Helper()
	const bootID = "/proc/sys/kernel/random/boot_id"
	before, err := os.ReadFile(bootID)
	must(t, err)
	_ = unix.Unmount(bootID, unix.MNT_DETACH) // the one before, if there was one
	c.boots++
	file := filepath.Join(c.dir, fmt.Sprintf("boot-%d", c.boots))
	must(t, os.WriteFile(file, fmt.Appendf(nil, "00000000-0000-4000-8000-%012d\n", c.boots), 0o444))
	must(t, unix.Mount(file, bootID, "", unix.MS_BIND, ""))
	if after, err := os.ReadFile(bootID); err != nil || string(after) == string(before) {
		t.Fatalf("boot ID %q after %q, %v", after, before, err)
	}
}

const waiting = `while :; do sleep 0.05; done`

// testRestartedAfterReboot: the sandbox is made anew, init containers run again,
// and so do containers, which count it; what was on disk is there, what was in
// memory is gone, and the pod has its address and its page.
func testRestartedAfterReboot(t *testing.T, c *containerd, cell *cell) {
	setup := shell("setup", `echo setup >>/disk/setups`)
	main := shell("main", `echo run >>/disk/runs; echo run >>/memory/runs; cat /disk/setups /disk/runs; echo in memory; cat /memory/runs; echo -n page >/disk/index.html; exec httpd -f -p 8080 -h /disk`)
	pod := newPod(corev1.RestartPolicyAlways, main)
	memory := corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{Medium: corev1.StorageMediumMemory}}
	pod = withVolume(withVolume(pod, "disk", emptyDir(), "/disk"), "memory", memory, "/memory")
	setup.VolumeMounts = pod.Spec.Containers[0].VolumeMounts
	pod.Spec.InitContainers = []corev1.Container{setup}
	cell.run(pod)
	before := cell.waitPhase(corev1.PodRunning)
	cell.waitLog("main", "setup\nrun\nin memory\nrun\n")
	c.reboot(t, cell)
	after := cell.wait("containers that run again", func(status *corev1.PodStatus) bool {
		got := statusOf(status, "main")
		return got.State.Running != nil && got.RestartCount == 1
	})
	cell.waitLog("main", "setup\nsetup\nrun\nrun\nin memory\nrun\n")
	if after.Phase != corev1.PodRunning || after.PodIP != before.PodIP || !after.StartTime.Equal(before.StartTime) {
		t.Errorf("before %+v, after %+v", before, after)
	}
	if last := statusOf(after, "main").LastTerminationState.Terminated; last == nil || last.ExitCode == 0 || last.FinishedAt.IsZero() {
		t.Errorf("main ended %+v before", last)
	}
	if got := statusOf(after, "setup"); got.RestartCount != 1 || !got.Ready {
		t.Errorf("setup: %+v", got)
	}
	cell.waitPage("page")
}

// testNotRestartedAfterReboot: with restartPolicy Never the pod has failed, and
// what had ended before keeps its end.
func testNotRestartedAfterReboot(t *testing.T, c *containerd, cell *cell) {
	cell.run(newPod(corev1.RestartPolicyNever, shell("short", "echo -n well done >/dev/termination-log"), shell("main", waiting)))
	cell.wait("one that has ended, and one that runs", func(status *corev1.PodStatus) bool {
		return statusOf(status, "short") != nil && statusOf(status, "short").State.Terminated != nil && statusOf(status, "main").State.Running != nil
	})
	c.reboot(t, cell)
	status := cell.waitPhase(corev1.PodFailed)
	if end := ended(t, status, "main"); end.ExitCode == 0 || statusOf(status, "main").RestartCount != 0 {
		t.Errorf("main: %+v", end)
	}
	if end := ended(t, status, "short"); end.ExitCode != 0 || end.Reason != "Completed" || end.Message != "well done" {
		t.Errorf("short: %+v", end)
	}
}

// testEndedBeforeReboot: a pod that is over stays so.
func testEndedBeforeReboot(t *testing.T, c *containerd, cell *cell) {
	cell.run(newPod(corev1.RestartPolicyOnFailure, shell("main", "true")))
	before := cell.waitPhase(corev1.PodSucceeded)
	c.reboot(t, cell)
	after := cell.waitPhase(corev1.PodSucceeded)
	if statusOf(after, "main").ContainerID != statusOf(before, "main").ContainerID {
		t.Errorf("before %+v, after %+v", before, after)
	}
}

// testRebootWhileInitializing: init containers begin with the first again.
func testRebootWhileInitializing(t *testing.T, c *containerd, cell *cell) {
	first := shell("first", "echo first >>/disk/log")
	second := shell("second", "echo second >>/disk/log; [ -e /disk/rebooted ] || "+waiting)
	pod := withVolume(newPod(corev1.RestartPolicyOnFailure, shell("main", "cat /disk/log")), "disk", emptyDir(), "/disk")
	for _, init := range []corev1.Container{first, second} {
		init.VolumeMounts = pod.Spec.Containers[0].VolumeMounts
		pod.Spec.InitContainers = append(pod.Spec.InitContainers, init)
	}
	cell.run(pod)
	cell.wait("the second that runs", func(status *corev1.PodStatus) bool {
		got := statusOf(status, "second")
		return got != nil && got.State.Running != nil
	})
	marker := filepath.Join(cell.stateDir, "volumes", "disk", "log")
	for text, _ := os.ReadFile(marker); !strings.Contains(string(text), "second"); text, _ = os.ReadFile(marker) {
		if t.Context().Err() != nil {
			t.Fatal("the second does not begin")
		}
	}
	must(t, os.WriteFile(filepath.Join(cell.stateDir, "volumes", "disk", "rebooted"), nil, 0o644))
	c.reboot(t, cell)
	cell.waitPhase(corev1.PodSucceeded)
	if got, want := cell.logs("main"), "first\nsecond\nfirst\nsecond\n"; got != want {
		t.Errorf("the order was %q, want %q", got, want)
	}
}

// testRebootWhileStopping: what was told to end does not begin again.
func testRebootWhileStopping(t *testing.T, c *containerd, cell *cell) {
	pod := newPod(corev1.RestartPolicyAlways, shell("main", `trap '' TERM; echo up; `+waiting))
	cell.run(pod)
	cell.waitPhase(corev1.PodRunning)
	cell.waitLog("main", "up\n")
	must(t, cell.client.Stop(t.Context(), itzo.StopRequest{PodUID: pod.UID, GracePeriodSeconds: 3600}))
	c.reboot(t, cell)
	status := cell.waitPhase(corev1.PodFailed)
	if got := statusOf(status, "main"); got.RestartCount != 0 || got.State.Terminated == nil {
		t.Errorf("main: %+v", got)
	}
}
