package pod

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
)

func TestReadinessGates(t *testing.T) {
	const gate = corev1.PodConditionType("example.com/gate")
	tests := map[string]struct {
		gate    corev1.ConditionStatus
		agent   corev1.ConditionStatus
		want    corev1.ConditionStatus
		message string
	}{
		"not there":          {"", "True", "False", `corresponding condition of pod readiness gate "example.com/gate" does not exist.`},
		"shut":               {"False", "True", "False", `the status of pod readiness gate "example.com/gate" is not "True", but False`},
		"open":               {"True", "True", "True", ""},
		"open, not ready":    {"True", "False", "False", ""},
		"neither open/ready": {"False", "False", "False", ""},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			pod := &corev1.Pod{Spec: corev1.PodSpec{ReadinessGates: []corev1.PodReadinessGate{{ConditionType: gate}}}}
			pod.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodReady, Status: "False", LastTransitionTime: at(1)}}
			if test.gate != "" {
				pod.Status.Conditions = append(pod.Status.Conditions, corev1.PodCondition{Type: gate, Status: test.gate})
			}
			agents := corev1.PodStatus{Conditions: []corev1.PodCondition{{Type: corev1.PodReady, Status: test.agent, LastTransitionTime: at(2)}}}
			got := findCondition(merge(pod, agents, pod.Generation).Conditions, corev1.PodReady)
			want := corev1.PodCondition{Type: corev1.PodReady, Status: test.want, LastTransitionTime: at(1), Message: test.message}
			if test.message != "" {
				want.Reason = "ReadinessGatesNotReady"
			}
			if test.want == "True" {
				want.LastTransitionTime = at(2)
			}
			if diff := cmp.Diff(want, *got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// A pod has not ended as long as a sidecar of its runs.
func TestEndedWithSidecars(t *testing.T) {
	over := corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{}}
	status := corev1.PodStatus{
		Phase:                 corev1.PodRunning,
		InitContainerStatuses: []corev1.ContainerStatus{{State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{}}}},
		ContainerStatuses:     []corev1.ContainerStatus{{State: over}},
	}
	if ended(status) {
		t.Error("ended with a sidecar that runs")
	}
	status.InitContainerStatuses[0].State = over
	if !ended(status) {
		t.Error("not ended without anything that runs")
	}
}

func TestHaveRun(t *testing.T) {
	pod := &corev1.Pod{Spec: corev1.PodSpec{
		InitContainers: []corev1.Container{{Name: "first"}, {Name: "second"}}, Containers: []corev1.Container{{Name: "main"}},
	}}
	if diff := cmp.Diff([]string{"first", "second", "main"}, haveRun(pod)); diff != "" {
		t.Error(diff)
	}
	pod.Status.InitContainerStatuses = []corev1.ContainerStatus{{Name: "first", ContainerID: "c://1"}, {Name: "second"}}
	pod.Status.ContainerStatuses = []corev1.ContainerStatus{{Name: "main"}}
	if diff := cmp.Diff([]string{"first"}, haveRun(pod)); diff != "" {
		t.Error(diff)
	}
}
