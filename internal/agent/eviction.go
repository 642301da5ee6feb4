package agent

import (
	"context"
	"fmt"
	"time"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	resourcehelper "k8s.io/component-helpers/resource"
	statsapi "k8s.io/kubelet/pkg/apis/stats/v1alpha1"
)

const (
	reasonEvicted = "Evicted"
	// evictionGrace is the kubelet's for a pod that is evicted at once.
	evictionGrace = time.Second
	// systemCritical is the least priority of pods that are not evicted.
	systemCritical = 2_000_000_000
)

// evict has the pod fail with a message, unless it is to end anyway, and says
// whether it does.
func (m *machine) evict(now time.Time, message string) bool {
	if m.terminal() || m.stopWanted() {
		return false
	}
	m.rec.Evicted = message
	m.stop(now.Add(evictionGrace))
	return true
}

// noteEvicted makes the end of a pod that was evicted a failure.
func (m *machine) noteEvicted(status *corev1.PodStatus) {
	if m.rec.Evicted != "" && (status.Phase == corev1.PodSucceeded || status.Phase == corev1.PodFailed) {
		status.Phase, status.Reason, status.Message = corev1.PodFailed, reasonEvicted, m.rec.Evicted
	}
}

// limitsStorage says whether the pod is to be evicted for what it may store.
func limitsStorage(pod *corev1.Pod) bool {
	if pod.Spec.Priority != nil && *pod.Spec.Priority >= systemCritical {
		return false
	}
	for i := range pod.Spec.Volumes {
		if dir := pod.Spec.Volumes[i].EmptyDir; dir != nil && dir.SizeLimit != nil && dir.SizeLimit.Sign() > 0 {
			return true
		}
	}
	_, limited := storageLimit(pod)
	return limited
}

func storageLimit(pod *corev1.Pod) (resource.Quantity, bool) {
	limit, limited := resourcehelper.PodLimits(pod, resourcehelper.PodResourcesOptions{})[corev1.ResourceEphemeralStorage]
	return limit, limited
}

// overVolume says in the kubelet's words which emptyDir holds more than it may;
// empty: none.
func overVolume(pod *corev1.Pod, measured []statsapi.VolumeStats) string {
	used := map[string]uint64{}
	for i := range measured {
		used[measured[i].Name] = deref(measured[i].UsedBytes)
	}
	for i := range pod.Spec.Volumes {
		volume := &pod.Spec.Volumes[i]
		if volume.EmptyDir == nil || volume.EmptyDir.SizeLimit == nil || volume.EmptyDir.SizeLimit.Sign() <= 0 {
			continue
		}
		if limit := volume.EmptyDir.SizeLimit; limit.CmpInt64(int64(used[volume.Name])) < 0 {
			return fmt.Sprintf("Usage of EmptyDir volume %q exceeds the limit %q. ", volume.Name, limit.String())
		}
	}
	return ""
}

// overStorage says in the kubelet's words whether the pod, or which of its
// containers, stores more than it may; empty: neither.
func overStorage(pod *corev1.Pod, stats *statsapi.PodStats) string {
	if limit, limited := storageLimit(pod); limited && limit.CmpInt64(int64(deref(stats.EphemeralStorage.UsedBytes))) < 0 {
		return fmt.Sprintf("Pod ephemeral local storage usage exceeds the total limit of containers %s. ", limit.String())
	}
	for i := range pod.Spec.Containers {
		container := &pod.Spec.Containers[i]
		limit := container.Resources.Limits.StorageEphemeral()
		if limit.IsZero() {
			continue
		}
		for j := range stats.Containers {
			if stats.Containers[j].Name == container.Name && limit.CmpInt64(int64(stored(&stats.Containers[j]))) < 0 {
				return fmt.Sprintf("Container %s exceeded its local ephemeral storage limit %q. ", container.Name, limit.String())
			}
		}
	}
	return ""
}

// checkStorage evicts a pod that stores more than it may.
func (a *Agent) checkStorage(ctx context.Context, pod *corev1.Pod) {
	log := logr.FromContextOrDiscard(ctx)
	message := overVolume(pod, a.usage.volumeStats())
	if _, limited := storageLimit(pod); message == "" && limited {
		stats, err := a.podStats(ctx, pod)
		if err != nil {
			log.Error(err, "Cannot measure what the pod stores")
			return
		}
		message = overStorage(pod, stats)
	}
	if message == "" {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.machine == nil || a.machine.rec.Pod.UID != pod.UID || !a.machine.evict(time.Now(), message) {
		return
	}
	log.Info("The pod is evicted", "message", message)
	if err := a.save(); err != nil {
		log.Error(err, "Cannot save the agent's state")
	}
	a.poke()
}
