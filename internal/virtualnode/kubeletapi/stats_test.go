package kubeletapi

import (
	"encoding/json"
	"math"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	statsapi "k8s.io/kubelet/pkg/apis/stats/v1alpha1"

	"kip.elotl.co/internal/itzo"
)

// runningPod is one of node kip-a with a container main and a volume data.
func runningPod(name string) *corev1.Pod {
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: name, UID: types.UID("uid-" + name)},
		Spec: corev1.PodSpec{NodeName: "kip-a", Containers: []corev1.Container{{Name: "main"}},
			InitContainers: []corev1.Container{{Name: "init"}}, Volumes: []corev1.Volume{{Name: "data"}}},
		Status: corev1.PodStatus{Phase: corev1.PodRunning, ContainerStatuses: []corev1.ContainerStatus{{Name: "main", State: running}}},
	}
}

// replyOf is what a cell tells of a pod: it has worked for so many seconds, of
// which the pod did half.
func replyOf(pod *corev1.Pod, seconds uint64) itzo.StatsReply {
	now := metav1.Unix(1700000000, 0)
	cpu := func(s uint64) *statsapi.CPUStats {
		return &statsapi.CPUStats{Time: now, UsageCoreNanoSeconds: new(s), UsageNanoCores: new(uint64(5e8))}
	}
	memory := func(mib uint64) *statsapi.MemoryStats {
		return &statsapi.MemoryStats{Time: now, WorkingSetBytes: new(mib << 20)}
	}
	return itzo.StatsReply{
		PodUID: pod.UID,
		Node: &statsapi.NodeStats{StartTime: now, CPU: cpu(seconds * 1e9), Memory: memory(100),
			Fs: &statsapi.FsStats{Time: now, CapacityBytes: new(uint64(1 << 30))}},
		Pod: &statsapi.PodStats{CPU: cpu(seconds * 5e8), Memory: memory(50), Containers: []statsapi.ContainerStats{
			{Name: "main", StartTime: now, CPU: cpu(seconds * 5e8), Memory: memory(50)},
		}, VolumeStats: []statsapi.VolumeStats{{Name: "data"}}},
		Times: itzo.StatsTimes{Containers: map[string]int64{"main": 1700000000_250000000}},
	}
}

func tells(replies ...itzo.StatsReply) *told {
	all := &told{at: second(9)}
	work := workCounter{cells: map[types.UID]uint64{}}
	var pods []*corev1.Pod
	for i := range replies {
		pod := runningPod(strings.TrimPrefix(string(replies[i].PodUID), "uid-"))
		pods = append(pods, pod)
		all.cells = append(all.cells, cellStats{pod: pod, reply: &replies[i]})
	}
	work.count(pods, all.cells)
	all.work = work.total
	return all
}

func TestSummary(t *testing.T) {
	got := summarize("kip-a", tells(replyOf(runningPod("b"), 20), replyOf(runningPod("a"), 10)))
	node := got.Node
	if node.NodeName != "kip-a" || *node.CPU.UsageCoreNanoSeconds != 30e9 || *node.CPU.UsageNanoCores != 1e9 ||
		*node.Memory.WorkingSetBytes != 200<<20 || *node.Fs.CapacityBytes != 2<<30 || node.StartTime.Unix() != 1700000000 {
		t.Errorf("node %+v", node)
	}
	if len(got.Pods) != 2 || got.Pods[0].PodRef != (statsapi.PodReference{Namespace: "default", Name: "a", UID: "uid-a"}) {
		t.Fatalf("pods %+v", got.Pods)
	}
	one := got.Pods[0].Containers[0]
	if *one.CPU.UsageCoreNanoSeconds != 5e9 || one.CPU.Time.UnixNano() != 1700000000_250000000 || *one.Memory.WorkingSetBytes != 50<<20 {
		t.Errorf("container %+v %+v", one.CPU, one.Memory)
	}
	onlyCPUAndMemory(got)
	if got.Node.Fs != nil || got.Pods[0].VolumeStats != nil || got.Node.CPU == nil || got.Pods[0].Containers[0].CPU == nil {
		t.Errorf("without all but processors and memory: %+v", got)
	}
}

