package pod

import (
	"context"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/event"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"kip.elotl.co/api/v1beta1"
	"kip.elotl.co/internal/itzo"
)

// longPoll is how long an agent may keep a question about its pod open.
const longPoll = 60 * time.Second

// An agent that does not answer is asked again after retryFirst, doubling.
const (
	retryFirst = 100 * time.Millisecond
	retryMost  = 5 * time.Second
)

// observation is what is known of a pod from its agent. reply is nil until the
// first answer; err is why the last question got none.
type observation struct {
	reply *itzo.StatusReply
	err   error
	// dispatched: the agent has taken the pod since it gave this reply.
	dispatched bool
}

// observers ask the agents of dispatched pods, one goroutine per pod that
// waits in a long poll, and make an event of every change.
type observers struct {
	clock  clock.WithTicker
	events chan event.TypedGenericEvent[*corev1.Pod]

	base context.Context // the life of all observers
	end  context.CancelFunc

	mu    sync.Mutex
	byUID map[types.UID]*observer
}

type observer struct {
	cancel context.CancelFunc
	cell   types.UID
	seen   observation
	// stopAt is the end of the grace period that the agent was last told.
	stopAt time.Time
	// ending is when the pod was first seen to be ending.
	ending time.Time
}

func newObservers(c clock.WithTicker) *observers {
	base, end := context.WithCancel(context.Background())
	return &observers{base: base, end: end, clock: c, events: make(chan event.TypedGenericEvent[*corev1.Pod]), byUID: map[types.UID]*observer{}}
}

// Start binds the observers' life to the manager's.
func (o *observers) Start(ctx context.Context) error {
	<-ctx.Done()
	o.end()
	return nil
}

// watch gives what is known of the pod and, the first time, starts to ask.
func (o *observers) watch(pod *corev1.Pod, cell *v1beta1.Cell, agent *itzo.Client) observation {
	o.mu.Lock()
	defer o.mu.Unlock()
	if running := o.byUID[pod.UID]; running != nil {
		if running.cell == cell.UID {
			return running.seen
		}
		running.cancel()
	}
	ctx, cancel := context.WithCancel(o.base)
	started := &observer{cancel: cancel, cell: cell.UID}
	o.byUID[pod.UID] = started
	about := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: pod.Namespace, Name: pod.Name, UID: pod.UID}}
	go o.run(ctx, about, started, agent)
	return observation{}
}

// forget ends the asking.
func (o *observers) forget(pod types.UID) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if running := o.byUID[pod]; running != nil {
		running.cancel()
		delete(o.byUID, pod)
	}
}

// stopping notes the end of the grace period that the agent is about to be
// told, and says whether that is news.
func (o *observers) stopping(pod types.UID, at time.Time) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	running := o.byUID[pod]
	if running == nil || (!running.stopAt.IsZero() && !at.Before(running.stopAt)) {
		return false
	}
	running.stopAt = at
	return true
}

// dispatched notes that the agent has taken the pod.
func (o *observers) dispatched(pod types.UID) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if running := o.byUID[pod]; running != nil {
		running.seen.dispatched = true
	}
}

// endingSince is when the pod was first seen to be ending: now, the first time.
func (o *observers) endingSince(pod types.UID) time.Time {
	o.mu.Lock()
	defer o.mu.Unlock()
	running := o.byUID[pod]
	if running == nil {
		return time.Time{}
	}
	if running.ending.IsZero() {
		running.ending = o.clock.Now()
	}
	return running.ending
}

// notStopping: telling the agent failed.
func (o *observers) notStopping(pod types.UID) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if running := o.byUID[pod]; running != nil {
		running.stopAt = time.Time{}
	}
}

func (o *observers) run(ctx context.Context, pod *corev1.Pod, running *observer, agent *itzo.Client) {
	var last itzo.StatusReply
	retry := retryFirst
	for ctx.Err() == nil {
		reply, err := agent.WaitStatus(ctx, last.Epoch, last.Revision, longPoll)
		if err != nil {
			o.failed(running, err)
			select {
			case <-ctx.Done():
			case <-o.clock.After(retry):
			}
			retry = min(2*retry, retryMost)
			continue
		}
		retry = retryFirst
		changed := reply.Epoch != last.Epoch || reply.Revision != last.Revision
		last = reply
		o.keep(running, reply)
		if changed {
			o.notify(ctx, pod)
		}
	}
}

// keep keeps an answer; what was dispatched after the last one shows in it,
// unless the agent was just asked then.
func (o *observers) keep(running *observer, reply itzo.StatusReply) {
	o.mu.Lock()
	defer o.mu.Unlock()
	last := running.seen
	same := last.reply != nil && last.reply.Epoch == reply.Epoch && last.reply.Revision == reply.Revision
	running.seen = observation{reply: &reply, dispatched: same && last.dispatched}
}

func (o *observers) failed(running *observer, err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	running.seen.err = err
}

func (o *observers) notify(ctx context.Context, pod *corev1.Pod) {
	select {
	case o.events <- event.TypedGenericEvent[*corev1.Pod]{Object: pod}:
	case <-ctx.Done():
	}
}
