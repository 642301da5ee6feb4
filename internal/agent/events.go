package agent

import (
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"

	"kip.elotl.co/internal/itzo"
)

// Reasons of events, as the kubelet has them.
const (
	eventPulling         = "Pulling"
	eventPulled          = "Pulled"
	eventInspectFailed   = "InspectFailed"
	eventCreated         = "Created"
	eventStarted         = "Started"
	eventFailed          = "Failed"
	eventBackOff         = "BackOff"
	eventKilling         = "Killing"
	eventUnhealthy       = "Unhealthy"
	eventProbeWarning    = "ProbeWarning"
	eventFailedPostStart = "FailedPostStartHook"
	eventFailedPreStop   = "FailedPreStopHook"
	eventHTTPFallback    = "LifecycleHTTPFallback"
	eventFailedMount     = "FailedMount"
	eventDNSConfig       = "DNSConfigForming"
	eventFailedSandbox   = "FailedCreatePodSandBox"
	eventSandboxChanged  = "SandboxChanged"
)

// tell keeps an event for whoever asks; of a pod with a container that is named,
// it is about that one. What was told with the same words and has not been asked
// for yet is counted.
func (r *record) tell(now time.Time, container, kind, reason, message string) {
	event, ok := itzo.Event{Type: kind, Reason: reason, Message: message, FieldPath: eventPath(r.Pod, container)}.Clean()
	if !ok {
		return
	}
	count := int64(1)
	r.Events = slices.DeleteFunc(slices.Clone(r.Events), func(old itzo.Event) bool {
		same := old.Type == event.Type && old.Reason == event.Reason && old.Message == event.Message && old.FieldPath == event.FieldPath
		if same {
			count += old.Count
		}
		return same
	})
	r.LastEvent++
	event.Number, event.At, event.Count = r.LastEvent, now, count
	r.Events = append(r.Events, event)
	r.Events = r.Events[max(len(r.Events)-itzo.MaxEvents, 0):]
}

// eventPath names a container as events do; empty for none.
func eventPath(pod *corev1.Pod, container string) string {
	for i, spec := range allContainers(pod) {
		if spec.Name == container {
			list, _, _ := strings.Cut(containerPath(pod, nil, i).String(), "[")
			return fmt.Sprintf("spec.%s{%s}", list, container)
		}
	}
	return ""
}

func (m *machine) tell(now time.Time, c *containerState, kind, reason, message string) {
	m.rec.tell(now, c.spec.Name, kind, reason, message)
}

// tell keeps an event about the pod, or a container of it, that an action has
// come upon. The loop sees it when the action ends, or when it is poked.
func (a *Agent) tell(container, kind, reason, format string, args ...any) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.machine != nil {
		a.machine.rec.tell(time.Now(), container, kind, reason, fmt.Sprintf(format, args...))
	}
}

// acknowledge forgets the events that whoever asks has got.
func (a *Agent) acknowledge(number int64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.machine != nil {
		left := itzo.EventsAfter(a.machine.rec.Events, number)
		if len(left) < len(a.machine.rec.Events) {
			a.machine.rec.Events, a.unsaved = slices.Clone(left), true
			a.poke()
		}
	}
	a.hub.acknowledge(number)
}

// pullFailed tells that a container waits for its image, and why.
func (m *machine) pullFailed(now time.Time, c *containerState, r result) {
	if !m.stopWanted() {
		m.tell(now, c, corev1.EventTypeWarning, eventFailed, "Error: "+r.reason)
	}
}

// pullBacksOff tells, once for each failed pull, that the next one is waited for.
func (m *machine) pullBacksOff(now time.Time, c *containerState) {
	if c.pull.told || c.pull.problem.reason != reasonPull {
		return
	}
	c.pull.told = true
	m.tell(now, c, corev1.EventTypeNormal, eventBackOff, fmt.Sprintf("Back-off pulling image %q", c.spec.Image))
	m.tell(now, c, corev1.EventTypeWarning, eventFailed, "Error: "+reasonPullBackoff)
}

// startBacksOff tells, once for each end, that the container's restart is held
// back.
func (m *machine) startBacksOff(now time.Time, c *containerState, end *corev1.ContainerStateTerminated) {
	if c.toldEnd == end.ContainerID {
		return
	}
	c.toldEnd = end.ContainerID
	pod := m.rec.Pod
	m.tell(now, c, corev1.EventTypeWarning, eventBackOff, fmt.Sprintf("Back-off restarting failed container %s in pod %s_%s(%s)",
		c.spec.Name, pod.Name, pod.Namespace, pod.UID))
}

// sandboxFailed tells why the pod has no sandbox.
func (m *machine) sandboxFailed(now time.Time, err error) {
	text, _ := strings.CutPrefix(err.Error(), "failed to create pod sandbox: ")
	m.rec.tell(now, "", corev1.EventTypeWarning, eventFailedSandbox, "Failed to create pod sandbox: "+text)
}
