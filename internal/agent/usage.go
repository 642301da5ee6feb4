package agent

import (
	"context"
	"fmt"
	"net/http"
	"strconv"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	statsapi "k8s.io/kubelet/pkg/apis/stats/v1alpha1"

	"kip.elotl.co/internal/itzo"
)

const (
	// statsFresh is how long an answer of stats is good for whoever asks next.
	statsFresh = time.Second
	// statsTimeout bounds the making of one.
	statsTimeout = 10 * time.Second
)

// usage is what the agent remembers of what it has measured.
type usage struct {
	// wanted tells the upkeep that somebody asks what volumes hold.
	wanted chan struct{}
	// making is held while an answer is made: one at a time.
	making sync.Mutex
	last   *itzo.StatsReply
	lastAt time.Time
	cpu    map[string]cpuSample

	mu      sync.Mutex
	asked   time.Time
	volumes []statsapi.VolumeStats
}

// cpuSample is what somebody had used of the processors at a time.
type cpuSample struct {
	at    time.Time
	used  uint64 // nanoseconds
	nanos *uint64
}

func newUsage() *usage {
	return &usage{wanted: make(chan struct{}, 1)}
}

func (u *usage) volumeStats() []statsapi.VolumeStats {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.volumes
}

func (u *usage) setVolumes(volumes []statsapi.VolumeStats) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.volumes = volumes
}

func (u *usage) wantedSince(at time.Time) bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.asked.After(at)
}

// ask has volumes measured from now on, at once where that was not done already.
func (u *usage) ask(now time.Time) {
	u.mu.Lock()
	first := u.asked.Before(now.Add(-measureFor))
	u.asked = now
	u.mu.Unlock()
	if first {
		select {
		case u.wanted <- struct{}{}:
		default:
		}
	}
}

func (a *Agent) kipStats(w http.ResponseWriter, r *http.Request) error {
	reply, err := a.stats(r.Context())
	if err != nil {
		return err
	}
	return writeJSON(w, reply)
}

// stats answers what the cell and its pod use. Volumes are those of the last
// measuring, and absent before the first one, which the question begins.
func (a *Agent) stats(ctx context.Context) (*itzo.StatsReply, error) {
	a.usage.ask(time.Now())
	a.usage.making.Lock()
	defer a.usage.making.Unlock()
	if a.usage.last != nil && time.Since(a.usage.lastAt) < statsFresh {
		return a.usage.last, nil
	}
	ctx, cancel := context.WithTimeout(ctx, statsTimeout)
	defer cancel()
	node, err := a.config.Host.Usage()
	if err != nil {
		return nil, fmt.Errorf("measuring the cell: %w", err)
	}
	reply := &itzo.StatsReply{Node: node}
	// Without a pod the runtime need not be there yet.
	if images, err := a.config.Runtime.ImageStats(ctx); err == nil {
		node.Runtime = &statsapi.RuntimeStats{ImageFs: images}
	}
	if pod := a.pod(); pod != nil {
		reply.PodUID = pod.UID
		if reply.Pod, err = a.podStats(ctx, pod); err != nil {
			return nil, err
		}
		addRoom(reply.Pod.EphemeralStorage, node.Fs)
	}
	a.usage.rate(reply)
	reply.Times = timesOf(reply)
	a.usage.last, a.usage.lastAt = reply, time.Now()
	return reply, nil
}

func timesOf(reply *itzo.StatsReply) itzo.StatsTimes {
	times := itzo.StatsTimes{Node: readAt(reply.Node.CPU)}
	if reply.Pod == nil {
		return times
	}
	times.Pod, times.Containers = readAt(reply.Pod.CPU), map[string]int64{}
	for i := range reply.Pod.Containers {
		times.Containers[reply.Pod.Containers[i].Name] = readAt(reply.Pod.Containers[i].CPU)
	}
	return times
}

func readAt(cpu *statsapi.CPUStats) int64 {
	if cpu == nil {
		return 0
	}
	return cpu.Time.UnixNano()
}

