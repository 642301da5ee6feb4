package pod

import (
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"kip.elotl.co/internal/cellagent"
	"kip.elotl.co/internal/itzo"
)

func waits(reason, message string) corev1.ContainerStatus {
	return corev1.ContainerStatus{Name: "main", State: corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: reason, Message: message}}}
}

func TestNewProblems(t *testing.T) {
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "web", UID: "u"}, Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "main", Image: "x:1"}}}}
	badStart := corev1.ContainerStatus{Name: "main", State: corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{Reason: "StartError", Message: "no sh", ContainerID: "c://1"}}}
	restarted := waits("CrashLoopBackOff", "back-off 10s")
	restarted.LastTerminationState = badStart.State
	again := restarted
	again.LastTerminationState = corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{Reason: "StartError", Message: "no sh", ContainerID: "c://2"}}
	tests := map[string]struct {
		was, is corev1.ContainerStatus
		want    []problem
	}{
		"creating":        {corev1.ContainerStatus{}, waits("ContainerCreating", ""), nil},
		"sandbox":         {waits("ContainerCreating", ""), waits("ContainerCreating", "no network"), []problem{{"FailedCreatePodSandBox", "no network"}}},
		"still sandbox":   {waits("ContainerCreating", "no network"), waits("ContainerCreating", "no network again"), nil},
		"pull":            {waits("ContainerCreating", ""), waits("ErrImagePull", "not found"), []problem{{"Failed", `Failed to pull image "x:1": not found`}}},
		"still pull":      {waits("ErrImagePull", "not found"), waits("ErrImagePull", "not found, try 2"), nil},
		"pull backs off":  {waits("ErrImagePull", "not found"), waits("ImagePullBackOff", "Back-off"), []problem{{"BackOff", `Back-off pulling image "x:1"`}}},
		"never pull":      {corev1.ContainerStatus{}, waits("ErrImageNeverPull", "absent"), []problem{{"ErrImageNeverPull", "absent"}}},
		"create":          {corev1.ContainerStatus{}, waits("CreateContainerError", "bad"), []problem{{"Failed", "Error: bad"}}},
		"run":             {corev1.ContainerStatus{}, waits("RunContainerError", "bad"), []problem{{"Failed", "Error: bad"}}},
		"init waits":      {corev1.ContainerStatus{}, waits("PodInitializing", ""), nil},
		"init's sandbox":  {waits("PodInitializing", ""), waits("PodInitializing", "no network"), []problem{{"FailedCreatePodSandBox", "no network"}}},
		"hook":            {waits("ContainerCreating", ""), waits("PostStartHookError", "it failed"), []problem{{"FailedPostStartHook", "it failed"}}},
		"start":           {waits("ContainerCreating", ""), badStart, []problem{{"Failed", "Error: no sh"}}},
		"start, known":    {badStart, badStart, nil},
		"start, restarts": {badStart, restarted, []problem{{"BackOff", "Back-off restarting failed container main in pod web_ns(u)"}}},
		"start, again":    {restarted, again, []problem{{"Failed", "Error: no sh"}}},
		"mended":          {waits("ErrImagePull", "not found"), corev1.ContainerStatus{Name: "main", State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{}}}, nil},
	}
	for name, test := range tests {
		if diff := cmp.Diff(test.want, newProblems(pod, &test.was, &test.is), cmp.AllowUnexported(problem{})); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}

// A pod that its agent may have must be stopped there.
func TestMayRun(t *testing.T) {
	fresh := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{UID: "u"}}
	given := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{UID: "u", Annotations: map[string]string{cellagent.AnnotationDispatchedTo: "cell-u"}}}
	none, ours, others := &itzo.StatusReply{}, &itzo.StatusReply{PodUID: "u"}, &itzo.StatusReply{PodUID: "v"}
	lost := &unsureError{errors.New("connection lost")}
	tests := map[string]struct {
		pod      *corev1.Pod
		reply    *itzo.StatusReply
		dispatch call
		want     bool
	}{
		"never given, agent unknown":          {fresh, nil, call{}, false},
		"given before, agent unknown":         {given, nil, call{}, true},
		"given before, agent says no":         {given, none, call{}, false},
		"agent has it":                        {fresh, ours, call{}, true},
		"agent has another":                   {given, others, call{}, false},
		"dispatch under way":                  {fresh, none, call{state: underWay}, true},
		"dispatched, answer on its way":       {given, none, call{state: answered}, true},
		"dispatch broke off":                  {given, none, call{state: answered, err: lost}, true},
		"refused":                             {given, none, call{state: answered, err: &itzo.StatusError{Code: 400}}, false},
		"an object lacks, agent says no":      {fresh, none, call{state: answered, err: errors.New("no such Secret")}, false},
		"agent has it, dispatch not answered": {given, ours, call{state: underWay}, true},
	}
	for name, test := range tests {
		seen := observation{reply: test.reply}
		seen.calls[callDispatch] = test.dispatch
		if got := mayRun(test.pod, seen); got != test.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}
