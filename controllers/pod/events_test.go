package pod_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/kubernetes"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"kip.elotl.co/internal/virtualnode"
)

// toldOf are the events of a pod, as kubectl reads them: field path, reason and
// message of each.
func (s *scene) toldOf(p *corev1.Pod) []string {
	s.t.Helper()
	var list corev1.EventList
	if err := cluster.admin.List(s.t.Context(), &list, client.InNamespace(p.Namespace)); err != nil {
		s.t.Fatal(err)
	}
	var lines []string
	for _, event := range list.Items {
		if event.InvolvedObject.UID == p.UID && event.InvolvedObject.Name == p.Name && event.InvolvedObject.Kind == "Pod" {
			lines = append(lines, fmt.Sprintf("%s %s %s %s", event.InvolvedObject.FieldPath, event.Type, event.Reason, event.Message))
		}
	}
	return lines
}

// tells waits for an event and answers how often it is there.
func (s *scene) tells(p *corev1.Pod, want string) int {
	s.t.Helper()
	matches := func(line string) bool { return strings.Contains(line, want) }
	s.eventually("event "+want, func() error {
		if lines := s.toldOf(p); !slices.ContainsFunc(lines, matches) {
			return errors.New(strings.Join(lines, "\n"))
		}
		return nil
	})
	return len(slices.DeleteFunc(s.toldOf(p), func(line string) bool { return !matches(line) }))
}

// What the agent tells is on the pod, once, whoever is started anew.
func TestEventsOfTheAgent(t *testing.T) {
	s := newScene(t)
	stop := s.operator()
	p, _, h := s.start("web", grace(2), script(`[{"forever":true,"stopSeconds":1}]`))
	for _, want := range []string{
		`spec.containers{main} Normal Pulling Pulling image "registry.example/busybox:1"`,
		`spec.containers{main} Normal Pulled Successfully pulled image "registry.example/busybox:1" in `,
		"spec.containers{main} Normal Created Container created", "spec.containers{main} Normal Started Container started",
	} {
		if got := s.tells(p, want); got != 1 {
			t.Errorf("%s: %d times", want, got)
		}
	}
	stop()
	h.restart(t)
	s.operator()
	s.delete(p)
	s.tells(p, "spec.containers{main} Normal Killing Stopping container main")
	if got := s.tells(p, "Started"); got != 1 {
		t.Errorf("started %d times: %v", got, s.toldOf(p))
	}
}

// Each text of a pod is an Event of its own, which counts and has the last time.
func TestEventsByTheirTexts(t *testing.T) {
	s := newScene(t)
	p := s.newPod("web")
	p.UID = "11111111-2222-3333-4444-555555555555"
	clientset, err := kubernetes.NewForConfig(cluster.operator)
	if err != nil {
		t.Fatal(err)
	}
	recorders := virtualnode.NewRecorders(clientset.CoreV1())
	background(t, recorders.Start)
	const refused, status = "Readiness probe failed: connection refused", "Readiness probe failed: HTTP probe failed with statuscode: 500"
	for range 3 {
		recorders.ForNode(s.node).Event(p, corev1.EventTypeWarning, "Unhealthy", refused)
		recorders.ForNode(s.node).Event(p, corev1.EventTypeWarning, "Unhealthy", status)
	}
	// The first reason's limit is not the second's.
	for range 40 {
		recorders.ForNode(s.node).Event(p, corev1.EventTypeWarning, "BackOff", "Back-off")
	}
	recorders.ForNode(s.node).Event(p, corev1.EventTypeWarning, "FailedPreStopHook", "PreStopHook failed")
	want := map[string]int32{refused: 3, status: 3, "Back-off": 25, "PreStopHook failed": 1}
	s.eventually("events", func() error {
		var list corev1.EventList
		if err := cluster.admin.List(t.Context(), &list, client.InNamespace(s.namespace)); err != nil {
			return err
		}
		got := map[string]int32{}
		for _, event := range list.Items {
			if event.InvolvedObject.UID == p.UID && event.Source == (corev1.EventSource{Component: "kip", Host: s.node}) && !event.LastTimestamp.IsZero() {
				got[event.Message] = event.Count
			}
		}
		if diff := gocmp.Diff(want, got); diff != "" {
			return errors.New(diff)
		}
		return nil
	})
}

// An ephemeral container is added as kubectl debug does it.
func TestEphemeralContainer(t *testing.T) {
	s := newScene(t)
	s.operator()
	p, _, _ := s.start("web")
	s.update(p, `{"spec":{"ephemeralContainers":[{"name":"debugger","image":"busybox","targetContainerName":"main","stdin":true,"tty":true}]}}`, "ephemeralcontainers")
	got := s.podIs(p, "debugged", func(p *corev1.Pod) bool {
		all := p.Status.EphemeralContainerStatuses
		return len(all) == 1 && all[0].State.Running != nil && p.Status.ObservedGeneration == p.Generation
	})
	if main := got.Status.ContainerStatuses[0]; !main.Ready || main.RestartCount != 0 || got.Status.Phase != corev1.PodRunning {
		t.Errorf("got %+v", got.Status)
	}
	s.tells(p, "spec.ephemeralContainers{debugger} Normal Started Container started")
	s.update(p, `{"spec":{"ephemeralContainers":[{"name":"second","image":"busybox"}]}}`, "ephemeralcontainers")
	s.podIs(p, "debugged twice", func(p *corev1.Pod) bool {
		all := p.Status.EphemeralContainerStatuses
		return len(all) == 2 && all[1].State.Running != nil
	})
	if lines := s.toldOf(p); strings.Contains(strings.Join(lines, "\n"), "UnsupportedField") {
		t.Errorf("told %v", lines)
	}
}
