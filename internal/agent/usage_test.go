package agent_test

import (
	"encoding/json"
	"net/http"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"

	"kip.elotl.co/internal/itzo"
)

func storage(amount string) corev1.ResourceRequirements {
	return corev1.ResourceRequirements{Limits: corev1.ResourceList{corev1.ResourceEphemeralStorage: resource.MustParse(amount)}}
}

func withDir(pod *corev1.Pod, limit string) *corev1.Pod {
	dir := &corev1.EmptyDirVolumeSource{}
	if limit != "" {
		size := resource.MustParse(limit)
		dir.SizeLimit = &size
	}
	pod.Spec.Volumes = append(pod.Spec.Volumes, corev1.Volume{Name: "data", VolumeSource: corev1.VolumeSource{EmptyDir: dir}})
	return pod
}

const mib = 1 << 20

func TestEviction(t *testing.T) {
	tests := map[string]struct {
		pod     func(*corev1.Pod)
		held    uint64
		stored  uint64
		message string
	}{
		"volume": {func(p *corev1.Pod) { withDir(p, "1Mi") }, mib + 1, 0, `Usage of EmptyDir volume "data" exceeds the limit "1Mi". `},
		"container": {func(p *corev1.Pod) {
			p.Spec.Containers[0].Resources = storage("1Mi")
			p.Spec.Containers = append(p.Spec.Containers, *p.Spec.Containers[0].DeepCopy())
			p.Spec.Containers[1].Name = "other"
		}, 0, mib + 1, `Container main exceeded its local ephemeral storage limit "1Mi". `},
		"pod":             {func(p *corev1.Pod) { withDir(p, "").Spec.Containers[0].Resources = storage("2Mi") }, mib + 1, mib, "Pod ephemeral local storage usage exceeds the total limit of containers 2Mi. "},
		"just as much":    {func(p *corev1.Pod) { withDir(p, "1Mi").Spec.Containers[0].Resources = storage("2Mi") }, mib, mib, ""},
		"without limit":   {func(p *corev1.Pod) { withDir(p, "") }, 1 << 40, 1 << 40, ""},
		"system critical": {func(p *corev1.Pod) { p.Spec.Priority = new(int32(2_000_000_000)); withDir(p, "1Mi") }, 1 << 40, 0, ""},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			inCell(t, func(t *testing.T, c *cell) {
				pod := newPod(corev1.RestartPolicyAlways, `{"main":[{"forever":true,"stopSeconds":60}]}`, "main")
				test.pod(pod)
				c.update(pod)
				c.wantPhase(corev1.PodRunning)
				c.host.SetHeld("data", test.held)
				c.runtime.SetStored("main", test.stored)
				sleepSeconds(15)
				status := c.status()
				if test.message == "" {
					if status.Phase != corev1.PodRunning {
						t.Errorf("got %+v", status)
					}
					return
				}
				end := status.ContainerStatuses[0].State.Terminated
				if status.Phase != corev1.PodFailed || status.Reason != "Evicted" || status.Message != test.message || end == nil || end.ExitCode != 137 {
					t.Errorf("got %+v", status)
				}
				c.stop()
				c.start()
				if again := c.status(); again.Reason != "Evicted" || again.Message != test.message {
					t.Errorf("after the agent's restart: %+v", again)
				}
			})
		})
	}
}

// What is measured only because somebody asks is measured at once then, and not
// for ever.
func TestStats(t *testing.T) {
	inCell(t, func(t *testing.T, c *cell) {
		if got := c.stats(); got.Node == nil || got.Pod != nil || got.PodUID != "" {
			t.Errorf("without a pod: %+v", got)
		}
		sleepSeconds(301)
		c.update(withDir(newPod(corev1.RestartPolicyAlways, `{"main":[{"forever":true}]}`, "main"), ""))
		c.wantPhase(corev1.PodRunning)
		c.host.SetHeld("data", mib)
		c.runtime.SetStored("main", 2*mib)
		if got := c.stats(); got.PodUID != "uid-1" || got.Pod.PodRef.Name != "web" || len(got.Pod.Containers) != 1 {
			t.Errorf("at first: %+v", got.Pod)
		}
		sleepSeconds(2)
		got := c.stats()
		if volumes := got.Pod.VolumeStats; len(volumes) != 1 || volumes[0].Name != "data" || *volumes[0].UsedBytes != mib {
			t.Errorf("volumes: %+v", volumes)
		}
		if used := got.Pod.EphemeralStorage.UsedBytes; *used != 3*mib {
			t.Errorf("%d bytes are stored", *used)
		}
		if rate := got.Pod.Containers[0].CPU.UsageNanoCores; rate == nil || *rate != 0 {
			t.Errorf("CPU: %+v", got.Pod.Containers[0].CPU)
		}
		c.host.SetHeld("data", 5*mib)
		sleepSeconds(2)
		if volumes := c.stats().Pod.VolumeStats; *volumes[0].UsedBytes != mib {
			t.Error("the volumes were measured again too soon")
		}
		sleepSeconds(60)
		if volumes := c.stats().Pod.VolumeStats; *volumes[0].UsedBytes != 5*mib {
			t.Error("the volumes were not measured again")
		}
	})
}

func (c *cell) stats() itzo.StatsReply {
	c.t.Helper()
	got := c.do(http.MethodGet, "/rest/v1/kip/stats", nil)
	var reply itzo.StatsReply
	if err := json.Unmarshal(got.Body.Bytes(), &reply); err != nil || got.Code != http.StatusOK {
		c.t.Fatalf("%d %s: %v", got.Code, got.Body, err)
	}
	return reply
}
