package pod_test

import (
	"fmt"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
)

// What a pod said last outlives its cell, but not its object.
func TestLastLogs(t *testing.T) {
	s := newScene(t)
	s.operator()
	p := s.add("job", script(`[{"log":"all is said\n"}]`))
	cell, _ := s.boot(p)
	s.podIs(p, "done", phase(corev1.PodSucceeded))
	s.cellEnds(cell)
	if data, kept := s.logs.Get(p.UID, "main"); !kept || !strings.Contains(string(data), "all is said") {
		t.Errorf("kept %v: %q", kept, data)
	}
	s.delete(p)
	s.podGone(p)
	s.eventually("the logs are forgotten", func() error {
		if data, kept := s.logs.Get(p.UID, "main"); kept {
			return fmt.Errorf("kept %q", data)
		}
		return nil
	})
}

// A cell that does not give its logs is ended all the same.
func TestLogsOfASilentCell(t *testing.T) {
	s := newScene(t)
	stop := s.operator()
	p := s.add("job", script(`[{}]`))
	cell, h := s.boot(p)
	s.podIs(p, "done", phase(corev1.PodSucceeded))
	stop()
	h.stop()
	s.operator()
	s.cellEnds(cell)
}
