package pod_test

import (
	"testing"

	corev1 "k8s.io/api/core/v1"

	"kip.elotl.co/api/v1beta1"
)

func TestPodGetsOneCell(t *testing.T) {
	s := newScene(t)
	s.operator()
	p := s.add("web", func(p *corev1.Pod) { p.Annotations[v1beta1.AnnotationInstanceType] = "m5.large" })
	cell := s.cellOf(p)
	want := v1beta1.PodReference{Namespace: s.namespace, Name: "web", UID: string(p.UID)}
	if cell.Spec.PodRef == nil || *cell.Spec.PodRef != want {
		t.Errorf("podRef is %v, want %v", cell.Spec.PodRef, want)
	}
	if cell.Name != "cell-"+string(p.UID) || cell.Spec.CellClassName != s.class || cell.Labels[v1beta1.LabelCellClass] != s.class {
		t.Errorf("it is %s of class %s, labels %v", cell.Name, cell.Spec.CellClassName, cell.Labels)
	}
	if cell.Spec.InstanceType != "m5.large" {
		t.Errorf("instance type is %q", cell.Spec.InstanceType)
	}
	if len(cell.Finalizers) != 1 || cell.Finalizers[0] != v1beta1.Finalizer {
		t.Errorf("finalizers are %v: an instance could be forgotten", cell.Finalizers)
	}
	s.settled()
	if cells := s.cells(); len(cells) != 1 {
		t.Errorf("%d cells, want 1", len(cells))
	}
}

// Two replicas that both believe to lead.
func TestTwoOperatorsMakeOneCell(t *testing.T) {
	s := newScene(t)
	s.operator()
	s.operator()
	p, cell, h := s.start("web")
	s.settled()
	if cells := s.cells(); len(cells) != 1 || cells[0].UID != cell.UID {
		t.Errorf("cells are %v", cells)
	}
	if starts, _, _ := h.runtime.seen(); starts != 1 {
		t.Errorf("container was started %d times", starts)
	}
	s.delete(p)
	s.podGone(p)
	s.cellEnds(cell)
}

func TestPodRuns(t *testing.T) {
	s := newScene(t)
	s.operator()
	p, _, h := s.start("web")
	if p.Status.PodIP != h.podIP || len(p.Status.PodIPs) != 1 || p.Status.HostIP != h.ip.String() {
		t.Errorf("addresses are %s, %v on %s", p.Status.PodIP, p.Status.PodIPs, p.Status.HostIP)
	}
	statuses := p.Status.ContainerStatuses
	if len(statuses) != 1 || statuses[0].State.Running == nil || !statuses[0].Ready || statuses[0].ContainerID == "" {
		t.Errorf("container statuses are %v", statuses)
	}
	if p.Status.StartTime == nil || p.Status.QOSClass != corev1.PodQOSBestEffort {
		t.Errorf("started %v, class %s", p.Status.StartTime, p.Status.QOSClass)
	}
	seen := 0
	for _, toleration := range p.Spec.Tolerations {
		if toleration.Key == corev1.TaintNodeNotReady || toleration.Key == corev1.TaintNodeUnreachable {
			seen++
			if toleration.TolerationSeconds != nil {
				t.Errorf("an outage of %d s would evict the pod", *toleration.TolerationSeconds)
			}
		}
	}
	if seen != 2 {
		t.Errorf("tolerations are %v: the test needs those that the API server adds", p.Spec.Tolerations)
	}
}

func TestPodEnds(t *testing.T) {
	tests := map[string]struct {
		policy   corev1.RestartPolicy
		script   string
		phase    corev1.PodPhase
		exitCode int32
		restarts int32
	}{
		"done":                      {corev1.RestartPolicyNever, `[{}]`, corev1.PodSucceeded, 0, 0},
		"exit 3":                    {corev1.RestartPolicyNever, `[{"exitCode":3}]`, corev1.PodFailed, 3, 0},
		"fails twice, then is done": {corev1.RestartPolicyOnFailure, `[{"exitCode":1},{"exitCode":1},{}]`, corev1.PodSucceeded, 0, 2},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			s := newScene(t)
			s.operator()
			p := s.add("job", policy(test.policy), script(test.script))
			cell, _ := s.boot(p)
			p = s.podIs(p, "at its end", phase(test.phase))
			status := p.Status.ContainerStatuses[0]
			if end := status.State.Terminated; end == nil || end.ExitCode != test.exitCode || status.RestartCount != test.restarts {
				t.Errorf("container status is %v", status)
			}
			if conditionIs(p, corev1.PodReady, corev1.ConditionTrue) {
				t.Error("it is ready")
			}
			if !conditionIs(p, corev1.PodReadyToStartContainers, corev1.ConditionFalse) {
				t.Errorf("its sandbox is there: %v", condition(p, corev1.PodReadyToStartContainers))
			}
			s.cellEnds(cell)
			s.settled()
			if p = s.podIs(p, "still so", phase(test.phase)); p.Status.ContainerStatuses[0].State.Terminated.ExitCode != test.exitCode {
				t.Errorf("after the Cell's end the status is %v", p.Status)
			}
		})
	}
}

// As long as nothing happens to a pod, nothing is written to it.
func TestQuietPod(t *testing.T) {
	s := newScene(t)
	stop := s.operator()
	p, _, _ := s.start("web")
	s.settled()
	stop()
	s.operator()
	s.settled()
	found, err := s.get(p)
	if err != nil {
		t.Fatal(err)
	}
	if found.ResourceVersion != p.ResourceVersion {
		t.Errorf("status was %v, is %v", p.Status, found.Status)
	}
}

// A pod of two containers is ready when both are.
func TestTwoContainers(t *testing.T) {
	s := newScene(t)
	s.operator()
	p := s.add("web", policy(corev1.RestartPolicyOnFailure), script(`[{}]`), func(p *corev1.Pod) {
		p.Spec.Containers = append(p.Spec.Containers, corev1.Container{Name: "side", Image: "busybox:1"})
	})
	cell, _ := s.boot(p)
	p = s.podIs(p, "running with one container", func(p *corev1.Pod) bool {
		statuses := p.Status.ContainerStatuses
		return p.Status.Phase == corev1.PodRunning && len(statuses) == 2 && statuses[0].State.Terminated != nil && statuses[1].State.Running != nil
	})
	if !conditionIs(p, corev1.PodReady, corev1.ConditionFalse) {
		t.Errorf("conditions are %v", p.Status.Conditions)
	}
	s.delete(p)
	s.podGone(p)
	s.cellEnds(cell)
}
