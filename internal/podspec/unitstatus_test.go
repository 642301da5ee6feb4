package podspec_test

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"kip.elotl.co/internal/itzo"
	"kip.elotl.co/internal/podspec"
)

func TestOtherUnits(t *testing.T) {
	main := itzo.UnitStatus{Name: "main"}
	for name, reply := range map[string]itzo.PodStatusReply{
		"another unit":    {PodIP: "10.0.0.2", UnitStatus: []itzo.UnitStatus{{Name: "other"}}},
		"a unit twice":    {PodIP: "10.0.0.2", UnitStatus: []itzo.UnitStatus{main, main}},
		"init units":      {PodIP: "10.0.0.2", UnitStatus: []itzo.UnitStatus{main}, InitUnitStatus: []itzo.UnitStatus{main}},
		"another address": {PodIP: "10.0.0.9", UnitStatus: []itzo.UnitStatus{main}},
	} {
		if _, err := view(corev1.RestartPolicyAlways).Status(reply); !errors.Is(err, podspec.ErrOtherUnits) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestUnitStates(t *testing.T) {
	ended := func(code int32, reason string) itzo.UnitState {
		return itzo.UnitState{Terminated: &itzo.UnitStateTerminated{ExitCode: code, Reason: reason, FinishedAt: metav1.Unix(999, 0)}}
	}
	waits := func(reason string, failed bool) itzo.UnitState {
		return itzo.UnitState{Waiting: &itzo.UnitStateWaiting{Reason: reason, StartFailure: failed}}
	}
	long := ended(1, "Error")
	long.Terminated.FinishedAt = metav1.NewTime(time.Unix(1000, 0).Add(-time.Hour))
	const noFile = "fork/exec /x: no such file or directory"
	tests := map[string]struct {
		policy corev1.RestartPolicy
		state  itzo.UnitState
		phase  corev1.PodPhase
		reason string // of the container
		code   int32
	}{
		"success":                     {corev1.RestartPolicyNever, ended(0, "Completed"), corev1.PodSucceeded, "Completed", 0},
		"success on failure":          {corev1.RestartPolicyOnFailure, ended(0, "Completed"), corev1.PodSucceeded, "Completed", 0},
		"success without its word":    {corev1.RestartPolicyNever, ended(0, ""), corev1.PodFailed, "ContainerStatusUnknown", 137},
		"failure that claims success": {corev1.RestartPolicyNever, ended(2, "Completed"), corev1.PodFailed, "Error", 2},
		"signal":                      {corev1.RestartPolicyNever, ended(-1, "Error"), corev1.PodFailed, "Error", 137},
		"failure, to be restarted":    {corev1.RestartPolicyOnFailure, ended(1, "Error"), corev1.PodRunning, "CrashLoopBackOff", 0},
		"failure, never restarted":    {corev1.RestartPolicyOnFailure, long, corev1.PodFailed, "Error", 1},
		"always":                      {corev1.RestartPolicyAlways, ended(0, "Completed"), corev1.PodRunning, "CrashLoopBackOff", 0},
		"waiting":                     {corev1.RestartPolicyNever, waits("PodInitializing", false), corev1.PodPending, "ContainerCreating", 0},
		"nothing":                     {corev1.RestartPolicyNever, itzo.UnitState{}, corev1.PodPending, "ContainerCreating", 0},
		"cannot be executed":          {corev1.RestartPolicyNever, waits(noFile, true), corev1.PodFailed, "StartError", 128},
		"is tried again":              {corev1.RestartPolicyAlways, waits(noFile, true), corev1.PodRunning, "CrashLoopBackOff", 0},
		"will never start":            {corev1.RestartPolicyAlways, waits("Failed to start: cgroups", true), corev1.PodFailed, "StartError", 128},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			status := statusOf(t, view(test.policy), itzo.UnitStatus{State: test.state})
			is := status.ContainerStatuses[0]
			var reason string
			var code int32
			switch {
			case is.State.Waiting != nil:
				reason = is.State.Waiting.Reason
			case is.State.Terminated != nil:
				reason, code = is.State.Terminated.Reason, is.State.Terminated.ExitCode
			}
			if status.Phase != test.phase || reason != test.reason || code != test.code {
				t.Errorf("%s, container %s (%d), want %s, %s (%d)", status.Phase, reason, code, test.phase, test.reason, test.code)
			}
		})
	}
}

func TestMessagesAreBounded(t *testing.T) {
	status := statusOf(t, view(corev1.RestartPolicyNever), itzo.UnitStatus{State: itzo.UnitState{Terminated: &itzo.UnitStateTerminated{
		ExitCode: 1, Reason: strings.Repeat("r", 1<<20), Message: strings.Repeat("é\xff", 1<<20)}}})
	end := status.ContainerStatuses[0].State.Terminated
	if len(end.Message) > 4096 || end.Reason != "Error" || strings.Contains(end.Message, "\xff") {
		t.Errorf("reason of %d and message of %d bytes", len(end.Reason), len(end.Message))
	}
}

func FuzzUnitsStatus(f *testing.F) {
	f.Add([]byte(`{"unitStatus":[{"name":"main","state":{"running":{"startedAt":null}},"ready":true,"started":null}],"podIP":"10.0.0.2"}`))
	f.Add([]byte(`{"unitStatus":[{"name":"main","state":{"terminated":{"exitCode":0,"reason":"Error"}}}],"podIP":"10.0.0.2"}`))
	f.Add([]byte(`{"unitStatus":[{"name":"main","state":{"waiting":{"reason":"Error starting unit x","startFailure":true}}}],"podIP":"10.0.0.2"}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		var reply itzo.PodStatusReply
		if json.Unmarshal(data, &reply) != nil {
			return
		}
		for _, policy := range []corev1.RestartPolicy{corev1.RestartPolicyAlways, corev1.RestartPolicyOnFailure, corev1.RestartPolicyNever} {
			status, err := view(policy).Status(reply)
			if err != nil {
				continue
			}
			if len(status.ContainerStatuses) != 1 || status.ContainerStatuses[0].Name != "main" {
				t.Fatalf("containers are %v", status.ContainerStatuses)
			}
			end := status.ContainerStatuses[0].State.Terminated
			if status.Phase == corev1.PodSucceeded && (end == nil || end.ExitCode != 0 || end.Reason != itzo.ReasonCompleted) {
				t.Fatalf("a success that nobody saw: %+v", end)
			}
		}
	})
}
