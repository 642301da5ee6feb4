package main

import (
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"kip.elotl.co/hack/localaws/journal"
)

func TestCountWrites(t *testing.T) {
	const log = `{"verb":"patch","objectRef":{"resource":"pods","subresource":"status"}}
{"verb":"patch","objectRef":{"resource":"pods","subresource":"status"}}
{"verb":"create","objectRef":{"resource":"cells"}}
{"verb":"update","objectRef":{"resource":"leases"}}
{"verb":"create","objectRef":{"resource":"pods","subresource":"eviction"}}
{"verb":"create","objectRef":{"resource":"half`
	got, err := countWrites(strings.NewReader(log))
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]int{"patch pods/status": 2, "create cells": 1, "create pods/eviction": 1}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if _, err := countWrites(strings.NewReader("nonsense\n")); err == nil {
		t.Error("nonsense was counted")
	}
}

func FuzzCountWrites(f *testing.F) {
	f.Add(`{"verb":"patch","objectRef":{"resource":"pods"}}` + "\n")
	f.Fuzz(func(t *testing.T, log string) {
		counts, err := countWrites(strings.NewReader(log))
		if err == nil && len(counts) > strings.Count(log, "\n") {
			t.Errorf("%d kinds of writes in %d lines", len(counts), strings.Count(log, "\n"))
		}
	})
}

func TestParseUsage(t *testing.T) {
	const stat = "42 (a (strange) name) S 1 42 42 0 -1 4194560 100 0 0 0 150 50 0 0 20 0 8 0 12345 1000 200 0\n"
	got, err := parseUsage([]byte(stat), []byte("Name:\tkip\nVmHWM:\t    2048 kB\nVmRSS:\t    1024 kB\n"))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(usage{RSS: 1 << 20, Peak: 2 << 20, CPU: 2 * time.Second}, got); diff != "" {
		t.Error(diff)
	}
	for _, bad := range []string{"", "42 (x) S", "42 (x) S 1 42 42 0 -1 4194560 100 0 0 0 many 50 0"} {
		if u, err := parseUsage([]byte(bad), nil); err == nil {
			t.Errorf("%q was read as %+v", bad, u)
		}
	}
}

func TestUsageOfThisProcess(t *testing.T) {
	u, err := usageOf(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	if u.RSS <= 0 || u.Peak < u.RSS {
		t.Errorf("%d bytes resident, at most %d", u.RSS, u.Peak)
	}
}

func TestPercentile(t *testing.T) {
	seconds := func(values ...int) []time.Duration {
		var out []time.Duration
		for _, v := range values {
			out = append(out, time.Duration(v)*time.Second)
		}
		return out
	}
	for _, test := range []struct {
		values  []time.Duration
		percent int
		want    float64
	}{
		{nil, 50, 0}, {seconds(7), 0, 7}, {seconds(7), 50, 7}, {seconds(7), 100, 7},
		{seconds(4, 1, 3, 2), 0, 1}, {seconds(4, 1, 3, 2), 50, 2}, {seconds(4, 1, 3, 2), 51, 3}, {seconds(4, 1, 3, 2), 100, 4},
	} {
		if got := percentile(test.values, test.percent); got != test.want {
			t.Errorf("%d %% of %v: %v, want %v", test.percent, test.values, got, test.want)
		}
	}
}

func TestTimeline(t *testing.T) {
	l := &timeline{pods: map[string]*times{}}
	l.created("pod")
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "pod"}}
	at := func(second int64) time.Time { return time.Unix(second, 0) }
	l.note(at(1), pod, false)
	pod.Spec.NodeName = "kip-default"
	l.note(at(2), pod, false)
	pod.Status.Phase = corev1.PodRunning
	l.note(at(3), pod, false)
	l.note(at(4), pod, false)
	l.note(at(5), pod, true)
	l.note(at(6), &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "stranger"}}, false)
	got := l.pods["pod"]
	if len(l.pods) != 1 || !got.bound.Equal(at(2)) || !got.running.Equal(at(3)) || !got.gone.Equal(at(5)) {
		t.Errorf("%d pods, seen %+v", len(l.pods), got)
	}
}

func TestSumUp(t *testing.T) {
	at := func(ms int) time.Time { return time.Unix(100, 0).Add(time.Duration(ms) * time.Millisecond) }
	pods := map[string]*times{
		"one": {created: at(0), bound: at(100), running: at(500), gone: at(2000)},
		"two": {created: at(100), bound: at(300), running: at(1100), gone: at(1100)},
	}
	calls := []journal.Entry{
		{Action: "RunInstances", Time: at(250), Created: []string{"i-1"}}, {Action: "DescribeInstances", Time: at(300)},
		{Action: "RunInstances", Time: at(400), Created: []string{"i-2"}}, {Action: "RunInstances", Time: at(401)},
	}
	got := sumUp(pods, launches(calls), calls, map[string]int{"create cells": 2, "patch cells/status": 4},
		usage{RSS: 10, CPU: time.Second}, usage{RSS: 20, Peak: 30, CPU: 3 * time.Second})
	want := figures{
		Pods: 2, BoundToLaunch: 0.15, FirstLaunch: 0.25, LastLaunch: 0.4, RunningP50: 0.5, RunningMax: 1, Gone: 2,
		RSSBefore: 10, RSSAfter: 20, Peak: 30, CPUSeconds: 2,
		AWSCalls: map[string]int{"RunInstances": 3, "DescribeInstances": 1}, AWSCallsPerPod: 2,
		Writes: map[string]int{"create cells": 2, "patch cells/status": 4}, WritesPerPod: 3, CellWritesPerPod: 3,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	var out strings.Builder
	if err := (result{Singles: []figures{got}, Batch: got}).print(&out); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"first Kip", "4.2–11.3 s", "2.00", "RunInstances"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("the table lacks %q:\n%s", want, out.String())
		}
	}
}
