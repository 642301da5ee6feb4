package fake

import (
	"context"
	"io/fs"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	statsapi "k8s.io/kubelet/pkg/apis/stats/v1alpha1"

	"kip.elotl.co/internal/agent"
)

// RotateLog implements agent.Runtime: a script's log does not grow.
func (r *Runtime) RotateLog(context.Context, agent.ContainerID, string) error { return nil }

// Stats implements agent.Runtime: containers use what their script and SetStored
// say, from their start on.
func (r *Runtime) Stats(_ context.Context, pod types.UID) (*statsapi.PodStats, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := metav1.Now()
	var allWork, allMemory uint64
	stats := &statsapi.PodStats{Containers: []statsapi.ContainerStats{}}
	for _, c := range r.containers {
		if r.pods[c.SandboxID] != pod || c.State != agent.ContainerRunning {
			continue
		}
		stored, memory := r.stored[c.Name], c.run.MemoryBytes
		work := uint64(c.run.CPUs * float64(now.Sub(c.StartedAt)))
		allWork, allMemory = allWork+work, allMemory+memory
		stats.Containers = append(stats.Containers, statsapi.ContainerStats{
			Name: c.Name, StartTime: metav1.NewTime(c.CreatedAt),
			CPU:    &statsapi.CPUStats{Time: now, UsageCoreNanoSeconds: &work},
			Memory: &statsapi.MemoryStats{Time: now, UsageBytes: &memory, WorkingSetBytes: &memory, RSSBytes: &memory},
			Rootfs: &statsapi.FsStats{Time: now, UsedBytes: &stored},
		})
	}
	stats.CPU = &statsapi.CPUStats{Time: now, UsageCoreNanoSeconds: &allWork}
	stats.Memory = &statsapi.MemoryStats{Time: now, UsageBytes: &allMemory, WorkingSetBytes: &allMemory, RSSBytes: &allMemory}
	return stats, nil
}

// ImageStats implements agent.Runtime: there are no images.
func (r *Runtime) ImageStats(context.Context) (*statsapi.FsStats, error) {
	none := uint64(0)
	return &statsapi.FsStats{Time: metav1.Now(), UsedBytes: &none}, nil
}

// SetStored says how many bytes a container has written to its own layer.
func (r *Runtime) SetStored(container string, bytes uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.stored[container] = bytes
}

// VolumeUsage implements agent.Host: volumes hold what SetHeld has said.
func (h *Host) VolumeUsage(_ context.Context, volume *corev1.Volume) (statsapi.FsStats, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	used, known := h.held[volume.Name]
	if !known {
		return statsapi.FsStats{}, fs.ErrNotExist
	}
	return statsapi.FsStats{Time: metav1.Now(), UsedBytes: &used}, nil
}

// SetHeld says how many bytes a volume holds.
func (h *Host) SetHeld(volume string, bytes uint64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.held[volume] = bytes
}

// What a cell uses without a pod.
const (
	idleCPUs   = 0.01
	idleMemory = uint64(64 << 20)
)

// Usage implements agent.Host: the cell idles, whatever its pod does.
func (h *Host) Usage() (*statsapi.NodeStats, error) {
	now, memory := metav1.Now(), idleMemory
	work, available := uint64(idleCPUs*float64(now.Sub(h.started))), uint64(max(h.resources.MemoryBytes-int64(memory), 0))
	return &statsapi.NodeStats{
		StartTime: metav1.NewTime(h.started),
		CPU:       &statsapi.CPUStats{Time: now, UsageCoreNanoSeconds: &work},
		Memory:    &statsapi.MemoryStats{Time: now, AvailableBytes: &available, UsageBytes: &memory, WorkingSetBytes: &memory},
		Fs:        &statsapi.FsStats{Time: now},
	}, nil
}
