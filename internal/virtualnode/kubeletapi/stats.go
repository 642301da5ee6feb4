package kubeletapi

import (
	"encoding/json"
	"fmt"
	"math"
	"net/http"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	statsapi "k8s.io/kubelet/pkg/apis/stats/v1alpha1"

	"kip.elotl.co/internal/itzo"
)

// statsSummary answers /stats/summary.
func (s *nodeServer) statsSummary(w http.ResponseWriter, r *http.Request) error {
	if err := s.authorize(r); err != nil {
		return err
	}
	told, err := s.gatherer.ask(r.Context(), s.node)
	if err != nil {
		return err
	}
	summary := summarize(s.node, told)
	if r.URL.Query().Get("only_cpu_and_memory") == "true" {
		onlyCPUAndMemory(summary)
	}
	return writeJSON(w, summary)
}

func writeJSON(w http.ResponseWriter, value any) error {
	body, err := json.Marshal(value)
	if err != nil {
		return fmt.Errorf("encoding the answer: %w", err)
	}
	w.Header().Set("Content-Type", "application/json")
	// Who asked has gone when this fails.
	_, _ = w.Write(body)
	return nil
}

// summarize makes of what the cells have told what a kubelet would tell. Of a
// cell's answer nothing is taken but numbers and times: the names are those that
// the cluster knows.
func summarize(node string, told *told) *statsapi.Summary {
	summary := &statsapi.Summary{Node: nodeStats(node, told), Pods: []statsapi.PodStats{}}
	for _, cell := range told.cells {
		summary.Pods = append(summary.Pods, podStats(cell.pod, cell.reply))
	}
	slices.SortFunc(summary.Pods, func(a, b statsapi.PodStats) int {
		return strings.Compare(a.PodRef.Namespace+"/"+a.PodRef.Name, b.PodRef.Namespace+"/"+b.PodRef.Name)
	})
	return summary
}

func podStats(pod *corev1.Pod, reply *itzo.StatsReply) statsapi.PodStats {
	is := reply.Pod
	stats := statsapi.PodStats{
		PodRef:    statsapi.PodReference{Namespace: pod.Namespace, Name: pod.Name, UID: string(pod.UID)},
		StartTime: is.StartTime, Containers: []statsapi.ContainerStats{},
		CPU: cpuAt(is.CPU, reply.Times.Pod), Memory: is.Memory, Network: networkOf(is.Network),
		EphemeralStorage: is.EphemeralStorage, ProcessStats: is.ProcessStats,
	}
	for _, name := range containerNames(pod) {
		i := slices.IndexFunc(is.Containers, func(c statsapi.ContainerStats) bool { return c.Name == name })
		if i < 0 {
			continue
		}
		one := &is.Containers[i]
		stats.Containers = append(stats.Containers, statsapi.ContainerStats{
			Name: name, StartTime: one.StartTime, CPU: cpuAt(one.CPU, reply.Times.Containers[name]), Memory: one.Memory,
			Rootfs: one.Rootfs, Logs: one.Logs,
		})
	}
	for i := range pod.Spec.Volumes {
		name := pod.Spec.Volumes[i].Name
		j := slices.IndexFunc(is.VolumeStats, func(v statsapi.VolumeStats) bool { return v.Name == name })
		if j >= 0 {
			stats.VolumeStats = append(stats.VolumeStats, statsapi.VolumeStats{Name: name, FsStats: is.VolumeStats[j].FsStats})
		}
	}
	return stats
}

func containerNames(pod *corev1.Pod) []string {
	var names []string
	for i := range pod.Spec.InitContainers {
		names = append(names, pod.Spec.InitContainers[i].Name)
	}
	for i := range pod.Spec.Containers {
		names = append(names, pod.Spec.Containers[i].Name)
	}
	for i := range pod.Spec.EphemeralContainers {
		names = append(names, pod.Spec.EphemeralContainers[i].Name)
	}
	return names
}

// cpuAt has the exact time of the measuring, in nanoseconds since 1970, where
// that agrees with the one in whole seconds.
func cpuAt(cpu *statsapi.CPUStats, nanoseconds int64) *statsapi.CPUStats {
	if cpu == nil {
		return nil
	}
	exact := *cpu
	if t := time.Unix(0, nanoseconds); t.Unix() == cpu.Time.Unix() {
		exact.Time = metav1.NewTime(t)
	}
	return &exact
}

// maxInterfaces and maxInterfaceName bound what is taken of a cell's network:
// the kernel allows names of 15 bytes.
const (
	maxInterfaces    = 32
	maxInterfaceName = 15
)

