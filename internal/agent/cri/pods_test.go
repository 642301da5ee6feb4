package cri_test

import (
	"bufio"
	"bytes"
	"fmt"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"kip.elotl.co/internal/itzo"
)

// TestContainerd runs pods on the machine's containerd, which is 1.x with
// Debian 12: the kernel tells of what ends.
func TestContainerd(t *testing.T) { testPods(t, "") }

// TestContainerd2 runs them on one that tells its events.
func TestContainerd2(t *testing.T) { testPods(t, containerd2(t)) }

// containerd2 is the directory of one that was built.
func containerd2(t *testing.T) string {
	t.Helper()
	built, err := filepath.Abs("../../../bin/containerd2")
	must(t, err)
	if _, err := os.Stat(built); err != nil {
		t.Skip("needs containerd 2: make containerd2")
	}
	return built
}

// testPods runs pods on the containerd in a directory; empty: the machine's.
// No test looks at the runtime from time to time: it has to tell of everything.
func testPods(t *testing.T, dir string) {
	if !inNamespaces(t, dir) {
		return
	}
	c := startContainerd(t)
	t.Logf("containerd %d", c.major)
	tests := map[string]func(*testing.T, *cell){
		"two containers":    testTwoContainers,
		"restarts":          testRestarts,
		"stop":              testStop,
		"agent restart":     testAgentRestart,
		"network and files": testNetworkAndFiles,
		"out of memory":     testOutOfMemory,
		"what cannot start": testCannotStart,
		"failed mount":      testFailedMount,
		"sandbox dies":      testSandboxDies,
		"no metadata":       testMetadata,
		"metadata":          testMetadataOfProfile,
		"address taken":     testAddressTaken,
		"init containers":   testInitContainers,
		"probes and hooks":  testProbesAndHooks,
		"stop signal":       testStopSignal,
		"image change":      testImageChange,
		"own stop signal":   testOwnStopSignal,
		"ephemeral":         testEphemeral,
		"followed log":      testFollow,
		"streams":           testStreams,
		"cell's namespaces": testHostNamespaces,
		"cell's metadata":   testHostNetworkMetadata,
		"shared processes":  testSharedProcesses,
		"sysctls":           testSysctls,
		"users":             testUsers,
		"profiles":          testProfiles,
		"refused security":  testRefusedSecurity,
		"not as root":       testNonRoot,
		"devices":           testDevices,
		"names":             testNames,
		"long name":         testLongName,
	}
	maps.Copy(tests, resourceTests())
	for name, test := range tests {
		t.Run(name, func(t *testing.T) { test(t, c.newCell(t)) })
	}
}

func shell(name, script string) corev1.Container {
	return corev1.Container{
		Name: name, Image: busybox, ImagePullPolicy: corev1.PullIfNotPresent,
		Command: []string{"sh", "-c", script}, TerminationMessagePath: "/dev/termination-log",
	}
}

func newPod(policy corev1.RestartPolicy, containers ...corev1.Container) *corev1.Pod {
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "web",
			UID: types.UID("uid-" + strconv.FormatInt(time.Now().UnixNano(), 36))},
		Spec: corev1.PodSpec{RestartPolicy: policy, Containers: containers},
	}
}

func withVolume(pod *corev1.Pod, name string, source corev1.VolumeSource, path string) *corev1.Pod {
	pod.Spec.Volumes = append(pod.Spec.Volumes, corev1.Volume{Name: name, VolumeSource: source})
	for i := range pod.Spec.Containers {
		pod.Spec.Containers[i].VolumeMounts = append(pod.Spec.Containers[i].VolumeMounts,
			corev1.VolumeMount{Name: name, MountPath: path})
	}
	return pod
}

func emptyDir() corev1.VolumeSource {
	return corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{}}
}

func ended(t *testing.T, status *corev1.PodStatus, name string) *corev1.ContainerStateTerminated {
	t.Helper()
	for _, container := range status.ContainerStatuses {
		if container.Name == name && container.State.Terminated != nil {
			return container.State.Terminated
		}
	}
	t.Fatalf("container %s has not ended: %+v", name, status)
	return nil
}

