package kubeletapi_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	statsapi "k8s.io/kubelet/pkg/apis/stats/v1alpha1"
)

// testStats asks as everybody does who asks a kubelet what is used.
func (w *world) testStats(t *testing.T) {
	w.runPod("busy", `{"main":[{"forever":true,"cpus":0.5,"memoryBytes":52428800}]}`, mainContainer())
	uid := w.podUID("busy")
	asAPIServer := w.client(w.certificate("apiserver-kubelet-client"))
	w.eventually("the summary", func(context.Context) error {
		code, out := w.get(t, asAPIServer, "/stats/summary", "")
		var summary statsapi.Summary
		if err := json.Unmarshal([]byte(out), &summary); err != nil {
			return fmt.Errorf("%d %s: %w", code, out, err)
		}
		// An answer is fresh until the clock goes on.
		w.clock.Step(gatherFresh)
		return checkSummary(&summary, uid)
	})
	code, out := w.get(t, asAPIServer, "/metrics/resource", "")
	if code != http.StatusOK || !strings.Contains(out, `container_memory_working_set_bytes{container="main",namespace="default",pod="busy"} 5.24288e+07`) {
		t.Errorf("%d: %s", code, out)
	}
	t.Run("rights", w.testRightsToStats)
	t.Run("pods", func(t *testing.T) { w.testPodLists(t, asAPIServer, uid) })
}

// gatherFresh is longer than an answer of cells is good for.
const gatherFresh = 5e9

func (w *world) podUID(name string) types.UID {
	w.t.Helper()
	return must[*corev1.Pod](w.t)(w.pods.Pod(w.t.Context(), namespace, name)).UID
}

func checkSummary(summary *statsapi.Summary, uid types.UID) error {
	if node := summary.Node; node.NodeName != nodeName || *node.CPU.UsageCoreNanoSeconds == 0 || *node.Memory.WorkingSetBytes < 64<<20 {
		return fmt.Errorf("node: %+v", node)
	}
	for _, pod := range summary.Pods {
		if pod.PodRef.UID != string(uid) {
			continue
		}
		if len(pod.Containers) != 1 || *pod.Containers[0].Memory.WorkingSetBytes != 50<<20 || *pod.CPU.UsageCoreNanoSeconds == 0 {
			return fmt.Errorf("pod: %+v", pod)
		}
		if rate := pod.Containers[0].CPU.UsageNanoCores; rate == nil || *rate < 4.9e8 || *rate > 5.1e8 {
			return fmt.Errorf("half of a processor is %v", pod.Containers[0].CPU)
		}
		return nil
	}
	return errors.New("the pod is missing")
}

func (w *world) testRightsToStats(t *testing.T) {
	tokens := map[string]string{
		"nobody": "", "without": w.token("no-stats", "pods"), "metrics": w.token("metrics", "nodes/metrics"), "stats": w.token("stats", "nodes/stats"),
		"pods": w.token("node-pods", "nodes/pods"), "proxy": w.token("proxy", "nodes/proxy"),
	}
	for path, may := range map[string][]string{
		"/metrics/resource": {"metrics"}, "/stats/summary": {"stats"}, "/pods": {"pods", "proxy"}, "/runningpods/": {"pods", "proxy"},
		"/healthz/syncloop": {"proxy"}, "/metrics/cadvisor": nil,
	} {
		for who, token := range tokens {
			want := http.StatusForbidden
			switch {
			case who == "nobody":
				want = http.StatusUnauthorized
			case strings.Contains(strings.Join(may, " "), who):
				want = http.StatusOK
			case may == nil && who == "metrics":
				want = http.StatusNotFound
			}
			if code, body := w.get(t, w.client(), path, token); code != want {
				t.Errorf("%s with the right to %s: %d %s, want %d", path, who, code, body, want)
			}
		}
	}
}

func (w *world) testPodLists(t *testing.T, client *http.Client, uid types.UID) {
	for _, path := range []string{"pods", "runningpods/"} {
		_, out := w.get(t, client, "/"+path, "")
		var list corev1.PodList
		err := json.Unmarshal([]byte(out), &list)
		found := false
		for i := range list.Items {
			found = found || list.Items[i].UID == uid && len(list.Items[i].Spec.Containers) == 1
		}
		if err != nil || !found || list.Kind != "PodList" {
			t.Errorf("%s: %v: %s", path, err, out)
		}
	}
}
