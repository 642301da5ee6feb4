package agent

import (
	"context"
	"errors"
	"io/fs"
	"time"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	statsapi "k8s.io/kubelet/pkg/apis/stats/v1alpha1"
)

// How often what grows is looked at, as a kubelet does, and how long volumes are
// measured after somebody asked for it. Measuring takes at most a tenth of the time.
const (
	upkeepEvery  = 10 * time.Second
	measureEvery = time.Minute
	measureShare = 10
	measureFor   = 5 * time.Minute
)

// upkeep rotates logs and measures what the pod stores, until ctx ends.
func (a *Agent) upkeep(ctx context.Context) {
	var next time.Time
	for ctx.Err() == nil {
		if pod, running := a.runs(); pod != nil {
			a.rotateLogs(ctx, pod, running)
			next = a.measure(ctx, pod, next)
		}
		timer := time.NewTimer(upkeepEvery)
		select {
		case <-ctx.Done():
		case <-timer.C:
		case <-a.usage.wanted:
			next = time.Time{}
		}
		timer.Stop()
	}
}

// runs answers the pod, nil when there is none or it has ended, and the
// containers that ran when they were last looked at.
func (a *Agent) runs() (*corev1.Pod, []Container) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.machine == nil || a.machine.terminal() {
		return nil, nil
	}
	var running []Container
	for _, container := range a.machine.obs.Containers {
		if container.State == ContainerRunning {
			running = append(running, container)
		}
	}
	return a.machine.rec.Pod, running
}

func (a *Agent) rotateLogs(ctx context.Context, pod *corev1.Pod, running []Container) {
	for _, container := range running {
		err := a.config.Runtime.RotateLog(ctx, containerID(pod, container.Name, container.Attempt), container.ID)
		if err != nil && ctx.Err() == nil {
			logr.FromContextOrDiscard(ctx).Error(err, "Cannot rotate the log", "container", container.Name)
		}
	}
}

// measure looks at the volumes when it is time to, and answers when it is again.
func (a *Agent) measure(ctx context.Context, pod *corev1.Pod, next time.Time) time.Time {
	limited := limitsStorage(pod)
	began := time.Now()
	if began.Before(next) || !limited && !a.usage.wantedSince(began.Add(-measureFor)) {
		return next
	}
	a.usage.setVolumes(a.measureVolumes(ctx, pod))
	if limited {
		a.checkStorage(ctx, pod)
	}
	pause := max(upkeepEvery, measureShare*time.Since(began))
	if !limited {
		pause = max(measureEvery, pause)
	}
	// A little less, lest the next look comes just before.
	return time.Now().Add(pause - upkeepEvery/10)
}

func (a *Agent) measureVolumes(ctx context.Context, pod *corev1.Pod) []statsapi.VolumeStats {
	var measured []statsapi.VolumeStats
	for i := range pod.Spec.Volumes {
		volume := &pod.Spec.Volumes[i]
		if volume.EmptyDir == nil && !fromPackage(*volume) {
			continue
		}
		stats, err := a.config.Host.VolumeUsage(ctx, volume)
		if errors.Is(err, fs.ErrNotExist) {
			continue // no container has needed it yet
		}
		if err != nil {
			if ctx.Err() == nil {
				logr.FromContextOrDiscard(ctx).Error(err, "Cannot measure a volume", "volume", volume.Name)
			}
			continue
		}
		measured = append(measured, statsapi.VolumeStats{Name: volume.Name, FsStats: stats})
	}
	return measured
}
