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

// Stats implements agent.Runtime: containers use what SetStored has said, and no
// processor.
func (r *Runtime) Stats(_ context.Context, pod types.UID) (*statsapi.PodStats, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	stats := &statsapi.PodStats{Containers: []statsapi.ContainerStats{}}
	for _, c := range r.containers {
		if r.pods[c.SandboxID] != pod || c.State != agent.ContainerRunning {
			continue
		}
		used, none := r.stored[c.Name], uint64(0)
		stats.Containers = append(stats.Containers, statsapi.ContainerStats{
			Name: c.Name, StartTime: metav1.NewTime(c.CreatedAt),
			CPU:    &statsapi.CPUStats{Time: metav1.Now(), UsageCoreNanoSeconds: &none},
			Rootfs: &statsapi.FsStats{Time: metav1.Now(), UsedBytes: &used},
		})
	}
	return stats, nil
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

// Usage implements agent.Host: nothing is used of the cell.
func (h *Host) Usage() (*statsapi.NodeStats, error) {
	now, none, memory := metav1.Now(), uint64(0), uint64(h.resources.MemoryBytes)
	return &statsapi.NodeStats{
		StartTime: now,
		CPU:       &statsapi.CPUStats{Time: now, UsageCoreNanoSeconds: &none},
		Memory:    &statsapi.MemoryStats{Time: now, AvailableBytes: &memory, UsageBytes: &none, WorkingSetBytes: &none},
		Fs:        &statsapi.FsStats{Time: now},
	}, nil
}
