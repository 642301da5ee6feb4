package agent_test

import (
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"kip.elotl.co/internal/itzo"
)

// events are those after a number, as one line each: what they are about, type,
// reason, message, and how often it was.
func (c *cell) events(after int64) (lines []string, last int64) {
	c.t.Helper()
	reply := c.reply("?events=" + strconv.FormatInt(after, 10))
	for i, event := range reply.Events {
		if event.Number <= after || i > 0 && event.Number <= reply.Events[i-1].Number {
			c.t.Errorf("event %d comes after %d: %+v", event.Number, after, reply.Events)
		}
		line := fmt.Sprintf("%s %s %s %s", event.FieldPath, event.Type, event.Reason, event.Message)
		if event.Count > 1 {
			line += fmt.Sprintf(" (%d times)", event.Count)
		}
		lines = append(lines, strings.TrimSpace(line))
	}
	return lines, reply.LastEvent
}

// newEvents wants these events and no others.
func (c *cell) newEvents(after int64, want ...string) (last int64) {
	c.t.Helper()
	c.status()
	got, last := c.events(after)
	if diff := cmp.Diff(want, got); diff != "" {
		c.t.Fatalf("events (-want +got):\n%s", diff)
	}
	return last
}

func pulled(path string) []string {
	return []string{
		path + ` Normal Pulling Pulling image "busybox:1"`,
		path + ` Normal Pulled Successfully pulled image "busybox:1" in 0s (0s including waiting). Image size: 0 bytes.`,
	}
}

func created(path string) []string {
	return []string{path + " Normal Created Container created", path + " Normal Started Container started"}
}

func TestEventsOfAStart(t *testing.T) {
	inCell(t, func(_ *testing.T, c *cell) {
		pod := newPod(corev1.RestartPolicyOnFailure, `{"main":[{"runSeconds":1,"exitCode":1}]}`, "main")
		pod.Spec.InitContainers = []corev1.Container{{Name: "setup", Image: "busybox:1", ImagePullPolicy: corev1.PullIfNotPresent}}
		pod.Annotations["hollow.kip.elotl.co/script"] = `{"setup":[{"runSeconds":1}],"main":[{"runSeconds":1,"exitCode":1}]}`
		c.update(pod)
		setup, main := "spec.initContainers{setup}", "spec.containers{main}"
		present := main + ` Normal Pulled Container image "busybox:1" already present on machine and can be accessed by the pod`
		last := c.newEvents(0, append(pulled(setup), created(setup)...)...)
		sleepSeconds(1)
		last = c.newEvents(last, append([]string{present}, created(main)...)...)
		c.newEvents(last)
		sleepSeconds(1)
		last = c.newEvents(last, append([]string{present}, created(main)...)...)
		sleepSeconds(1)
		last = c.newEvents(last, main+" Warning BackOff Back-off restarting failed container main in pod web_default(uid-1)")
		c.sendStop("uid-1", 1)
		c.newEvents(last)
	})
}

// None is told twice, and none again under the number of another, also by an
// agent that was started anew.
func TestEventsOverARestart(t *testing.T) {
	inCell(t, func(t *testing.T, c *cell) {
		c.update(newPod(corev1.RestartPolicyAlways, "", "main"))
		last := c.newEvents(0, append(pulled("spec.containers{main}"), created("spec.containers{main}")...)...)
		c.stop()
		c.start()
		if got, again := c.events(last); len(got) != 0 || again != last {
			t.Errorf("after a restart: %v, last %d, was %d", got, again, last)
		}
		c.newEvents(last)
		c.sendStop("uid-1", 5)
		c.newEvents(last, "spec.containers{main} Normal Killing Stopping container main")
		// They are gone for whoever else asks.
		if got, _ := c.events(0); len(got) != 1 {
			t.Errorf("not asked for yet: %v", got)
		}
		if reply := c.reply(""); len(reply.Events) != 0 || reply.LastEvent != last+1 {
			t.Errorf("who does not ask for events got %+v", reply.Events)
		}
		c.expect(c.do(http.MethodGet, "/rest/v1/kip/status?events=x", nil), http.StatusBadRequest, "events is not")
	})
}

