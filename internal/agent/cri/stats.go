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

	"golang.org/x/sys/unix"
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

// ImageStats implements agent.Runtime.
func (r *Runtime) ImageStats(ctx context.Context) (*statsapi.FsStats, error) {
	ctx, _, images, err := r.services(ctx)
	if err != nil {
		return nil, err
	}
	measured, err := images.ImageFsInfo(ctx)
	if err != nil {
		return nil, fmt.Errorf("measuring images: %w", plain(err))
	}
	if len(measured.GetImageFilesystems()) == 0 {
		return nil, errors.New("measuring images: the container runtime names no file system")
	}
	first := measured.ImageFilesystems[0]
	stats := &statsapi.FsStats{Time: at(first.Timestamp), UsedBytes: value(first.UsedBytes), InodesUsed: value(first.InodesUsed)}
	var all unix.Statfs_t
	if path := first.GetFsId().GetMountpoint(); path != "" && unix.Statfs(path, &all) == nil {
		available, capacity := all.Bavail*uint64(all.Bsize), all.Blocks*uint64(all.Bsize)
		stats.AvailableBytes, stats.CapacityBytes, stats.Inodes, stats.InodesFree = &available, &capacity, &all.Files, &all.Ffree
	}
	return stats, nil
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
	// containerd measures layers by itself, now and then: at first there is nothing.
	if layer := measured.WritableLayer; layer.GetTimestamp() > 0 {
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

// cpuStats leaves out a rate of 0, which is what containerd has when it was not
// asked twice.
func cpuStats(cpu *runtimeapi.CpuUsage) *statsapi.CPUStats {
	if cpu == nil {
		return nil
	}
	return &statsapi.CPUStats{Time: at(cpu.Timestamp), UsageCoreNanoSeconds: value(cpu.UsageCoreNanoSeconds), UsageNanoCores: positive(cpu.UsageNanoCores)}
}

// memoryStats leaves out how much is available where that is 0, as it is
// without a limit.
func memoryStats(memory *runtimeapi.MemoryUsage) *statsapi.MemoryStats {
	if memory == nil {
		return nil
	}
	return &statsapi.MemoryStats{
		Time:            at(memory.Timestamp),
		AvailableBytes:  positive(memory.AvailableBytes),
		UsageBytes:      value(memory.UsageBytes),
		WorkingSetBytes: value(memory.WorkingSetBytes),
		RSSBytes:        value(memory.RssBytes),
		PageFaults:      value(memory.PageFaults),
		MajorPageFaults: value(memory.MajorPageFaults),
	}
}

// networkStats has each interface once: containerd 2 lists the first again among
// all, containerd 1.6 does not say when it measured.
func networkStats(network *runtimeapi.NetworkUsage) *statsapi.NetworkStats {
	if network.GetDefaultInterface() == nil {
		return nil
	}
	stats := &statsapi.NetworkStats{Time: metav1.Now(), InterfaceStats: interfaceStats(network.DefaultInterface)}
	if network.Timestamp > 0 {
		stats.Time = at(network.Timestamp)
	}
	stats.Interfaces = append(stats.Interfaces, stats.InterfaceStats)
	for _, other := range network.Interfaces {
		if other.GetName() != stats.Name {
			stats.Interfaces = append(stats.Interfaces, interfaceStats(other))
		}
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

func positive(v *runtimeapi.UInt64Value) *uint64 {
	if v.GetValue() == 0 {
		return nil
	}
	return &v.Value
}

func at(nanoseconds int64) metav1.Time { return metav1.NewTime(time.Unix(0, nanoseconds)) }
