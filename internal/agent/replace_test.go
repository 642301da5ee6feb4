package agent_test

import (
	"context"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"

	"kip.elotl.co/internal/agent"
	"kip.elotl.co/internal/agent/fake"
	"kip.elotl.co/internal/itzo"
)

// withImage is the pod's next version, in which a main container has that image.
func withImage(pod *corev1.Pod, image string) *corev1.Pod {
	pod = pod.DeepCopy()
	pod.Generation++
	pod.Spec.Containers[0].Image = image
	return pod
}

// Another image starts the container anew at once, whatever its policy, and
// leaves the others alone.
func TestImageChange(t *testing.T) {
	for _, policy := range []corev1.RestartPolicy{corev1.RestartPolicyAlways, corev1.RestartPolicyNever} {
		t.Run(string(policy), func(t *testing.T) {
			inCell(t, func(t *testing.T, c *cell) {
				pod := newPod(policy, `{"main":[{"forever":true,"stopSeconds":5,"stopCode":0}]}`, "main", "other")
				c.update(pod)
				c.status()
				_, last := c.events(0)
				c.events(last) // so that what comes is not counted with what was
				c.update(withImage(pod, "busybox:2"))
				if got := c.container("main"); got.State.Running == nil || got.RestartCount != 0 {
					t.Errorf("as it ends: %+v", got)
				}
				sleepSeconds(6)
				got := c.container("main")
				if got.State.Running == nil || got.Image != "busybox:2" || got.RestartCount != 1 || got.LastTerminationState.Terminated == nil {
					t.Errorf("got %+v", got)
				}
				if got := c.container("other"); got.RestartCount != 0 || got.State.Running == nil {
					t.Errorf("other: %+v", got)
				}
				if status := c.status(); status.Phase != corev1.PodRunning || status.ObservedGeneration != 2 {
					t.Errorf("got %+v", status)
				}
				path := "spec.containers{main}"
				c.newEvents(last, append([]string{
					path + " Normal Killing Container main definition changed, will be restarted",
					path + ` Normal Pulling Pulling image "busybox:2"`,
					path + ` Normal Pulled Successfully pulled image "busybox:2" in 0s (0s including waiting). Image size: 0 bytes.`,
				}, created(path)...)...)
				// Sent again it is no change, nor is it one for an agent that starts.
				c.update(withImage(pod, "busybox:2"))
				c.stop()
				c.start()
				sleepSeconds(60)
				if got := c.container("main"); got.RestartCount != 1 {
					t.Errorf("started again: %+v", got)
				}
			})
		})
	}
}

// An agent that dies between the end and the next start goes on with that.
func TestImageChangeOverTheAgentsRestart(t *testing.T) {
	inCell(t, func(t *testing.T, c *cell) {
		pod := newPod(corev1.RestartPolicyNever, `{"main":[{"forever":true,"stopSeconds":5}]}`, "main")
		c.update(pod)
		c.status()
		c.update(withImage(pod, "busybox:2"))
		sleepSeconds(1)
		c.stop()
		sleepSeconds(10)
		c.start()
		sleepSeconds(10)
		if got := c.container("main"); got.State.Running == nil || got.Image != "busybox:2" || got.RestartCount != 1 {
			t.Errorf("got %+v", got)
		}
	})
}

// As long as the next run is waited for, the end of the one before is no state
// that a container without restarts could not leave.
func TestImageChangeShowsNoEnd(t *testing.T) {
	inCell(t, func(t *testing.T, c *cell) {
		c.stop()
		c.configure = func(config *agent.Config) { config.Runtime = &slowRuntime{c.runtime} }
		c.start()
		pod := newPod(corev1.RestartPolicyNever, "", "main")
		c.update(pod)
		c.status()
		c.update(withImage(pod, "busybox:slow"))
		sleepSeconds(5)
		got := c.container("main")
		if got.State.Waiting == nil || got.State.Waiting.Reason != "ContainerCreating" || got.LastTerminationState.Terminated == nil {
			t.Errorf("got %+v", got)
		}
		c.wantPhase(corev1.PodRunning)
	})
}

