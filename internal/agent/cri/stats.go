package cri

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	cri "k8s.io/cri-api/pkg/apis"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
	statsapi "k8s.io/kubelet/pkg/apis/stats/v1alpha1"
)

// Stats implements agent.Runtime.
func (r *Runtime) Stats(ctx context.Context, pod types.UID) (*statsapi.PodStats, error) {
	ctx, runtime, _, err := r.services(ctx)
	if err != nil {
		return nil, err
	}
	labels := map[string]string{labelUID: string(pod)}
	containers, err := runtime.ListContainers(ctx, &runtimeapi.ContainerFilter{LabelSelector: labels,
		State: &runtimeapi.ContainerStateValue{State: runtimeapi.ContainerState_CONTAINER_RUNNING}})
	if err != nil {
		return nil, fmt.Errorf("listing containers: %w", plain(err))
	}
	measured, err := runtime.ListContainerStats(ctx, &runtimeapi.ContainerStatsFilter{LabelSelector: labels})
	if err != nil {
		return nil, fmt.Errorf("measuring containers: %w", plain(err))
	}
	byID := make(map[string]*runtimeapi.ContainerStats, len(measured))
	for _, one := range measured {
		byID[one.GetAttributes().GetId()] = one
	}
	stats := &statsapi.PodStats{Containers: []statsapi.ContainerStats{}}
	for _, container := range containers {
		if one := byID[container.Id]; one != nil {
			stats.Containers = append(stats.Containers, r.containerStats(container, one))
		}
	}
	return stats, sandboxStats(ctx, runtime, labels, stats)
}

// sandboxStats adds what the pod uses as a whole, where the runtime tells that.
func sandboxStats(ctx context.Context, runtime cri.RuntimeService, labels map[string]string, stats *statsapi.PodStats) error {
	sandboxes, err := runtime.ListPodSandbox(ctx, &runtimeapi.PodSandboxFilter{LabelSelector: labels,
		State: &runtimeapi.PodSandboxStateValue{State: runtimeapi.PodSandboxState_SANDBOX_READY}})
	if err != nil {
		return fmt.Errorf("listing sandboxes: %w", plain(err))
	}
	for _, sandbox := range sandboxes {
		stats.StartTime = metav1.NewTime(time.Unix(0, sandbox.CreatedAt))
		measured, err := runtime.PodSandboxStats(ctx, sandbox.Id)
		if err != nil {
			continue // older runtimes do not know, or it has just ended
		}
		linux := measured.GetLinux()
		stats.CPU, stats.Memory, stats.Network = cpuStats(linux.GetCpu()), memoryStats(linux.GetMemory()), networkStats(linux.GetNetwork())
		if processes := linux.GetProcess().GetProcessCount(); processes != nil {
			stats.ProcessStats = &statsapi.ProcessStats{ProcessCount: &processes.Value}
		}
	}
	return nil
}

func (r *Runtime) containerStats(container *runtimeapi.Container, measured *runtimeapi.ContainerStats) statsapi.ContainerStats {
	stats := statsapi.ContainerStats{
		Name:      container.GetMetadata().GetName(),
		StartTime: metav1.NewTime(time.Unix(0, container.CreatedAt)),
		CPU:       cpuStats(measured.Cpu),
		Memory:    memoryStats(measured.Memory),
	}
	if layer := measured.WritableLayer; layer != nil {
		stats.Rootfs = &statsapi.FsStats{Time: at(layer.Timestamp), UsedBytes: value(layer.UsedBytes), InodesUsed: value(layer.InodesUsed)}
	}
	pod := container.Labels
	dir := filepath.Join(r.config.LogDir, logDirectory(pod[labelNamespace], pod[labelName], pod[labelUID]), stats.Name)
	if logs, err := filesIn(dir); err == nil {
		stats.Logs = logs
	}
	return stats
}

// filesIn adds up the files of a directory of logs, in which nobody but the
// runtime and the agent write.
func filesIn(dir string) (*statsapi.FsStats, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	var bytes, inodes uint64
	for _, entry := range entries {
		info, err := entry.Info()
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		if stat, ok := info.Sys().(*syscall.Stat_t); ok {
			bytes += uint64(stat.Blocks) * 512
		}
		inodes++
	}
	return &statsapi.FsStats{Time: metav1.Now(), UsedBytes: &bytes, InodesUsed: &inodes}, nil
}

func cpuStats(cpu *runtimeapi.CpuUsage) *statsapi.CPUStats {
	if cpu == nil {
		return nil
	}
	return &statsapi.CPUStats{Time: at(cpu.Timestamp), UsageCoreNanoSeconds: value(cpu.UsageCoreNanoSeconds), UsageNanoCores: value(cpu.UsageNanoCores)}
}

func memoryStats(memory *runtimeapi.MemoryUsage) *statsapi.MemoryStats {
	if memory == nil {
		return nil
	}
	return &statsapi.MemoryStats{
		Time:            at(memory.Timestamp),
		AvailableBytes:  value(memory.AvailableBytes),
		UsageBytes:      value(memory.UsageBytes),
		WorkingSetBytes: value(memory.WorkingSetBytes),
		RSSBytes:        value(memory.RssBytes),
		PageFaults:      value(memory.PageFaults),
		MajorPageFaults: value(memory.MajorPageFaults),
	}
}

func networkStats(network *runtimeapi.NetworkUsage) *statsapi.NetworkStats {
	if network.GetDefaultInterface() == nil {
		return nil
	}
	stats := &statsapi.NetworkStats{Time: at(network.Timestamp), InterfaceStats: interfaceStats(network.DefaultInterface)}
	stats.Interfaces = append(stats.Interfaces, stats.InterfaceStats)
	for _, other := range network.Interfaces {
		stats.Interfaces = append(stats.Interfaces, interfaceStats(other))
	}
	return stats
}

func interfaceStats(one *runtimeapi.NetworkInterfaceUsage) statsapi.InterfaceStats {
	return statsapi.InterfaceStats{Name: one.Name, RxBytes: value(one.RxBytes), RxErrors: value(one.RxErrors),
		TxBytes: value(one.TxBytes), TxErrors: value(one.TxErrors)}
}

func value(v *runtimeapi.UInt64Value) *uint64 {
	if v == nil {
		return nil
	}
	return &v.Value
}

func at(nanoseconds int64) metav1.Time { return metav1.NewTime(time.Unix(0, nanoseconds)) }
