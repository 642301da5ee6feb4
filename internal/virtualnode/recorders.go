package virtualnode

import (
	"context"
	"strings"
	"sync"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/kubernetes/scheme"
	typedcorev1 "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/client-go/tools/record"
	ctrl "sigs.k8s.io/controller-runtime"
)

// eventSource is the component that the events of pods name.
const eventSource = "kip"

// Recorders record the events of the nodes' pods as kubelets do theirs: each
// text of a pod is an Event of its own, whose count and last time are kept up to
// date. From the tenth text with the same reason within ten minutes on they are
// combined into one.
type Recorders struct {
	broadcaster record.EventBroadcaster

	mu     sync.Mutex
	byNode map[string]record.EventRecorder
}

// NewRecorders makes Recorders that write through a client; Start ends them.
func NewRecorders(events typedcorev1.EventsGetter) *Recorders {
	broadcaster := record.NewBroadcaster(record.WithCorrelatorOptions(record.CorrelatorOptions{SpamKeyFunc: spamKey}))
	broadcaster.StartRecordingToSink(&typedcorev1.EventSinkImpl{Interface: events.Events("")})
	return &Recorders{broadcaster: broadcaster, byNode: map[string]record.EventRecorder{}}
}

// SetupWithManager has the Recorders end with the manager.
func (r *Recorders) SetupWithManager(mgr ctrl.Manager) error { return mgr.Add(r) }

// Start implements manager.Runnable: it returns when the context ends, and no
// events are recorded after that.
func (r *Recorders) Start(ctx context.Context) error {
	<-ctx.Done()
	r.broadcaster.Shutdown()
	return nil
}

// ForNode gives the recorder of a node's pods; its events name the node as the
// host they come from.
func (r *Recorders) ForNode(name string) record.EventRecorder {
	r.mu.Lock()
	defer r.mu.Unlock()
	known := r.byNode[name]
	if known == nil {
		known = r.broadcaster.NewRecorder(scheme.Scheme, corev1.EventSource{Component: eventSource, Host: name})
		r.byNode[name] = known
	}
	return known
}

// spamKey is what events share that are limited together. It has the reason and
// the container besides the pod, so that a probe that fails every second does not
// take the events of everything else.
func spamKey(event *corev1.Event) string {
	about := &event.InvolvedObject
	return strings.Join([]string{event.Source.Host, about.Namespace, about.Name, string(about.UID), about.FieldPath, event.Type, event.Reason}, "/")
}