// What has ended for good does not come back by an image, and a back-off is over.
func TestImageChangeOfWhatHasEnded(t *testing.T) {
	inCell(t, func(t *testing.T, c *cell) {
		pod := newPod(corev1.RestartPolicyOnFailure, `{"main":[{"exitCode":1},{"exitCode":1},{"exitCode":1},{"forever":true}],"done":[{"runSeconds":1}]}`, "main", "done")
		c.update(pod)
		sleepSeconds(15)
		if got := c.container("main"); got.State.Waiting == nil || got.State.Waiting.Reason != "CrashLoopBackOff" || got.RestartCount != 2 {
			t.Fatalf("got %+v", got)
		}
		pod = withImage(pod, "busybox:2")
		pod.Spec.Containers[1].Image = "busybox:2"
		c.update(pod)
		if got := c.container("main"); got.State.Running == nil || got.RestartCount != 3 || got.Image != "busybox:2" {
			t.Errorf("got %+v", got)
		}
		if got := c.container("done"); got.State.Terminated == nil || got.RestartCount != 0 {
			t.Errorf("got %+v", got)
		}
	})
}

func TestImageChangeOfInitContainers(t *testing.T) {
	inCell(t, func(t *testing.T, c *cell) {
		pod := newPod(corev1.RestartPolicyAlways, `{"setup":[{"runSeconds":1}]}`, "main")
		always := corev1.ContainerRestartPolicyAlways
		pod.Spec.InitContainers = []corev1.Container{
			{Name: "setup", Image: "busybox:1"}, {Name: "side", Image: "busybox:1", RestartPolicy: &always},
		}
		c.update(pod)
		sleepSeconds(2)
		_, last := c.events(0)
		pod = pod.DeepCopy()
		pod.Generation, pod.Spec.InitContainers[0].Image, pod.Spec.InitContainers[1].Image = 2, "busybox:2", "busybox:2"
		c.update(pod)
		sleepSeconds(2)
		inits := c.status().InitContainerStatuses
		if inits[0].RestartCount != 0 || inits[0].Image != "busybox:1" || inits[1].RestartCount != 1 || inits[1].Image != "busybox:2" || inits[1].State.Running == nil {
			t.Errorf("got %+v", inits)
		}
		if got := c.container("main"); got.RestartCount != 0 {
			t.Errorf("main: %+v", got)
		}
		events, _ := c.events(last)
		if !slices.Contains(events, "spec.initContainers{side} Normal Killing Init container side definition changed") {
			t.Errorf("events: %s", strings.Join(events, "\n"))
		}
	})
}

// slowRuntime never gets images of tag slow.
type slowRuntime struct{ *fake.Runtime }

func (r *slowRuntime) PullImage(ctx context.Context, name string, c *itzo.RegistryCredentials) (agent.Image, error) {
	if strings.HasSuffix(name, ":slow") {
		<-ctx.Done()
		return agent.Image{}, ctx.Err()
	}
	return r.Runtime.PullImage(ctx, name, c)
}

// A pull of an image that is not wanted any more keeps nobody waiting.
func TestImageChangeWhilePulling(t *testing.T) {
	inCell(t, func(t *testing.T, c *cell) {
		c.stop()
		c.configure = func(config *agent.Config) { config.Runtime = &slowRuntime{c.runtime} }
		c.start()
		pod := newPod(corev1.RestartPolicyAlways, "", "main")
		pod.Spec.Containers[0].Image = "busybox:slow"
		c.update(pod)
		sleepSeconds(5)
		c.update(withImage(pod, "busybox:2"))
		sleepSeconds(1)
		if got := c.container("main"); got.State.Running == nil || got.Image != "busybox:2" || got.RestartCount != 0 {
			t.Errorf("got %+v", got)
		}
		events, _ := c.events(0)
		for _, event := range events {
			if strings.Contains(event, "Warning") {
				t.Errorf("event %s", event)
			}
		}
	})
}
