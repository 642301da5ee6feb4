package pod

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/strategicpatch"
)

func at(seconds int64) metav1.Time { return metav1.Unix(seconds, 0) }

func TestMerge(t *testing.T) {
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Generation: 3},
		Status: corev1.PodStatus{
			Phase: corev1.PodPending, Reason: "FailedMount", Message: "old", QOSClass: corev1.PodQOSBurstable, NominatedNodeName: "n",
			Conditions: []corev1.PodCondition{
				{Type: corev1.PodReady, Status: corev1.ConditionFalse, LastTransitionTime: at(1), Reason: "FailedMount"},
				{Type: corev1.PodInitialized, Status: corev1.ConditionTrue, LastTransitionTime: at(2)},
				{Type: corev1.PodScheduled, Status: corev1.ConditionTrue, LastTransitionTime: at(3), ObservedGeneration: 1},
				{Type: "example.com/gate", Status: corev1.ConditionTrue, LastTransitionTime: at(4)},
			},
		},
	}
	agents := corev1.PodStatus{
		Phase: corev1.PodRunning, PodIP: "10.0.0.2",
		Conditions: []corev1.PodCondition{
			{Type: corev1.PodReady, Status: corev1.ConditionTrue, LastTransitionTime: at(10)},
			{Type: corev1.PodInitialized, Status: corev1.ConditionTrue, LastTransitionTime: at(10)},
			{Type: corev1.ContainersReady, Status: corev1.ConditionTrue, LastTransitionTime: at(10)},
		},
	}
	want := &corev1.PodStatus{
		ObservedGeneration: 3,
		Phase:              corev1.PodRunning, PodIP: "10.0.0.2", QOSClass: corev1.PodQOSBurstable, NominatedNodeName: "n",
		Conditions: []corev1.PodCondition{
			{Type: corev1.PodReady, Status: corev1.ConditionTrue, LastTransitionTime: at(10), ObservedGeneration: 3},
			{Type: corev1.PodInitialized, Status: corev1.ConditionTrue, LastTransitionTime: at(2), ObservedGeneration: 3},
			{Type: corev1.ContainersReady, Status: corev1.ConditionTrue, LastTransitionTime: at(10), ObservedGeneration: 3},
			{Type: corev1.PodScheduled, Status: corev1.ConditionTrue, LastTransitionTime: at(3), ObservedGeneration: 1},
			{Type: "example.com/gate", Status: corev1.ConditionTrue, LastTransitionTime: at(4)},
		},
	}
	got := merge(pod, agents, pod.Generation)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	// What was merged once is the same when it is merged again.
	pod.Status = *got
	if diff := cmp.Diff(want, merge(pod, agents, pod.Generation)); diff != "" {
		t.Errorf("the second time: %s", diff)
	}
	if agents.Conditions[1].LastTransitionTime != at(10) {
		t.Error("the agent's status was written to")
	}
}

// The patch, applied to a pod that others have written to meanwhile, changes
// what is ours alone.
func TestStatusPatch(t *testing.T) {
	before := corev1.PodStatus{
		Phase: corev1.PodPending, Reason: "FailedMount",
		Conditions: []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionFalse, Reason: "FailedMount"}},
	}
	after := corev1.PodStatus{
		Phase:             corev1.PodRunning,
		Conditions:        []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}},
		ContainerStatuses: []corev1.ContainerStatus{{Name: "main", Ready: true}},
	}
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{UID: "uid-1"}, Status: before}
	patch, err := statusPatch(pod, &after)
	if err != nil {
		t.Fatal(err)
	}
	live := pod.DeepCopy()
	live.Status.Conditions = append(live.Status.Conditions, corev1.PodCondition{Type: "example.com/gate", Status: corev1.ConditionTrue})
	data, err := json.Marshal(live)
	if err != nil {
		t.Fatal(err)
	}
	patched, err := strategicpatch.StrategicMergePatch(data, patch, corev1.Pod{})
	if err != nil {
		t.Fatal(err)
	}
	got := &corev1.Pod{}
	if err := json.Unmarshal(patched, got); err != nil {
		t.Fatal(err)
	}
	want := after.DeepCopy()
	want.Conditions = append(want.Conditions, corev1.PodCondition{Type: "example.com/gate", Status: corev1.ConditionTrue})
	if diff := cmp.Diff(*want, got.Status); diff != "" {
		t.Error(diff)
	}
	var sent struct{ Metadata struct{ UID string } }
	if err := json.Unmarshal(patch, &sent); err != nil || sent.Metadata.UID != "uid-1" {
		t.Errorf("patch %s could be applied to the next pod of the name", patch)
	}
}