func TestEventsAnswerALongPoll(t *testing.T) {
	inCell(t, func(t *testing.T, c *cell) {
		pod := newPod(corev1.RestartPolicyAlways, "", "main")
		pod.Spec.Containers[0].ReadinessProbe = &corev1.Probe{PeriodSeconds: 10, InitialDelaySeconds: 7,
			ProbeHandler: corev1.ProbeHandler{TCPSocket: &corev1.TCPSocketAction{Port: intstr.FromInt32(80)}}}
		c.host.SetPort("10.0.0.2:80", 0)
		c.update(pod)
		c.status()
		_, last := c.events(0)
		now := c.reply("")
		began := time.Now()
		reply := c.reply(fmt.Sprintf("?wait=60&epoch=%s&after=%d&events=%d", now.Epoch, now.Revision, last))
		if took := time.Since(began); took != 7*time.Second || len(reply.Events) != 1 || reply.Events[0].Reason != "Unhealthy" {
			t.Errorf("after %s: %+v", took, reply.Events)
		}
	})
}

func TestProbeEvents(t *testing.T) {
	inCell(t, func(_ *testing.T, c *cell) {
		pod := newPod(corev1.RestartPolicyAlways, "", "main")
		container := &pod.Spec.Containers[0]
		get := corev1.ProbeHandler{HTTPGet: &corev1.HTTPGetAction{Path: "/", Port: intstr.FromInt32(80)}}
		container.ReadinessProbe = &corev1.Probe{ProbeHandler: get, PeriodSeconds: 10}
		container.LivenessProbe = &corev1.Probe{ProbeHandler: get, PeriodSeconds: 10, InitialDelaySeconds: 5, FailureThreshold: 2}
		c.host.SetPort("10.0.0.2:80", 503)
		c.update(pod)
		path := "spec.containers{main} "
		c.status()
		_, last := c.events(0)
		sleepSeconds(11)
		last = c.newEvents(last, path+"Warning Unhealthy Liveness probe failed: HTTP probe failed with statuscode: 503",
			path+"Warning Unhealthy Readiness probe failed: HTTP probe failed with statuscode: 503 (2 times)")
		c.newEvents(last)
		sleepSeconds(4)
		want := append([]string{path + "Warning Unhealthy Liveness probe failed: HTTP probe failed with statuscode: 503",
			path + "Normal Killing Container main failed liveness probe, will be restarted",
			path + `Normal Pulled Container image "busybox:1" already present on machine and can be accessed by the pod`},
			created("spec.containers{main}")...)
		c.newEvents(last, append(want, path+"Warning Unhealthy Readiness probe failed: HTTP probe failed with statuscode: 503")...)
	})
}

func TestProbeWarning(t *testing.T) {
	inCell(t, func(t *testing.T, c *cell) {
		pod := newPod(corev1.RestartPolicyAlways, "", "main")
		pod.Spec.Containers[0].ReadinessProbe = &corev1.Probe{PeriodSeconds: 10, InitialDelaySeconds: 1,
			ProbeHandler: corev1.ProbeHandler{HTTPGet: &corev1.HTTPGetAction{Path: "/", Port: intstr.FromInt32(80)}}}
		c.host.SetPort("10.0.0.2:80", 304)
		c.update(pod)
		c.status()
		_, last := c.events(0)
		sleepSeconds(1)
		c.newEvents(last, "spec.containers{main} Warning ProbeWarning Readiness probe warning: Probe terminated redirects, Response body:")
		if !c.container("main").Ready {
			t.Error("a warning is success")
		}
	})
}

