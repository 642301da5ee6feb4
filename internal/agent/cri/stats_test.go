package cri_test

import (
	"fmt"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	statsapi "k8s.io/kubelet/pkg/apis/stats/v1alpha1"

	"kip.elotl.co/internal/itzo"
)

// TestStats and TestStats2 measure real processes with containerd 1 and 2.
func TestStats(t *testing.T) { testUsage(t, "") }

func TestStats2(t *testing.T) { testUsage(t, containerd2(t)) }

// One container works all the time, the other holds 50 MiB.
func testUsage(t *testing.T, dir string) {
	if !inNamespaces(t, dir) {
		return
	}
	c := startContainerd(t).newCell(t)
	pod := newPod(corev1.RestartPolicyNever, shell("burns", "while :; do :; done"),
		shell("holds", "{ busybox dd if=/dev/zero bs=1M count=60 2>/dev/null; sleep 1000000; } | tail -c 52428800"))
	c.run(withVolume(pod, "data", emptyDir(), "/data"))
	c.waitPhase(corev1.PodRunning)
	const hold = 50 << 20
	first, last := c.usage(), itzo.StatsReply{}
	c.until("all is measured", func() error {
		began := time.Now()
		last = c.usage()
		burns, holds := containerStats(t, &last, "burns"), containerStats(t, &last, "holds")
		if at := time.Unix(0, last.Times.Containers["burns"]); at.Before(began.Add(-time.Minute)) || at.After(time.Now()) || at.Unix() != burns.CPU.Time.Unix() {
			t.Fatalf("measured at %s, %s", at, burns.CPU.Time)
		}
		if used := *burns.CPU.UsageCoreNanoSeconds; used < 5e8 || burns.CPU.UsageNanoCores == nil || burns.Rootfs == nil || burns.Rootfs.Time.Unix() <= 0 {
			return fmt.Errorf("it has worked for %d ns, %+v %+v", used, burns.CPU, burns.Rootfs)
		}
		if *holds.Memory.WorkingSetBytes < hold || len(last.Pod.VolumeStats) == 0 {
			return fmt.Errorf("it holds %d bytes; volumes %v", *holds.Memory.WorkingSetBytes, last.Pod.VolumeStats)
		}
		return nil
	})
	checkWork(t, &first, &last)
	checkMemory(t, &last, hold)
	checkPlaces(t, &last)
}

func (c *cell) usage() itzo.StatsReply {
	c.t.Helper()
	got, err := c.client.Stats(c.t.Context())
	must(c.t, err)
	if got.Pod == nil || len(got.Pod.Containers) != 2 {
		c.t.Fatalf("got %+v", got.Pod)
	}
	return got
}

func containerStats(t *testing.T, reply *itzo.StatsReply, name string) statsapi.ContainerStats {
	t.Helper()
	for _, one := range reply.Pod.Containers {
		if one.Name == name {
			return one
		}
	}
	t.Fatalf("no container %s in %+v", name, reply.Pod.Containers)
	return statsapi.ContainerStats{}
}

func checkWork(t *testing.T, first, last *itzo.StatsReply) {
	t.Helper()
	before, after := containerStats(t, first, "burns").CPU, containerStats(t, last, "burns").CPU
	if *after.UsageCoreNanoSeconds <= *before.UsageCoreNanoSeconds || *after.UsageNanoCores == 0 {
		t.Errorf("processors: %d then %d ns, now %d", *before.UsageCoreNanoSeconds, *after.UsageCoreNanoSeconds, *after.UsageNanoCores)
	}
	sum := *after.UsageCoreNanoSeconds + *containerStats(t, last, "holds").CPU.UsageCoreNanoSeconds
	if *last.Pod.CPU.UsageCoreNanoSeconds < sum || *last.Node.CPU.UsageCoreNanoSeconds == 0 {
		t.Errorf("the pod has worked for %d ns, its containers for %d", *last.Pod.CPU.UsageCoreNanoSeconds, sum)
	}
	if count := last.Pod.ProcessStats; count == nil || *count.ProcessCount < 4 {
		t.Errorf("processes: %+v", count)
	}
}

func checkMemory(t *testing.T, last *itzo.StatsReply, hold uint64) {
	t.Helper()
	holds, burns := containerStats(t, last, "holds").Memory, containerStats(t, last, "burns").Memory
	for what, bytes := range map[string]uint64{"working set": *holds.WorkingSetBytes, "resident": *holds.RSSBytes, "usage": *holds.UsageBytes,
		"working set of the pod": *last.Pod.Memory.WorkingSetBytes} {
		if bytes < hold || bytes > hold+30<<20 {
			t.Errorf("%s: %d bytes of a process that holds %d", what, bytes, hold)
		}
	}
	if *holds.PageFaults < hold/4096 || holds.MajorPageFaults == nil || holds.AvailableBytes != nil {
		t.Errorf("page faults %d, %v; available %v", *holds.PageFaults, holds.MajorPageFaults, holds.AvailableBytes)
	}
	if *burns.WorkingSetBytes > 10<<20 {
		t.Errorf("the other holds %d bytes", *burns.WorkingSetBytes)
	}
}

func checkPlaces(t *testing.T, last *itzo.StatsReply) {
	t.Helper()
	if network := last.Pod.Network; network.Name != "eth0" || len(network.Interfaces) != 1 || *network.TxBytes == 0 || network.RxErrors == nil || network.Time.Unix() <= 0 {
		t.Errorf("network: %+v", network)
	}
	for what, place := range map[string]*statsapi.FsStats{"pod": last.Pod.EphemeralStorage, "cell": last.Node.Fs, "images": last.Node.Runtime.ImageFs} {
		if place == nil || *place.UsedBytes == 0 || *place.CapacityBytes <= *place.AvailableBytes || *place.InodesUsed == 0 || place.Time.Unix() <= 0 {
			t.Errorf("%s: %+v", what, place)
		}
	}
	if logs := containerStats(t, last, "burns").Logs; logs == nil || *logs.InodesUsed == 0 {
		t.Errorf("logs: %+v", logs)
	}
}
