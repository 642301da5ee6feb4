package main

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"

	"kip.elotl.co/internal/crashpoint"
)

func TestMatrixIsWhole(t *testing.T) {
	all := matrix(1, 20, crashpoint.All(), allFaults())
	seen := map[string]bool{}
	for _, e := range all {
		seen[string(e.point)+" "+string(e.fault)] = true
		if e.victim < 0 || e.victim >= e.pods || e.times < 1 {
			t.Errorf("%+v", e)
		}
		effect, _, _ := strings.Cut(string(e.point), ".")
		if strings.HasPrefix(effect, "route-") && !e.hasRoute(e.victim) || effect == "stop" && !e.isStopped(e.victim) {
			t.Errorf("the life of pod %d does not lead to %s", e.victim, e.point)
		}
	}
	if want := (len(crashpoint.All()) - len(notInMatrix())) * len(allFaults()); len(seen) != want || len(all) != want {
		t.Errorf("%d experiments, %d different ones, want %d", len(all), len(seen), want)
	}
	same := cmp.AllowUnexported(experiment{})
	if !cmp.Equal(all, matrix(1, 20, crashpoint.All(), allFaults()), same) {
		t.Error("the same seed gives another matrix")
	}
	if cmp.Equal(all, matrix(2, 20, crashpoint.All(), allFaults()), same) {
		t.Error("another seed gives the same matrix")
	}
	// One experiment alone is what it is in the whole.
	one := matrix(1, 20, []crashpoint.Point{crashpoint.LaunchAfter}, []fault{slow})
	if len(one) != 1 || !slices.ContainsFunc(all, func(e experiment) bool { return cmp.Equal(e, one[0], same) }) {
		t.Errorf("alone it is %+v", one)
	}
}

func TestFaultsArePlans(t *testing.T) {
	for _, f := range allFaults() {
		plan := f.plan(3)
		if err := plan.Validate(); err != nil {
			t.Errorf("%s: %v", f, err)
		}
		if n := len(plan.LostReplies) + len(plan.Errors) + len(plan.Delays); (f == normal) != (n == 0) {
			t.Errorf("%s: %d things go wrong", f, n)
		}
	}
}

func TestRight(t *testing.T) {
	end := func(change func(*corev1.Pod)) *corev1.Pod {
		pod := &corev1.Pod{Status: corev1.PodStatus{Phase: corev1.PodSucceeded, ContainerStatuses: []corev1.ContainerStatus{
			{State: corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{Message: lastWords}}}}}}
		change(pod)
		return pod
	}
	for name, pod := range map[string]*corev1.Pod{
		"running":      end(func(p *corev1.Pod) { p.Status.Phase = corev1.PodRunning }),
		"failed":       end(func(p *corev1.Pod) { p.Status.Phase = corev1.PodFailed }),
		"no container": end(func(p *corev1.Pod) { p.Status.ContainerStatuses = nil }),
		"exit code":    end(func(p *corev1.Pod) { p.Status.ContainerStatuses[0].State.Terminated.ExitCode = 137 }),
		"message":      end(func(p *corev1.Pod) { p.Status.ContainerStatuses[0].State.Terminated.Message = "" }),
		"restarted":    end(func(p *corev1.Pod) { p.Status.ContainerStatuses[0].RestartCount = 1 }),
	} {
		if right(pod) == "" {
			t.Errorf("%s: nothing is wrong", name)
		}
	}
	if wrong := right(end(func(*corev1.Pod) {})); wrong != "" {
		t.Error(wrong)
	}
}

func TestSumUp(t *testing.T) {
	good := outcome{experiment: experiment{point: crashpoint.LaunchAfter, pods: 20}, launched: 20, crashed: true}
	doubled, leaked, lost, unreached := good, good, good, good
	doubled.doubled, doubled.launched, leaked.leaked, lost.lost, unreached.crashed = 1, 21, 2, 3, false
	s := sumUp([]outcome{good, doubled, leaked, lost, unreached})
	if s.bad != 4 || s.doubled != 1 || s.leaked != 2 || s.lost != 3 || s.unreached != 1 || s.launched != 101 || s.pods != 100 {
		t.Errorf("%+v", s)
	}
	var out strings.Builder
	s.print(&out)
	if !strings.Contains(out.String(), "5 experiments: launched 101 for 100, doubled 1, leaked 2, lost 3, crashes that did not come 1") {
		t.Error(out.String())
	}
}