func TestHookEvents(t *testing.T) {
	inCell(t, func(_ *testing.T, c *cell) {
		pod := newPod(corev1.RestartPolicyNever, `{"main":[{"forever":true,"stopSeconds":1,"exec":{"secret words":[1],"bye":[1]}}],"other":[{"forever":true}]}`, "main", "other")
		pod.Spec.Containers[0].Lifecycle = &corev1.Lifecycle{PostStart: &corev1.LifecycleHandler{Exec: &corev1.ExecAction{Command: []string{"secret", "words"}}},
			PreStop: &corev1.LifecycleHandler{Exec: &corev1.ExecAction{Command: []string{"bye"}}}}
		c.update(pod)
		sleepSeconds(2)
		main, other := "spec.containers{main}", "spec.containers{other}"
		want := append(pulled(main), created(main)...)
		want = append(want, main+" Warning FailedPostStartHook PostStartHook failed", main+" Normal Killing FailedPostStartHook",
			other+` Normal Pulled Container image "busybox:1" already present on machine and can be accessed by the pod`)
		got, _ := c.events(0)
		for _, line := range append(want, main+" Warning FailedPreStopHook PreStopHook failed") {
			if !strings.Contains(strings.Join(got, "\n"), line) {
				c.t.Errorf("no event %q in\n%s", line, strings.Join(got, "\n"))
			}
		}
		if strings.Contains(strings.Join(got, "\n"), "secret") {
			c.t.Errorf("what a hook says is in\n%s", strings.Join(got, "\n"))
		}
	})
}

func TestEventsAreBounded(t *testing.T) {
	inCell(t, func(t *testing.T, c *cell) {
		pod := newPod(corev1.RestartPolicyAlways, "", "main")
		for i := range 40 {
			pod.Spec.Containers = append(pod.Spec.Containers, corev1.Container{Name: fmt.Sprintf("c%d", i), Image: "busybox:1", ImagePullPolicy: corev1.PullIfNotPresent})
		}
		c.update(pod)
		c.status()
		reply := c.reply("?events=0")
		if len(reply.Events) != itzo.MaxEvents || reply.LastEvent < 120 || reply.Events[itzo.MaxEvents-1].Number != reply.LastEvent {
			t.Errorf("%d events, the last of all is %d", len(reply.Events), reply.LastEvent)
		}
	})
}

// TestNameOfAnImage: what cannot be an image's name is not asked for anywhere.
func TestNameOfAnImage(t *testing.T) {
	inCell(t, func(t *testing.T, c *cell) {
		pod := newPod(corev1.RestartPolicyNever, "", "main")
		pod.Spec.Containers[0].Image = "Busy Box"
		c.update(pod)
		const problem = `Failed to apply default image tag "Busy Box": couldn't parse image name "Busy Box": invalid reference format: repository name (library/Busy Box) must be lowercase`
		if waiting := c.container("main").State.Waiting; waiting == nil || waiting.Reason != "InvalidImageName" || waiting.Message != problem {
			t.Errorf("got %+v", waiting)
		}
		c.newEvents(0, "spec.containers{main} Warning InspectFailed "+problem, "spec.containers{main} Warning Failed Error: InvalidImageName")
	})
}

// TestTooMuchDNS: what of it is left out is told once, not for each container.
func TestTooMuchDNS(t *testing.T) {
	inCell(t, func(t *testing.T, c *cell) {
		pod := newPod(corev1.RestartPolicyNever, `{"main":[{"forever":true}]}`, "main")
		pod.Spec.DNSPolicy = corev1.DNSNone
		pod.Spec.DNSConfig = &corev1.PodDNSConfig{Nameservers: []string{"10.0.0.1", "10.0.0.2", "10.0.0.3", "10.0.0.4"}, Searches: []string{"a", strings.Repeat("x", 254)}}
		c.update(pod)
		const main = "spec.containers{main}"
		c.status()
		lines, _ := c.events(0)
		slices.Sort(lines)
		want := append(append([]string{
			"Warning DNSConfigForming Nameserver limits were exceeded, some nameservers have been omitted, the applied nameserver line is: 10.0.0.1 10.0.0.2 10.0.0.3",
			"Warning DNSConfigForming Search Line limits were exceeded, some search paths have been omitted, the applied search line is: a",
		}, created(main)...), pulled(main)...)
		if diff := cmp.Diff(slices.Sorted(slices.Values(want)), lines); diff != "" {
			t.Error(diff)
		}
	})
}
