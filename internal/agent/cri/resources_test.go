package cri_test

import (
	"bufio"
	"compress/gzip"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"

	"kip.elotl.co/internal/agent"
	"kip.elotl.co/internal/agent/cri"
	"kip.elotl.co/internal/itzo"
)

// resourceTests are about what pods may use, and do.
func resourceTests() map[string]func(*testing.T, *cell) {
	return map[string]func(*testing.T, *cell){
		"child out of memory":   testChildOutOfMemory,
		"resources of the pod":  testPodResources,
		"resources of sidecars": testSidecarResources,
		"eviction":              testEviction,
		"stored too much":       testStoredTooMuch,
		"stats":                 testStats,
		"log rotation":          testLogRotation,
		"logs are removed":      testLogsAreRemoved,
	}
}

func amounts(cpu, memory string) corev1.ResourceList {
	return corev1.ResourceList{corev1.ResourceCPU: resource.MustParse(cpu), corev1.ResourceMemory: resource.MustParse(memory)}
}

// Where only a child is killed the container goes on, and its end tells of it.
func testChildOutOfMemory(t *testing.T, c *cell) {
	parent := shell("parent", `tail /dev/zero; echo child ended with $?; sleep 1; exit 3`)
	parent.Resources.Limits = corev1.ResourceList{corev1.ResourceMemory: resource.MustParse("16Mi")}
	c.run(newPod(corev1.RestartPolicyNever, parent))
	end := ended(t, c.waitPhase(corev1.PodFailed), "parent")
	if unified() {
		if end.ExitCode != 137 || end.Reason != "OOMKilled" {
			t.Errorf("got %+v", end)
		}
		return
	}
	if end.ExitCode != 3 || end.Reason != "OOMKilled" || !strings.Contains(c.logs("parent"), "child ended with 137\n") {
		t.Errorf("got %+v, log %q", end, c.logs("parent"))
	}
}

func unified() bool {
	_, err := os.Stat("/sys/fs/cgroup/cgroup.controllers")
	return err == nil
}

// cgroup checks the values of a cgroup below the pod's; the names are those of
// version 1 and 2.
func (c *cell) cgroup(below string, want map[[2]string][2]string) {
	c.t.Helper()
	for names, values := range want {
		i := 0
		if unified() {
			i = 1
		}
		controller, file := filepath.Split(names[i])
		path := filepath.Join("/sys/fs/cgroup", controller, c.config.CgroupParent, below, file)
		if got, err := os.ReadFile(path); err != nil || strings.TrimSpace(string(got)) != values[i] {
			c.t.Errorf("%s is %q, want %q (%v)", path, got, values[i], err)
		}
	}
}

func cpuQuota(quota string) map[[2]string][2]string {
	return map[[2]string][2]string{{"cpu/cpu.cfs_quota_us", "cpu.max"}: {quota, strings.Replace(quota, "-1", "max", 1) + " 100000"}}
}

func memoryLimit(bytes string) map[[2]string][2]string {
	none := "9223372036854771712"
	if bytes == "" {
		return map[[2]string][2]string{{"memory/memory.limit_in_bytes", "memory.max"}: {none, "max"}}
	}
	return map[[2]string][2]string{{"memory/memory.limit_in_bytes", "memory.max"}: {bytes, bytes}}
}

func containerdID(status corev1.ContainerStatus) string {
	return strings.TrimPrefix(status.ContainerID, "containerd://")
}

// The pod's own limits hold all of it, and each container that has none; together
// its containers cannot use more memory than that.
func testPodResources(t *testing.T, c *cell) {
	hungry := shell("a-hungry", `tail /dev/zero; sleep 3600`)
	calm := shell("b-calm", `exec sleep 3600`)
	calm.Resources.Limits = amounts("100m", "16Mi")
	pod := newPod(corev1.RestartPolicyAlways, hungry, calm)
	pod.Spec.Resources = &corev1.ResourceRequirements{Requests: amounts("200m", "32Mi"), Limits: amounts("500m", "48Mi")}
	c.run(pod)
	status := c.waitPhase(corev1.PodRunning)
	c.cgroup("", cpuQuota("50000"))
	c.cgroup("", memoryLimit("50331648"))
	c.cgroup("", map[[2]string][2]string{{"cpu/cpu.shares", "cpu.weight"}: {"204", "8"}, {"pids/pids.max", "pids.max"}: {"max", "max"}})
	c.cgroup(containerdID(status.ContainerStatuses[1]), memoryLimit("16777216"))
	c.cgroup(containerdID(status.ContainerStatuses[1]), cpuQuota("10000"))
	c.cgroup(containerdID(status.ContainerStatuses[0]), memoryLimit("50331648"))
}

