package garbage

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"kip.elotl.co/api/v1beta1"
)

// maxNote is how long an event's note can be, in bytes.
const maxNote = 1024

func cellUID(tags map[string]string) types.UID { return types.UID(tags[v1beta1.TagCell]) }

func (c *Collector) tellFound(ctx context.Context, o orphan) {
	c.tell(ctx, o, v1beta1.ReasonGarbageFound, fmt.Sprintf("%s is nobody's: %s; it is not ended, as the operator runs with --garbage=report", o, o.why))
}

func (c *Collector) tellKept(ctx context.Context, o orphan, because string) {
	c.tell(ctx, o, v1beta1.ReasonGarbageKept, fmt.Sprintf("%s is nobody's and stays: %s; %s", o, o.why, because))
}

func (c *Collector) tellRemoved(ctx context.Context, o orphan) {
	c.metrics.removed.WithLabelValues(o.kind).Inc()
	c.tell(ctx, o, v1beta1.ReasonGarbageRemoved, fmt.Sprintf("%s was nobody's and is ended: %s", o, o.why))
}

// tell makes an event of what is new, and a line in the log: about the class
// where there is one, else about the operator's namespace.
func (c *Collector) tell(ctx context.Context, o orphan, reason, note string) {
	if c.told[o.key] == note {
		return
	}
	c.told[o.key] = note
	c.Log.Info("Found something in the cloud that no Cell owns", "kind", o.kind, "id", o.id, "reason", reason, "note", note)
	about, err := c.about(ctx, o.class)
	if err != nil {
		c.Log.Error(err, "No event is made of it")
		return
	}
	// Events that differ in their notes alone would become one series.
	thing := &corev1.ObjectReference{Kind: o.kind, Name: o.id}
	c.Events.Eventf(about, thing, corev1.EventTypeWarning, reason, "Collect", "%s", strings.ToValidUTF8(note[:min(len(note), maxNote)], ""))
}

func (c *Collector) about(ctx context.Context, class string) (client.Object, error) {
	if class != "" {
		found := &v1beta1.CellClass{}
		err := c.Live.Get(ctx, client.ObjectKey{Name: class}, found)
		if !apierrors.IsNotFound(err) {
			return found, err
		}
	}
	namespace := &corev1.Namespace{}
	err := c.Live.Get(ctx, client.ObjectKey{Name: c.Namespace}, namespace)
	return namespace, err
}

type metrics struct {
	unowned, kept *prometheus.GaugeVec
	removed       *prometheus.CounterVec
	lastLook      prometheus.Gauge
}

func newMetrics() metrics {
	labels := []string{"kind"}
	m := metrics{
		unowned: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "kip_garbage_found", Help: "Things with this cluster's tags in the cloud that no Cell owned at the last look, those too that are too young to be ended.",
		}, labels),
		kept: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "kip_garbage_kept", Help: "Those of them that are old enough and were not ended: the operator only reports, Kip has not made them, there is no Cell at all, or the cloud refused. Events say which.",
		}, labels),
		removed: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "kip_garbage_removed_total", Help: "Things that no Cell owned and that were ended.",
		}, labels),
		lastLook: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "kip_garbage_last_look_timestamp_seconds", Help: "When all that no Cell owns was last looked for without an error, in Unix seconds.",
		}),
	}
	for _, kind := range kinds() {
		m.unowned.WithLabelValues(kind)
		m.kept.WithLabelValues(kind)
		m.removed.WithLabelValues(kind)
	}
	return m
}

func (m metrics) register(registry prometheus.Registerer) error {
	var problems []error
	for _, collector := range []prometheus.Collector{m.unowned, m.kept, m.removed, m.lastLook} {
		problems = append(problems, registry.Register(collector))
	}
	if err := errors.Join(problems...); err != nil {
		return fmt.Errorf("registering the garbage collector's metrics: %w", err)
	}
	return nil
}

func (m metrics) found(orphans, kept []orphan) {
	for _, kind := range kinds() {
		m.unowned.WithLabelValues(kind).Set(count(orphans, kind))
		m.kept.WithLabelValues(kind).Set(count(kept, kind))
	}
}

func (m metrics) looked(at time.Time) { m.lastLook.Set(float64(at.Unix())) }

func count(orphans []orphan, kind string) float64 {
	n := 0.0
	for i := range orphans {
		if orphans[i].kind == kind {
			n++
		}
	}
	return n
}
