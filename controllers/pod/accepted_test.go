package pod_test

import (
	"fmt"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"kip.elotl.co/api/v1beta1"
)

const otherImage = `{"spec":{"containers":[{"name":"main","image":"registry.example/busybox:2"}]}}`

// Another image starts the container anew, as a kubelet does.
func TestImageChangedOfARunningPod(t *testing.T) {
	s := newScene(t)
	s.operator()
	p, _, h := s.start("web")
	s.update(p, otherImage)
	s.podIs(p, "running with the other image", func(p *corev1.Pod) bool {
		if len(p.Status.ContainerStatuses) == 0 {
			return false
		}
		got := p.Status.ContainerStatuses[0]
		return got.Ready && got.RestartCount == 1 && got.Image == "registry.example/busybox:2" && p.Status.ObservedGeneration == p.Generation
	})
	s.settled()
	if told := s.eventCount(p, v1beta1.ReasonUnsupportedField); told != 0 {
		t.Errorf("it was told %d times", told)
	}
	if starts, _, _ := h.runtime.seen(); starts != 2 {
		t.Errorf("containers were started %d times", starts)
	}
}

// refusesImages makes the agent one of before images could change.
func (h *hollow) refusesImages(image string) {
	refuses := func(pod *corev1.Pod) field.ErrorList {
		if path := field.NewPath("spec", "containers").Index(0).Child("image"); pod.Spec.Containers[0].Image != image {
			return field.ErrorList{field.Forbidden(path, "cannot change on a running cell")}
		}
		return nil
	}
	h.refuses.Store(&refuses)
}

// agentTakes waits until the agent has taken the newest version of the pod.
func (s *scene) agentTakes(h *hollow, cell *v1beta1.Cell, p *corev1.Pod) {
	s.t.Helper()
	s.eventually("the agent takes the pod's newest version", func() error {
		newest, err := s.get(p)
		if err != nil {
			return err
		}
		if got := h.status(s.t, s.ca, cell).Status.ObservedGeneration; got != newest.Generation {
			return fmt.Errorf("it has %d of %d", got, newest.Generation)
		}
		return nil
	})
}

// What an agent refuses keeps nothing else from it, and is told once; also from
// an operator that has not given it the pod.
func TestRefusedChangeKeepsNothingElse(t *testing.T) {
	s := newScene(t)
	stop := s.operator()
	p, cell, h := s.start("web")
	h.refusesImages(p.Spec.Containers[0].Image)
	s.update(p, otherImage)
	s.event(p, v1beta1.ReasonUnsupportedField, "spec.containers[0].image: Forbidden: cannot change on this cell, whose agent is of an older release; its containers go on as they were")
	s.update(p, `{"spec":{"activeDeadlineSeconds":3600}}`)
	s.agentTakes(h, cell, p)
	debug := `{"spec":{"ephemeralContainers":[{"name":"debug","image":"debug:1"}]}}`
	s.update(p, debug, "ephemeralcontainers")
	s.podIs(p, "looked at", func(p *corev1.Pod) bool {
		return len(p.Status.EphemeralContainerStatuses) == 1 && p.Status.EphemeralContainerStatuses[0].State.Running != nil
	})
	stop()
	s.operator()
	s.clock.shift(time.Minute)
	s.update(p, `{"spec":{"activeDeadlineSeconds":1800}}`)
	s.agentTakes(h, cell, p)
	if starts, _, _ := h.runtime.seen(); starts != 2 {
		t.Errorf("containers were started %d times", starts)
	}
}

// A container that the agent refuses to add keeps nothing else from it.
func TestRefusedEphemeralContainerKeepsNothingElse(t *testing.T) {
	s := newScene(t)
	s.operator()
	p, cell, h := s.start("web")
	refuses := func(pod *corev1.Pod) field.ErrorList {
		if path := field.NewPath("spec", "ephemeralContainers"); len(pod.Spec.EphemeralContainers) > 0 {
			return field.ErrorList{field.Forbidden(path.Index(0), "not here")}
		}
		return nil
	}
	h.refuses.Store(&refuses)
	s.update(p, `{"spec":{"ephemeralContainers":[{"name":"debug","image":"debug:1"}]}}`, "ephemeralcontainers")
	s.event(p, v1beta1.ReasonUnsupportedField, "spec.ephemeralContainers[0]: Forbidden: the cell's agent refuses it; its containers go on as they were")
	s.update(p, otherImage)
	s.agentTakes(h, cell, p)
	s.podIs(p, "running with the other image", func(p *corev1.Pod) bool {
		got := p.Status.ContainerStatuses[0]
		return got.Ready && got.Image == "registry.example/busybox:2"
	})
}