// Init containers and sidecars have limits of their own; one container without a
// limit leaves the pod without one.
func testSidecarResources(t *testing.T, c *cell) {
	first, always := shell("first", `exit 0`), corev1.ContainerRestartPolicyAlways
	first.Command = []string{"sh", "-c", `tail /dev/zero; exit 0`}
	first.Resources.Limits = corev1.ResourceList{corev1.ResourceMemory: resource.MustParse("16Mi")}
	side := shell("side", `exec sleep 3600`)
	side.RestartPolicy, side.Resources.Limits = &always, amounts("200m", "24Mi")
	pod := newPod(corev1.RestartPolicyAlways, shell("main", `exec sleep 3600`))
	pod.Spec.InitContainers = []corev1.Container{first, side}
	c.run(pod)
	status := c.waitPhase(corev1.PodRunning)
	c.cgroup(containerdID(status.InitContainerStatuses[1]), memoryLimit("25165824"))
	c.cgroup(containerdID(status.InitContainerStatuses[1]), cpuQuota("20000"))
	c.cgroup("", memoryLimit(""))
	c.cgroup("", cpuQuota("-1"))
	if end := status.InitContainerStatuses[0].State.Terminated; end == nil || end.Reason != "OOMKilled" {
		t.Errorf("first: %+v", status.InitContainerStatuses[0])
	}
}

func testEviction(t *testing.T, c *cell) {
	pod := newPod(corev1.RestartPolicyAlways, shell("main", `busybox dd if=/dev/zero of=/data/file bs=65536 count=17 2>/dev/null; exec sleep 3600`))
	limit := resource.MustParse("1Mi")
	c.run(withVolume(pod, "data", corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{SizeLimit: &limit}}, "/data"))
	status := c.waitPhase(corev1.PodFailed)
	if status.Reason != "Evicted" || status.Message != `Usage of EmptyDir volume "data" exceeds the limit "1Mi". ` ||
		ended(t, status, "main").ExitCode != 137 {
		t.Errorf("got %+v", status)
	}
}

func testStoredTooMuch(t *testing.T, c *cell) {
	greedy := shell("greedy", `busybox dd if=/dev/zero of=/tmp/file bs=65536 count=40 2>/dev/null; exec sleep 3600`)
	greedy.Resources.Limits = corev1.ResourceList{corev1.ResourceEphemeralStorage: resource.MustParse("2Mi")}
	other := shell("other", `exec sleep 3600`)
	other.Resources.Limits = corev1.ResourceList{corev1.ResourceEphemeralStorage: resource.MustParse("2Mi")}
	c.run(newPod(corev1.RestartPolicyAlways, greedy, other))
	status := c.waitPhase(corev1.PodFailed)
	if status.Reason != "Evicted" || status.Message != `Container greedy exceeded its local ephemeral storage limit "2Mi". ` {
		t.Errorf("got %+v", status)
	}
}

func testStats(t *testing.T, c *cell) {
	busy := shell("busy", `busybox dd if=/dev/zero of=/data/file bs=65536 count=16 2>/dev/null; echo up; while :; do :; done`)
	busy.Resources.Limits = amounts("100m", "64Mi")
	pod := withVolume(newPod(corev1.RestartPolicyAlways, busy), "data", emptyDir(), "/data")
	c.run(pod)
	c.waitPhase(corev1.PodRunning)
	c.waitLog("busy", "up\n")
	var got itzo.StatsReply
	c.until("stats of everything", func() error {
		var err error
		if got, err = c.client.Stats(t.Context()); err != nil {
			return err
		}
		if got.Pod == nil || len(got.Pod.Containers) != 1 || len(got.Pod.VolumeStats) != 1 || got.Pod.Containers[0].Rootfs == nil ||
			got.Pod.Containers[0].CPU == nil || got.Pod.Containers[0].CPU.UsageNanoCores == nil || *got.Pod.Containers[0].CPU.UsageNanoCores == 0 {
			return fmt.Errorf("got %+v", got.Pod)
		}
		return nil
	})
	one := got.Pod.Containers[0]
	if one.Name != "busy" || *one.CPU.UsageNanoCores > 300e6 || *one.Memory.WorkingSetBytes == 0 || *one.Memory.WorkingSetBytes > 64<<20 || *one.Logs.UsedBytes == 0 {
		t.Errorf("container: %+v %+v %+v", one.CPU, one.Memory, one.Logs)
	}
	if volume := got.Pod.VolumeStats[0]; volume.Name != "data" || *volume.UsedBytes < 1<<20 {
		t.Errorf("volume: %+v", volume)
	}
	if *got.Pod.EphemeralStorage.UsedBytes < *got.Pod.VolumeStats[0].UsedBytes+*one.Logs.UsedBytes {
		t.Errorf("stored: %+v", got.Pod.EphemeralStorage)
	}
	if got.PodUID != pod.UID || got.Node == nil || *got.Node.CPU.UsageCoreNanoSeconds == 0 {
		t.Errorf("got %+v", got)
	}
	if got.Pod.CPU == nil || *got.Pod.CPU.UsageCoreNanoSeconds == 0 || got.Pod.Memory == nil || *got.Pod.Memory.WorkingSetBytes == 0 {
		t.Errorf("pod: %+v %+v", got.Pod.CPU, got.Pod.Memory)
	}
	if network := got.Pod.Network; network == nil || network.Name != "eth0" || network.RxBytes == nil {
		t.Errorf("network: %+v", network)
	}
}

