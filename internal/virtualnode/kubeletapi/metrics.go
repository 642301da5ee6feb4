package kubeletapi

import (
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	statsapi "k8s.io/kubelet/pkg/apis/stats/v1alpha1"
)

// resourceMetrics answers /metrics/resource: the kubelet's metrics of that path,
// and two of the cells that are missing in them.
func (s *nodeServer) resourceMetrics(w http.ResponseWriter, r *http.Request) error {
	if err := s.authorize(r); err != nil {
		return err
	}
	told, err := s.gatherer.ask(r.Context(), s.node)
	if err != nil {
		return err
	}
	registry := prometheus.NewRegistry()
	if err := registry.Register(newResources(s.node, told)); err != nil {
		return err
	}
	promhttp.HandlerFor(registry, promhttp.HandlerOpts{}).ServeHTTP(w, r)
	return nil
}

// resources are the metrics of a node and its pods at one time.
type resources struct {
	summary      *statsapi.Summary
	silent, mute int

	nodeWork, nodeMemory                             *prometheus.Desc
	podWork, podMemory                               *prometheus.Desc
	containerWork, containerMemory, containerStarted *prometheus.Desc
	scrapeError, cellsSilent, cellsMute              *prometheus.Desc
}

func newResources(node string, told *told) *resources {
	desc := func(name, help string, labels ...string) *prometheus.Desc {
		return prometheus.NewDesc(name, help, labels, nil)
	}
	pod, container := []string{"pod", "namespace"}, []string{"container", "pod", "namespace"}
	return &resources{
		summary: summarize(node, told), silent: told.silent, mute: told.mute,
		nodeWork:         desc("node_cpu_usage_seconds_total", "Cumulative cpu time consumed by the node in core-seconds"),
		nodeMemory:       desc("node_memory_working_set_bytes", "Current working set of the node in bytes"),
		podWork:          desc("pod_cpu_usage_seconds_total", "Cumulative cpu time consumed by the pod in core-seconds", pod...),
		podMemory:        desc("pod_memory_working_set_bytes", "Current working set of the pod in bytes", pod...),
		containerWork:    desc("container_cpu_usage_seconds_total", "Cumulative cpu time consumed by the container in core-seconds", container...),
		containerMemory:  desc("container_memory_working_set_bytes", "Current working set of the container in bytes", container...),
		containerStarted: desc("container_start_time_seconds", "Start time of the container since unix epoch in seconds", container...),
		scrapeError:      desc("resource_scrape_error", "1 if there was an error while getting container metrics, 0 otherwise"),
		cellsSilent:      desc("kip_node_cells_silent", "Cells of the node that did not tell what they use; they are missing here"),
		cellsMute:        desc("kip_node_cells_without_stats", "Cells of the node whose agent cannot tell what they use; they are missing here"),
	}
}

// Describe implements prometheus.Collector.
func (m *resources) Describe(to chan<- *prometheus.Desc) {
	for _, desc := range []*prometheus.Desc{m.nodeWork, m.nodeMemory, m.podWork, m.podMemory, m.containerWork, m.containerMemory,
		m.containerStarted, m.scrapeError, m.cellsSilent, m.cellsMute} {
		to <- desc
	}
}

// Collect implements prometheus.Collector.
func (m *resources) Collect(to chan<- prometheus.Metric) {
	gauge := func(desc *prometheus.Desc, value float64, labels ...string) {
		to <- prometheus.MustNewConstMetric(desc, prometheus.GaugeValue, value, labels...)
	}
	gauge(m.scrapeError, float64(min(m.silent, 1)))
	gauge(m.cellsSilent, float64(m.silent))
	gauge(m.cellsMute, float64(m.mute))
	work(to, m.nodeWork, m.summary.Node.CPU)
	memory(to, m.nodeMemory, m.summary.Node.Memory)
	for i := range m.summary.Pods {
		pod := &m.summary.Pods[i]
		work(to, m.podWork, pod.CPU, pod.PodRef.Name, pod.PodRef.Namespace)
		memory(to, m.podMemory, pod.Memory, pod.PodRef.Name, pod.PodRef.Namespace)
		for j := range pod.Containers {
			one := &pod.Containers[j]
			labels := []string{one.Name, pod.PodRef.Name, pod.PodRef.Namespace}
			work(to, m.containerWork, one.CPU, labels...)
			memory(to, m.containerMemory, one.Memory, labels...)
			if one.StartTime.Unix() > 0 {
				gauge(m.containerStarted, float64(one.StartTime.UnixNano())/float64(time.Second), labels...)
			}
		}
	}
}

func work(to chan<- prometheus.Metric, desc *prometheus.Desc, cpu *statsapi.CPUStats, labels ...string) {
	if cpu == nil || cpu.UsageCoreNanoSeconds == nil || !tellable(cpu.Time) {
		return
	}
	seconds := float64(*cpu.UsageCoreNanoSeconds) / float64(time.Second)
	to <- prometheus.NewMetricWithTimestamp(cpu.Time.Time, prometheus.MustNewConstMetric(desc, prometheus.CounterValue, seconds, labels...))
}

func memory(to chan<- prometheus.Metric, desc *prometheus.Desc, memory *statsapi.MemoryStats, labels ...string) {
	if memory == nil || memory.WorkingSetBytes == nil || !tellable(memory.Time) {
		return
	}
	to <- prometheus.NewMetricWithTimestamp(memory.Time.Time,
		prometheus.MustNewConstMetric(desc, prometheus.GaugeValue, float64(*memory.WorkingSetBytes), labels...))
}

// tellable says whether a time can be a timestamp of a metric.
func tellable(t metav1.Time) bool { return t.Unix() > 0 }