func (a *Agent) pod() *corev1.Pod {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.machine == nil {
		return nil
	}
	return a.machine.rec.Pod
}

// podStats are the runtime's, with the volumes and the sum of what is stored.
func (a *Agent) podStats(ctx context.Context, pod *corev1.Pod) (*statsapi.PodStats, error) {
	stats, err := a.config.Runtime.Stats(ctx, pod.UID)
	if err != nil {
		return nil, fmt.Errorf("asking the container runtime what the pod uses: %w", err)
	}
	stats.PodRef = statsapi.PodReference{Name: pod.Name, Namespace: pod.Namespace, UID: string(pod.UID)}
	stats.VolumeStats = a.usage.volumeStats()
	var bytes, inodes uint64
	for i := range stats.Containers {
		bytes += stored(&stats.Containers[i])
		for _, part := range []*statsapi.FsStats{stats.Containers[i].Rootfs, stats.Containers[i].Logs} {
			if part != nil {
				inodes += deref(part.InodesUsed)
			}
		}
	}
	for i := range stats.VolumeStats {
		if volume := &stats.VolumeStats[i]; !inMemory(pod, volume.Name) {
			bytes, inodes = bytes+deref(volume.UsedBytes), inodes+deref(volume.InodesUsed)
		}
	}
	stats.EphemeralStorage = &statsapi.FsStats{Time: metav1.Now(), UsedBytes: &bytes, InodesUsed: &inodes}
	return stats, nil
}

// addRoom adds what there is on the cell's disk.
func addRoom(storage, disk *statsapi.FsStats) {
	storage.AvailableBytes, storage.CapacityBytes = disk.AvailableBytes, disk.CapacityBytes
	storage.Inodes, storage.InodesFree = disk.Inodes, disk.InodesFree
}

func inMemory(pod *corev1.Pod, volume string) bool {
	for i := range pod.Spec.Volumes {
		if dir := pod.Spec.Volumes[i].EmptyDir; pod.Spec.Volumes[i].Name == volume && dir != nil {
			return dir.Medium != corev1.StorageMediumDefault
		}
	}
	return false
}

// stored is what a container's own layer and its logs take, in bytes.
func stored(container *statsapi.ContainerStats) uint64 {
	var sum uint64
	for _, part := range []*statsapi.FsStats{container.Rootfs, container.Logs} {
		if part != nil {
			sum += deref(part.UsedBytes)
		}
	}
	return sum
}

func deref(value *uint64) uint64 {
	if value == nil {
		return 0
	}
	return *value
}

// rate adds how much of the processors is used, in billionths of one: since the
// last answer, or as the runtime says. The caller holds making.
func (u *usage) rate(reply *itzo.StatsReply) {
	samples := map[string]cpuSample{}
	u.rateOne(samples, "", reply.Node.CPU)
	if reply.Pod != nil {
		u.rateOne(samples, "pod/"+string(reply.PodUID), reply.Pod.CPU)
		for i := range reply.Pod.Containers {
			container := &reply.Pod.Containers[i]
			u.rateOne(samples, container.Name+"/"+strconv.FormatInt(container.StartTime.UnixNano(), 10), container.CPU)
		}
	}
	u.cpu = samples
}

func (u *usage) rateOne(samples map[string]cpuSample, key string, cpu *statsapi.CPUStats) {
	if cpu == nil || cpu.UsageCoreNanoSeconds == nil {
		return
	}
	now := cpuSample{at: cpu.Time.Time, used: *cpu.UsageCoreNanoSeconds, nanos: cpu.UsageNanoCores}
	if before, known := u.cpu[key]; known && now.used >= before.used {
		if passed := now.at.Sub(before.at); passed > 0 {
			nanos := uint64(float64(now.used-before.used) / passed.Seconds())
			now.nanos = &nanos
		} else {
			now.nanos = before.nanos
		}
	}
	cpu.UsageNanoCores = now.nanos
	samples[key] = now
}
