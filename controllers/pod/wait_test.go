package pod_test

import (
	"context"
	"fmt"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/util/rand"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// patience bounds every wait for a state of the world.
const patience = 30 * time.Second

// eventually waits until check finds nothing wrong.
func (s *scene) eventually(what string, check func() error) {
	s.t.Helper()
	deadline := time.NewTimer(patience)
	defer deadline.Stop()
	again := time.NewTicker(20 * time.Millisecond)
	defer again.Stop()
	for {
		err := check()
		if err == nil {
			return
		}
		select {
		case <-deadline.C:
			s.t.Fatalf("%s: %v", what, err)
		case <-again.C:
		}
	}
}

func (s *scene) get(p *corev1.Pod) (*corev1.Pod, error) {
	found := &corev1.Pod{}
	err := cluster.admin.Get(context.Background(), client.ObjectKeyFromObject(p), found)
	if err == nil && found.UID != p.UID {
		return nil, apierrors.NewNotFound(corev1.Resource("pods"), p.Name)
	}
	return found, err
}

// podIs waits for a state of the pod and answers the pod.
func (s *scene) podIs(p *corev1.Pod, what string, check func(*corev1.Pod) bool) *corev1.Pod {
	s.t.Helper()
	var found *corev1.Pod
	s.eventually("pod is "+what, func() (err error) {
		if found, err = s.get(p); err != nil {
			return err
		}
		if !check(found) {
			return fmt.Errorf("status is %v", found.Status)
		}
		return nil
	})
	return found
}

func phase(phase corev1.PodPhase) func(*corev1.Pod) bool {
	return func(p *corev1.Pod) bool { return p.Status.Phase == phase }
}

// running waits until the pod runs and is ready.
func (s *scene) running(p *corev1.Pod) *corev1.Pod {
	s.t.Helper()
	return s.podIs(p, "running", func(p *corev1.Pod) bool {
		return p.Status.Phase == corev1.PodRunning && conditionIs(p, corev1.PodReady, corev1.ConditionTrue)
	})
}

func (s *scene) podGone(p *corev1.Pod) {
	s.t.Helper()
	s.eventually("pod is gone", func() error {
		found, err := s.get(p)
		if apierrors.IsNotFound(err) {
			return nil
		}
		if err != nil {
			return err
		}
		return fmt.Errorf("it is there: %v", found.Status)
	})
}

func conditionIs(p *corev1.Pod, kind corev1.PodConditionType, status corev1.ConditionStatus) bool {
	c := condition(p, kind)
	return c != nil && c.Status == status
}

func condition(p *corev1.Pod, kind corev1.PodConditionType) *corev1.PodCondition {
	for i := range p.Status.Conditions {
		if p.Status.Conditions[i].Type == kind {
			return &p.Status.Conditions[i]
		}
	}
	return nil
}

// event waits for an event about the pod whose note begins so.
func (s *scene) event(p *corev1.Pod, reason, note string) {
	s.t.Helper()
	s.eventually("event "+reason, func() error {
		var list eventsv1.EventList
		if err := cluster.admin.List(context.Background(), &list, client.InNamespace(s.namespace)); err != nil {
			return err
		}
		for i := range list.Items {
			e := &list.Items[i]
			if e.Regarding.UID == p.UID && e.Reason == reason && strings.HasPrefix(e.Note, note) {
				return nil
			}
		}
		return fmt.Errorf("it is not among %d events", len(list.Items))
	})
}

// eventCount is how often something was told about the pod.
func (s *scene) eventCount(p *corev1.Pod, reason string) int {
	s.t.Helper()
	var list eventsv1.EventList
	if err := cluster.admin.List(s.t.Context(), &list, client.InNamespace(s.namespace)); err != nil {
		s.t.Fatal(err)
	}
	count := 0
	for i := range list.Items {
		e := &list.Items[i]
		if e.Regarding.UID != p.UID || e.Reason != reason {
			continue
		}
		count++
		count += int(e.DeprecatedCount) - 1
	}
	return count
}

// poke makes an event of the pod for the operator.
func (s *scene) poke(p *corev1.Pod) {
	s.t.Helper()
	s.update(p, `{"metadata":{"annotations":{"poke":"`+rand.String(8)+`"}}}`)
}