func (c *cell) until(what string, check func() error) {
	c.t.Helper()
	deadline := time.Now().Add(patience)
	for {
		err := check()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			c.t.Fatalf("%s: %v", what, err)
		}
	}
}

// A log is rotated while it is written and read: no line is lost, and old files go.
func testLogRotation(t *testing.T, c *cell) {
	pod := newPod(corev1.RestartPolicyAlways, shell("main", `i=0; while :; do i=$((i+1)); echo line $i; done`))
	c.run(pod)
	id := containerdID(c.waitPhase(corev1.PodRunning).ContainerStatuses[0])
	config := c.config
	config.LogMaxSize, config.LogMaxFiles = 64<<10, 3
	runtime := cri.New(config)
	defer runtime.Close(t.Context())
	name := agent.ContainerID{Namespace: pod.Namespace, Pod: pod.Name, UID: pod.UID, Container: "main"}
	// Who reads the first file goes on with it, whatever becomes of it.
	log, err := runtime.Log(t.Context(), name)
	must(t, err)
	defer log.Close()
	pattern := filepath.Join(config.LogDir, "*_"+string(pod.UID), "main", "0.log*")
	for range 2 {
		before := c.files(pattern)
		c.until("rotation", func() error {
			must(t, runtime.RotateLog(t.Context(), name, id))
			c.logs("main")
			if after := c.files(pattern); slices.Equal(before, after) {
				return fmt.Errorf("there are %q", after)
			}
			return nil
		})
	}
	checkSequence(t, c.files(pattern))
	first, err := io.ReadAll(log)
	must(t, err)
	if lines := strings.Count(string(first), "\n"); lines < 1000 || !strings.HasSuffix(string(first), " line "+strconv.Itoa(lines)+"\n") {
		t.Errorf("the first file has %d lines", lines)
	}
	for range 3 {
		before := c.files(pattern)
		c.until("rotation", func() error {
			must(t, runtime.RotateLog(t.Context(), name, id))
			if after := c.files(pattern); slices.Equal(before, after) {
				return fmt.Errorf("there are %q", after)
			}
			return nil
		})
		if after := c.files(pattern); len(after) > 3 {
			t.Errorf("there are %q", after)
		}
	}
}

func (c *cell) files(pattern string) []string {
	c.t.Helper()
	files, err := filepath.Glob(pattern)
	must(c.t, err)
	return files
}

// checkSequence reads rotated logs, oldest first, and the current one, which has
// the least name.
func checkSequence(t *testing.T, files []string) {
	t.Helper()
	next := 1
	for _, file := range append(slices.Clone(files[1:]), files[0]) {
		opened, err := os.Open(file)
		must(t, err)
		var from io.Reader = opened
		if strings.HasSuffix(file, ".gz") {
			from, err = gzip.NewReader(opened)
			must(t, err)
		}
		lines := bufio.NewScanner(from)
		for lines.Scan() {
			if !strings.HasSuffix(lines.Text(), " F line "+strconv.Itoa(next)) {
				t.Fatalf("%s: %q, want line %d", file, lines.Text(), next)
			}
			next++
		}
		opened.Close()
	}
	if next < 2000 {
		t.Errorf("there are %d lines in %q", next, files)
	}
}

// Of a container that is started again and again the last two logs are kept.
func testLogsAreRemoved(t *testing.T, c *cell) {
	pod := newPod(corev1.RestartPolicyAlways, shell("main", `echo run >>/data/runs; [ $(busybox wc -l </data/runs) -lt 3 ] || exec sleep 3600`))
	c.run(withVolume(pod, "data", emptyDir(), "/data"))
	c.wait("the third run", func(status *corev1.PodStatus) bool {
		return status.ContainerStatuses[0].RestartCount == 2 && status.ContainerStatuses[0].State.Running != nil
	})
	pattern := filepath.Join(c.config.LogDir, "*_"+string(pod.UID), "main", "*.log*")
	c.until("the first log is gone", func() error {
		if files := c.files(pattern); len(files) != 2 || filepath.Base(files[0]) != "1.log" || filepath.Base(files[1]) != "2.log" {
			return fmt.Errorf("there are %q", files)
		}
		return nil
	})
}