func testTwoContainers(t *testing.T, c *cell) {
	writer := shell("writer", `echo from $(ME) >/data/file; echo -n gave up >/dev/termination-log; exit 3`)
	writer.Env = []corev1.EnvVar{{Name: "WHO", Value: "writer"}, {Name: "ME", Value: "the $(WHO)"}}
	reader := shell("reader", `until cat /data/file 2>/dev/null; do sleep 0.05; done; echo late >&2`)
	pod := withVolume(newPod(corev1.RestartPolicyNever, writer, reader), "data", emptyDir(), "/data")
	c.run(pod)
	status := c.waitPhase(corev1.PodFailed)
	if end := ended(t, status, "writer"); end.ExitCode != 3 || end.Reason != "Error" || end.Message != "gave up" {
		t.Errorf("writer: %+v", end)
	}
	if end := ended(t, status, "reader"); end.ExitCode != 0 || end.Reason != "Completed" ||
		!strings.HasPrefix(end.ContainerID, "containerd://") || end.StartedAt.IsZero() || end.FinishedAt.IsZero() {
		t.Errorf("reader: %+v", end)
	}
	// Two streams keep their order only each by itself.
	if got := c.logs("reader"); got != "from the writer\nlate\n" && got != "late\nfrom the writer\n" {
		t.Errorf("log of reader: %q", got)
	}
	if status.PodIP != podIP || status.HostIP != cellIP {
		t.Errorf("addresses: %s, %s", status.PodIP, status.HostIP)
	}
	if image := status.ContainerStatuses[0]; image.Image != busybox || !strings.HasPrefix(image.ImageID, "sha256:") {
		t.Errorf("image: %s %s", image.Image, image.ImageID)
	}
}

func testRestarts(t *testing.T, c *cell) {
	main := shell("main", `echo run >>/data/runs; echo run; n=$(cat /data/runs | busybox wc -l); [ $n -ge 3 ]`)
	c.run(withVolume(newPod(corev1.RestartPolicyOnFailure, main), "data", emptyDir(), "/data"))
	c.wait("back-off", func(status *corev1.PodStatus) bool {
		for _, container := range status.ContainerStatuses {
			if waiting := container.State.Waiting; waiting != nil && waiting.Reason == "CrashLoopBackOff" {
				return container.RestartCount == 1 && container.LastTerminationState.Terminated.ExitCode == 1
			}
		}
		return false
	})
	status := c.waitPhase(corev1.PodSucceeded)
	if got := status.ContainerStatuses[0]; got.RestartCount != 2 || got.LastTerminationState.Terminated.ExitCode != 1 {
		t.Errorf("got %+v", got)
	}
}

func testStop(t *testing.T, c *cell) {
	polite := shell("polite", `trap 'exit 7' TERM; echo up; while :; do sleep 0.05; done`)
	deaf := shell("deaf", `trap '' TERM; echo up; while :; do sleep 0.05; done`)
	pod := newPod(corev1.RestartPolicyAlways, polite, deaf)
	c.run(pod)
	c.waitPhase(corev1.PodRunning)
	c.waitLog("polite", "up\n")
	c.waitLog("deaf", "up\n")
	must(t, c.client.Stop(t.Context(), itzo.StopRequest{PodUID: pod.UID, GracePeriodSeconds: 3600}))
	c.wait("the polite one's end", func(status *corev1.PodStatus) bool {
		return statusOf(status, "polite").State.Terminated != nil
	})
	// A shorter grace period wins.
	must(t, c.client.Stop(t.Context(), itzo.StopRequest{PodUID: pod.UID, GracePeriodSeconds: 1}))
	status := c.waitPhase(corev1.PodFailed)
	if got := ended(t, status, "polite").ExitCode; got != 7 {
		t.Errorf("polite ended with %d", got)
	}
	if got := ended(t, status, "deaf").ExitCode; got != 137 {
		t.Errorf("deaf ended with %d", got)
	}
}

func (c *cell) waitLog(unit, text string) {
	c.t.Helper()
	deadline := time.Now().Add(patience)
	for c.logs(unit) != text {
		if time.Now().After(deadline) {
			c.t.Fatalf("log of %s is %q", unit, c.logs(unit))
		}
	}
}