func TestNotReadyConditions(t *testing.T) {
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Generation: 2}}
	status := &corev1.PodStatus{Conditions: []corev1.PodCondition{
		{Type: corev1.PodReady, Status: corev1.ConditionTrue, LastTransitionTime: at(1)},
		{Type: corev1.PodScheduled, Status: corev1.ConditionTrue, LastTransitionTime: at(1)},
	}}
	notReadyConditions(status, pod, "First", "one", time.Unix(5, 0))
	notReadyConditions(status, pod, "Second", "two", time.Unix(9, 0))
	want := []corev1.PodCondition{
		{Type: corev1.PodReady, Status: corev1.ConditionFalse, Reason: "Second", Message: "two", LastTransitionTime: at(5), ObservedGeneration: 2},
		{Type: corev1.PodScheduled, Status: corev1.ConditionTrue, LastTransitionTime: at(1)},
		{Type: corev1.ContainersReady, Status: corev1.ConditionFalse, Reason: "Second", Message: "two", LastTransitionTime: at(5), ObservedGeneration: 2},
	}
	if diff := cmp.Diff(want, status.Conditions); diff != "" {
		t.Error(diff)
	}
}

func TestEnded(t *testing.T) {
	running := corev1.ContainerStatus{State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{}}}
	over := corev1.ContainerStatus{State: corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{}}}
	waiting := corev1.ContainerStatus{State: corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{}}}
	for name, test := range map[string]struct {
		status corev1.PodStatus
		want   bool
	}{
		"nothing known": {corev1.PodStatus{Phase: corev1.PodPending}, false},
		"all over":      {corev1.PodStatus{ContainerStatuses: []corev1.ContainerStatus{over, over}}, true},
		"one runs":      {corev1.PodStatus{ContainerStatuses: []corev1.ContainerStatus{over, running}}, false},
		"one waits":     {corev1.PodStatus{ContainerStatuses: []corev1.ContainerStatus{over, waiting}}, false},
		"succeeded":     {corev1.PodStatus{Phase: corev1.PodSucceeded}, true},
		"failed":        {corev1.PodStatus{Phase: corev1.PodFailed}, true},
	} {
		if got := ended(test.status); got != test.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}

// The sandbox of a pod that has ended goes with its cell.
func TestSandboxEnds(t *testing.T) {
	for was, want := range map[corev1.ConditionStatus]metav1.Time{corev1.ConditionTrue: at(9), corev1.ConditionFalse: at(1)} {
		status := &corev1.PodStatus{Conditions: []corev1.PodCondition{
			{Type: corev1.PodReady, Status: corev1.ConditionTrue, LastTransitionTime: at(1)},
			{Type: corev1.PodReadyToStartContainers, Status: was, LastTransitionTime: at(1)},
		}}
		sandboxEnds(status, at(9).Time)
		ended := status.Conditions[1]
		if ended.Status != corev1.ConditionFalse || !ended.LastTransitionTime.Equal(&want) || status.Conditions[0].Status != corev1.ConditionTrue {
			t.Errorf("%s became %+v", was, status.Conditions)
		}
	}
}

// Of ephemeral containers only those are shown that the pod has.
func TestMergeOfEphemeralContainers(t *testing.T) {
	pod := &corev1.Pod{Spec: corev1.PodSpec{EphemeralContainers: []corev1.EphemeralContainer{
		{EphemeralContainerCommon: corev1.EphemeralContainerCommon{Name: "debugger"}}}}}
	told := corev1.PodStatus{EphemeralContainerStatuses: []corev1.ContainerStatus{{Name: "other"}, {Name: "debugger"}}}
	got := merge(pod, told, 1).EphemeralContainerStatuses
	if len(got) != 1 || got[0].Name != "debugger" || len(told.EphemeralContainerStatuses) != 2 {
		t.Errorf("got %+v", got)
	}
}

// A pod has not ended as long as an ephemeral container runs.
func TestEndedWithAnEphemeralContainer(t *testing.T) {
	end := corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{}}
	status := corev1.PodStatus{
		Phase:                      corev1.PodRunning,
		ContainerStatuses:          []corev1.ContainerStatus{{Name: "main", State: end}},
		EphemeralContainerStatuses: []corev1.ContainerStatus{{Name: "debugger", State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{}}}},
	}
	if ended(status) {
		t.Error("the ephemeral container's grace period was cut short")
	}
	status.EphemeralContainerStatuses[0].State = end
	if !ended(status) {
		t.Error("nothing runs any more")
	}
}