// A cell can tell wrong numbers of its own pod, and nothing of others.
func TestCellsAreNotBelievedNames(t *testing.T) {
	reply := replyOf(runningPod("a"), 10)
	reply.Node.NodeName = "other"
	reply.Pod.PodRef = statsapi.PodReference{Namespace: "kube-system", Name: "etcd"}
	reply.Pod.Containers = append(reply.Pod.Containers, reply.Pod.Containers[0], statsapi.ContainerStats{Name: "etcd"})
	reply.Pod.VolumeStats = append(reply.Pod.VolumeStats, statsapi.VolumeStats{Name: "data"}, statsapi.VolumeStats{Name: "other", PVCRef: &statsapi.PVCReference{Name: "x"}})
	reply.Pod.Network = &statsapi.NetworkStats{InterfaceStats: statsapi.InterfaceStats{Name: strings.Repeat("x", 100)}}
	reply.Times.Containers["main"] = 1
	got := summarize("kip-a", tells(reply))
	pod := got.Pods[0]
	if got.Node.NodeName != "kip-a" || pod.PodRef.Name != "a" || len(pod.Containers) != 1 || len(pod.VolumeStats) != 1 || pod.Network != nil {
		t.Errorf("got %+v", got)
	}
	if at := pod.Containers[0].CPU.Time.Unix(); at != 1700000000 {
		t.Errorf("measured at %d", at)
	}
}

func TestSumsDoNotWrap(t *testing.T) {
	first, second := replyOf(runningPod("a"), 1), replyOf(runningPod("b"), 1)
	*first.Node.CPU.UsageCoreNanoSeconds, *first.Node.Memory.WorkingSetBytes = math.MaxUint64, math.MaxUint64
	got := summarize("kip-a", tells(first, second)).Node
	if *got.CPU.UsageCoreNanoSeconds != math.MaxUint64 || *got.Memory.WorkingSetBytes != math.MaxUint64 {
		t.Errorf("%d %d", *got.CPU.UsageCoreNanoSeconds, *got.Memory.WorkingSetBytes)
	}
}

// The node's count goes on when cells come, reboot, are silent, and end.
func TestWorkOfANode(t *testing.T) {
	a, b := runningPod("a"), runningPod("b")
	counter := workCounter{cells: map[types.UID]uint64{}}
	steps := []struct {
		what string
		pods []*corev1.Pod
		told map[*corev1.Pod]uint64 // seconds
		want uint64
	}{
		{"nothing", nil, nil, 0},
		{"one cell", []*corev1.Pod{a}, map[*corev1.Pod]uint64{a: 10}, 10},
		{"it goes on", []*corev1.Pod{a}, map[*corev1.Pod]uint64{a: 15}, 15},
		{"another comes", []*corev1.Pod{a, b}, map[*corev1.Pod]uint64{a: 16, b: 4}, 20},
		{"one is silent", []*corev1.Pod{a, b}, map[*corev1.Pod]uint64{b: 5}, 21},
		{"it is back", []*corev1.Pod{a, b}, map[*corev1.Pod]uint64{a: 20, b: 5}, 25},
		{"it was rebooted", []*corev1.Pod{a, b}, map[*corev1.Pod]uint64{a: 2, b: 5}, 27},
		{"it ends", []*corev1.Pod{b}, map[*corev1.Pod]uint64{b: 6}, 28},
	}
	for _, step := range steps {
		var cells []cellStats
		for pod, seconds := range step.told {
			cells = append(cells, cellStats{pod: pod, reply: new(replyOf(pod, seconds))})
		}
		counter.count(step.pods, cells)
		if counter.total != step.want*1e9 || len(counter.cells) > len(step.pods) {
			t.Errorf("%s: %d s of %d cells, want %d", step.what, counter.total/1e9, len(counter.cells), step.want)
		}
	}
}

// TestStreamsAreCreated: no right to look is one to run commands.
func TestStreamsAreCreated(t *testing.T) {
	for path, want := range map[string]string{
		"/exec/a/b/c": "create", "/attach/a/b/c": "create", "/portForward/a/b": "create", "/exec": "create",
		"/containerLogs/a/b/c": "get", "/pods": "get", "/": "get", "/executions": "get",
	} {
		if got := verbOf("GET", path); got != want {
			t.Errorf("%s: got %s, want %s", path, got, want)
		}
	}
}

// Each path has the kubelet's own right; where that is newer than the path, the
// former one does as well.
func TestRightsOfPaths(t *testing.T) {
	for path, rights := range map[string][]string{
		"/stats/summary": {"stats"}, "/metrics/resource": {"metrics"}, "/metrics/cadvisor": {"metrics"}, "/pods": {"pods", "proxy"},
		"/runningpods/": {"pods", "proxy"}, "/healthz": {"healthz", "proxy"}, "/healthz/ping": {"healthz", "proxy"},
		"/podsx": {"proxy"}, "/": {"proxy"}, "/containerLogs/a/b/c": {"proxy"},
	} {
		if diff := cmp.Diff(rights, subresourcesOf(path)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", path, diff)
		}
	}
}

func TestSummaryOfNothing(t *testing.T) {
	got := ask(newStatsServer(manyPods{}, "get nodes/stats kip-a"), "GET", "/stats/summary", "ann")
	var summary statsapi.Summary
	if err := json.Unmarshal(got.Body.Bytes(), &summary); err != nil || summary.Pods == nil || got.Header().Get("Content-Type") != "application/json" {
		t.Errorf("%s: %v", got.Body, err)
	}
}