// networkOf is a network whose interfaces have names that can be.
func networkOf(network *statsapi.NetworkStats) *statsapi.NetworkStats {
	if network == nil {
		return nil
	}
	unlikely := func(i statsapi.InterfaceStats) bool { return len(i.Name) > maxInterfaceName }
	if unlikely(network.InterfaceStats) || len(network.Interfaces) > maxInterfaces || slices.ContainsFunc(network.Interfaces, unlikely) {
		return nil
	}
	return network
}

// nodeStats adds up what the cells use as a whole, with what is not the pod's.
func nodeStats(node string, told *told) statsapi.NodeStats {
	now := metav1.NewTime(told.at)
	stats := statsapi.NodeStats{
		NodeName: node,
		CPU:      &statsapi.CPUStats{Time: now, UsageCoreNanoSeconds: &told.work, UsageNanoCores: new(uint64)},
		Memory:   &statsapi.MemoryStats{Time: now, UsageBytes: new(uint64), WorkingSetBytes: new(uint64)},
		Fs:       &statsapi.FsStats{Time: now},
		Network:  &statsapi.NetworkStats{Time: now},
		Runtime:  &statsapi.RuntimeStats{ImageFs: &statsapi.FsStats{Time: now}},
	}
	for _, cell := range told.cells {
		is := cell.reply.Node
		if started := is.StartTime; stats.StartTime.IsZero() || started.Before(&stats.StartTime) {
			stats.StartTime = started
		}
		if is.CPU != nil {
			sum(&stats.CPU.UsageNanoCores, is.CPU.UsageNanoCores)
		}
		addMemory(stats.Memory, is.Memory)
		addFs(stats.Fs, is.Fs)
		if is.Runtime != nil {
			addFs(stats.Runtime.ImageFs, is.Runtime.ImageFs)
		}
		if is.Network != nil {
			addInterface(&stats.Network.InterfaceStats, &is.Network.InterfaceStats)
		}
	}
	return stats
}

func addMemory(to, from *statsapi.MemoryStats) {
	if from == nil {
		return
	}
	sum(&to.AvailableBytes, from.AvailableBytes)
	sum(&to.UsageBytes, from.UsageBytes)
	sum(&to.WorkingSetBytes, from.WorkingSetBytes)
	sum(&to.RSSBytes, from.RSSBytes)
	sum(&to.PageFaults, from.PageFaults)
	sum(&to.MajorPageFaults, from.MajorPageFaults)
}

func addFs(to, from *statsapi.FsStats) {
	if from == nil {
		return
	}
	sum(&to.AvailableBytes, from.AvailableBytes)
	sum(&to.CapacityBytes, from.CapacityBytes)
	sum(&to.UsedBytes, from.UsedBytes)
	sum(&to.InodesFree, from.InodesFree)
	sum(&to.Inodes, from.Inodes)
	sum(&to.InodesUsed, from.InodesUsed)
}

func addInterface(to, from *statsapi.InterfaceStats) {
	sum(&to.RxBytes, from.RxBytes)
	sum(&to.RxErrors, from.RxErrors)
	sum(&to.TxBytes, from.TxBytes)
	sum(&to.TxErrors, from.TxErrors)
}

// sum adds a number that may not be known to a sum that may not have begun.
func sum(to **uint64, value *uint64) {
	if value == nil {
		return
	}
	var before uint64
	if *to != nil {
		before = **to
	}
	after := add(before, *value)
	*to = &after
}

// add stays at the largest number there is: what a cell tells may be anything.
func add(a, b uint64) uint64 {
	if a > math.MaxUint64-b {
		return math.MaxUint64
	}
	return a + b
}

func onlyCPUAndMemory(summary *statsapi.Summary) {
	node := &summary.Node
	summary.Node = statsapi.NodeStats{NodeName: node.NodeName, StartTime: node.StartTime, CPU: node.CPU, Memory: node.Memory}
	for i := range summary.Pods {
		pod := &summary.Pods[i]
		for j := range pod.Containers {
			one := &pod.Containers[j]
			pod.Containers[j] = statsapi.ContainerStats{Name: one.Name, StartTime: one.StartTime, CPU: one.CPU, Memory: one.Memory}
		}
		summary.Pods[i] = statsapi.PodStats{PodRef: pod.PodRef, StartTime: pod.StartTime, Containers: pod.Containers, CPU: pod.CPU, Memory: pod.Memory}
	}
}
