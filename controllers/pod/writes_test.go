package pod_test

import (
	"context"
	"sync"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/watch"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// An ordinary pod is written to when it is first seen, when it is given to its
// agent, when it runs, when it has ended, and when it goes, and no more: the
// sixth write is the user's deletion.
func TestWritesOfAnOrdinaryPod(t *testing.T) {
	s := newScene(t)
	s.operator()
	following, err := cluster.admin.Watch(context.Background(), &corev1.PodList{}, client.InNamespace(s.namespace))
	if err != nil {
		t.Fatal(err)
	}
	var writes []corev1.PodStatus
	var reading sync.WaitGroup
	reading.Go(func() {
		for event := range following.ResultChan() {
			if found, ok := event.Object.(*corev1.Pod); ok && found.Name == "web" && event.Type == watch.Modified {
				writes = append(writes, found.Status)
			}
		}
	})
	p, cell, _ := s.start("web", grace(5))
	s.delete(p)
	s.podGone(p)
	s.cellEnds(cell)
	following.Stop()
	reading.Wait()
	if len(writes) != 6 {
		t.Errorf("%d writes: %v", len(writes), writes)
	}
}

// The kubelet's events of what goes wrong on the cell.
func TestProblemsOnTheCellAreTold(t *testing.T) {
	s := newScene(t)
	s.operator()
	p := s.add("web", script(`[{"startError":"exec: no such file"}]`))
	cell, _ := s.boot(p)
	s.podIs(p, "failed", phase(corev1.PodFailed))
	s.event(p, "Failed", "Error: exec: no such file")
	s.cellEnds(cell)
	if told := s.eventCount(p, "Failed"); told != 1 {
		t.Errorf("it was told %d times", told)
	}
}