func testAgentRestart(t *testing.T, c *cell) {
	c.run(newPod(corev1.RestartPolicyAlways, shell("main", `echo up; while :; do sleep 0.05; done`)))
	before := c.waitPhase(corev1.PodRunning).ContainerStatuses[0]
	c.stop()
	c.start()
	after := c.waitPhase(corev1.PodRunning).ContainerStatuses[0]
	if after.ContainerID != before.ContainerID || after.RestartCount != 0 {
		t.Errorf("before %+v, after %+v", before, after)
	}
	c.waitLog("main", "up\n")
}

func testNetworkAndFiles(t *testing.T, c *cell) {
	var archive bytes.Buffer
	must(t, itzo.WritePackage(&archive, []itzo.PackageFile{{Path: "index.html", Mode: 0o644, Data: []byte("first")}}))
	must(t, c.client.Deploy(t.Context(), "default_web", "config", &archive))
	web := shell("web", `hostname; id -u; cat /etc/hosts | busybox grep web-0; touch /config/x 2>/dev/null || echo read only; `+
		`touch /sub/file; touch /x 2>/dev/null || echo no root; exec httpd -f -p 8080 -h /config`)
	web.Resources = corev1.ResourceRequirements{
		Limits:   corev1.ResourceList{corev1.ResourceMemory: resource.MustParse("64Mi"), corev1.ResourceCPU: resource.MustParse("500m")},
		Requests: corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("250m")},
	}
	web.VolumeMounts = []corev1.VolumeMount{
		{Name: "config", MountPath: "/config"},
		{Name: "memory", MountPath: "/sub", SubPath: "a/b"},
	}
	user, yes := int64(1000), true
	web.SecurityContext = &corev1.SecurityContext{RunAsUser: &user, ReadOnlyRootFilesystem: &yes, RunAsNonRoot: &yes,
		Capabilities: &corev1.Capabilities{Drop: []corev1.Capability{"ALL"}}}
	pod := newPod(corev1.RestartPolicyAlways, web)
	pod.Spec.Hostname, pod.Spec.Subdomain = "web-0", "web"
	pod.Spec.Volumes = []corev1.Volume{
		{Name: "config", VolumeSource: corev1.VolumeSource{ConfigMap: &corev1.ConfigMapVolumeSource{}}},
		{Name: "memory", VolumeSource: corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{
			Medium: corev1.StorageMediumMemory, SizeLimit: resource.NewQuantity(1<<20, resource.BinarySI)}}},
	}
	c.run(pod)
	status := c.waitPhase(corev1.PodRunning)
	c.waitPage("first")
	want := "web-0\n1000\n10.77.0.2\tweb-0.web.default.svc.cluster.local\tweb-0\n" +
		"read only\nno root\n"
	if got := c.logs("web"); got != want {
		t.Errorf("log: %q, want %q", got, want)
	}
	archive.Reset()
	must(t, itzo.WritePackage(&archive, []itzo.PackageFile{{Path: "index.html", Mode: 0o644, Data: []byte("second")}}))
	must(t, c.client.Deploy(t.Context(), "default_web", "config", &archive))
	c.waitPage("second")
	checkCgroup(t, c, status)
	checkMemoryVolume(t, filepath.Join(c.stateDir, "volumes", "memory"))
}

// waitPage asks the pod's web server from the cell.
func (c *cell) waitPage(want string) {
	c.t.Helper()
	deadline := time.Now().Add(patience)
	for {
		response, err := http.Get("http://" + podIP + ":8080/")
		if err == nil {
			line, _ := bufio.NewReader(response.Body).ReadString('\n')
			response.Body.Close()
			if line == want {
				return
			}
			err = fmt.Errorf("page is %q", line)
		}
		if time.Now().After(deadline) {
			c.t.Fatalf("want page %q: %v", want, err)
		}
	}
}

