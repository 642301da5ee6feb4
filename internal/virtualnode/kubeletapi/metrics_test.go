package kubeletapi

import (
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"

	"kip.elotl.co/internal/itzo"
)

// TestResourceMetrics compares with the text of a kubelet.
func TestResourceMetrics(t *testing.T) {
	c := newCrowd(t)
	c.cell("web", says(replyOf(runningPod("web"), 10)))
	s := newStatsServer(c, "get nodes/metrics kip-a")
	got := ask(s, http.MethodGet, "/metrics/resource", "ann")
	const want = `# HELP container_cpu_usage_seconds_total Cumulative cpu time consumed by the container in core-seconds
# TYPE container_cpu_usage_seconds_total counter
container_cpu_usage_seconds_total{container="main",namespace="default",pod="web"} 5 1700000000250
# HELP container_memory_working_set_bytes Current working set of the container in bytes
# TYPE container_memory_working_set_bytes gauge
container_memory_working_set_bytes{container="main",namespace="default",pod="web"} 5.24288e+07 1700000000000
# HELP container_start_time_seconds Start time of the container since unix epoch in seconds
# TYPE container_start_time_seconds gauge
container_start_time_seconds{container="main",namespace="default",pod="web"} 1.7e+09
# HELP kip_node_cells_silent Cells of the node that did not tell what they use; they are missing here
# TYPE kip_node_cells_silent gauge
kip_node_cells_silent 0
# HELP kip_node_cells_without_stats Cells of the node whose agent cannot tell what they use; they are missing here
# TYPE kip_node_cells_without_stats gauge
kip_node_cells_without_stats 0
# HELP node_cpu_usage_seconds_total Cumulative cpu time consumed by the node in core-seconds
# TYPE node_cpu_usage_seconds_total counter
node_cpu_usage_seconds_total 10 TIME
# HELP node_memory_working_set_bytes Current working set of the node in bytes
# TYPE node_memory_working_set_bytes gauge
node_memory_working_set_bytes 1.048576e+08 TIME
# HELP pod_cpu_usage_seconds_total Cumulative cpu time consumed by the pod in core-seconds
# TYPE pod_cpu_usage_seconds_total counter
pod_cpu_usage_seconds_total{namespace="default",pod="web"} 5 1700000000000
# HELP pod_memory_working_set_bytes Current working set of the pod in bytes
# TYPE pod_memory_working_set_bytes gauge
pod_memory_working_set_bytes{namespace="default",pod="web"} 5.24288e+07 1700000000000
# HELP resource_scrape_error 1 if there was an error while getting container metrics, 0 otherwise
# TYPE resource_scrape_error gauge
resource_scrape_error 0
`
	expected := strings.ReplaceAll(want, "TIME", strconv.FormatInt(second(10).UnixMilli(), 10))
	if diff := cmp.Diff(expected, got.Body.String()); diff != "" || !strings.HasPrefix(got.Header().Get("Content-Type"), "text/plain; version=0.0.4") {
		t.Errorf("%v (-want +got):\n%s", got.Header(), diff)
	}
	if refused := ask(s, http.MethodGet, "/stats/summary", "ann"); refused.Code != http.StatusForbidden {
		t.Errorf("the right to metrics gives the summary: %d", refused.Code)
	}
}

// FuzzStats: whatever an agent answers, what comes of it can be told to those who
// scrape, and has no other name in it than the pod's.
func FuzzStats(f *testing.F) {
	for _, seconds := range []uint64{0, 10, 1 << 63} {
		text, err := json.Marshal(replyOf(runningPod("web"), seconds))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text)
	}
	f.Add([]byte(`{"podUID":"uid-web","node":{"cpu":{}},"pod":{"containers":[{"name":"main","startTime":"0001-01-01T00:00:00Z","cpu":{"usageCoreNanoSeconds":1}}]}}`))
	known := map[string]bool{"container=main": true, "container=init": true, "pod=web": true, "namespace=default": true}
	f.Fuzz(func(t *testing.T, body []byte) {
		pod := runningPod("web")
		var reply itzo.StatsReply
		if json.Unmarshal(body, &reply) != nil || check(pod, &reply) != nil {
			return
		}
		all := tells(reply)
		if _, err := json.Marshal(summarize("kip-a", all)); err != nil {
			t.Errorf("the summary cannot be told: %v", err)
		}
		registry := prometheus.NewRegistry()
		registry.MustRegister(newResources("kip-a", all))
		families, err := registry.Gather()
		if err != nil {
			t.Errorf("the metrics cannot be told: %v", err)
		}
		for _, family := range families {
			for _, metric := range family.GetMetric() {
				for _, label := range metric.GetLabel() {
					if !known[label.GetName()+"="+label.GetValue()] {
						t.Errorf("%s has label %s", family.GetName(), label)
					}
				}
			}
		}
	})
}