func checkCgroup(t *testing.T, c *cell, status *corev1.PodStatus) {
	t.Helper()
	id := strings.TrimPrefix(status.ContainerStatuses[0].ContainerID, "containerd://")
	want := map[string]string{"memory/memory.limit_in_bytes": "67108864", "cpu/cpu.shares": "256", "cpu/cpu.cfs_quota_us": "50000"}
	if _, err := os.Stat("/sys/fs/cgroup/cgroup.controllers"); err == nil { // version 2
		want = map[string]string{"memory.max": "67108864", "cpu.weight": "10", "cpu.max": "50000 100000"}
	}
	for file, want := range want {
		controller, value := filepath.Split(file)
		path := filepath.Join("/sys/fs/cgroup", controller, c.config.CgroupParent, id, value)
		got, err := os.ReadFile(path)
		if err != nil || strings.TrimSpace(string(got)) != want {
			t.Errorf("%s is %s, want %s (%v)", path, got, want, err)
		}
	}
}

func checkMemoryVolume(t *testing.T, dir string) {
	t.Helper()
	var stat unix.Statfs_t
	must(t, unix.Statfs(dir, &stat))
	if stat.Type != unix.TMPFS_MAGIC || stat.Blocks*uint64(stat.Bsize) != 1<<20 {
		t.Errorf("memory volume: type %x, %d bytes", stat.Type, stat.Blocks*uint64(stat.Bsize))
	}
	if _, err := os.Stat(filepath.Join(dir, "a/b/file")); err != nil {
		t.Errorf("the container's file is not where its subPath is: %v", err)
	}
}

func testOutOfMemory(t *testing.T, c *cell) {
	hungry := shell("hungry", `exec tail /dev/zero`)
	hungry.Resources.Limits = corev1.ResourceList{corev1.ResourceMemory: resource.MustParse("16Mi")}
	c.run(newPod(corev1.RestartPolicyNever, hungry))
	if end := ended(t, c.waitPhase(corev1.PodFailed), "hungry"); end.ExitCode != 137 || end.Reason != "OOMKilled" {
		t.Errorf("got %+v", end)
	}
}

func testCannotStart(t *testing.T, c *cell) {
	missing := shell("missing", "")
	missing.Command = []string{"/no/such/program"}
	noImage := shell("no-image", "")
	noImage.Image = "127.0.0.1:1/none:1"
	never := shell("never", "")
	never.Image, never.ImagePullPolicy = "127.0.0.1:1/none:1", corev1.PullNever
	c.run(newPod(corev1.RestartPolicyNever, missing, noImage, never))
	status := c.wait("all three reasons", func(status *corev1.PodStatus) bool {
		containers := status.ContainerStatuses
		return containers[0].State.Terminated != nil &&
			containers[1].State.Waiting != nil && containers[1].State.Waiting.Reason == "ErrImageNeverPull" &&
			containers[2].State.Waiting != nil && containers[2].State.Waiting.Reason == "ErrImagePull"
	})
	if end := ended(t, status, "missing"); end.ExitCode != 128 || end.Reason != "StartError" || !strings.Contains(end.Message, "no such file") {
		t.Errorf("missing: %+v", end)
	}
	if status.Phase != corev1.PodPending {
		t.Errorf("phase is %s", status.Phase)
	}
	if message := status.ContainerStatuses[2].State.Waiting.Message; !strings.Contains(message, "127.0.0.1:1/none:1") ||
		strings.Contains(message, "rpc error") {
		t.Errorf("message: %s", message)
	}
}

// The sandbox's process is killed: the pod gets another one, and its address.
func testSandboxDies(t *testing.T, c *cell) {
	c.run(newPod(corev1.RestartPolicyAlways, shell("main", `exec httpd -f -p 8080`)))
	c.waitPhase(corev1.PodRunning)
	pause := processNamed(t, "pause")
	must(t, unix.Kill(pause, unix.SIGKILL))
	c.wait("restart", func(status *corev1.PodStatus) bool {
		container := status.ContainerStatuses[0]
		return container.RestartCount == 1 && container.State.Running != nil && status.PodIP == podIP
	})
}

func processNamed(t *testing.T, name string) int {
	t.Helper()
	entries, err := filepath.Glob("/proc/[0-9]*/comm")
	must(t, err)
	for _, entry := range entries {
		comm, err := os.ReadFile(entry)
		if err == nil && strings.TrimSpace(string(comm)) == name {
			pid, err := strconv.Atoi(filepath.Base(filepath.Dir(entry)))
			must(t, err)
			return pid
		}
	}
	t.Fatalf("no process %s", name)
	return 0
}
