package pod

import (
	"context"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/event"

	"kip.elotl.co/api/v1beta1"
	"kip.elotl.co/internal/errtext"
	"kip.elotl.co/internal/itzo"
)

// longPoll is how long an agent may keep a question about its pod open.
const longPoll = 60 * time.Second

// An agent that does not answer is asked again after retryFirst, doubling.
const (
	retryFirst = 100 * time.Millisecond
	retryMost  = 5 * time.Second
)

// observation is what is known of a pod from its agent.
type observation struct {
	// reply is the agent's last, nil until the first.
	reply *itzo.StatusReply
	// err is why the last question got no answer, nil when it got one; silent is
	// when the first of those was asked that got none since the last answer.
	err    error
	silent time.Time
	// generation is that of an agent of the first Kip.
	generation itzo.Generation
	// since is when the agent was asked first.
	since time.Time
	// taken is when the agent was first seen to have the pod.
	taken time.Time
	// stopAt is the end of the grace period that the agent was last told.
	stopAt time.Time
	calls  [callKinds]call
	// given is what the agent has been given.
	given *given
}

// observers talk to the agents of pods, so that no reconcile has to wait for
// one: a goroutine per pod asks in a long poll how it is, others make the calls
// of calls.go. Every change and every answer makes an event.
type observers struct {
	clock     clock.WithTicker
	recorders Recorders
	events    chan event.TypedGenericEvent[*corev1.Pod]

	base context.Context // the life of all observers
	end  context.CancelFunc
	work sync.WaitGroup

	mu    sync.Mutex
	byUID map[types.UID]*observer
}

// observer is all that goes on with one pod's agent.
type observer struct {
	ctx    context.Context // until the pod is forgotten
	cancel context.CancelFunc
	pod    *corev1.Pod // its name, UID and node
	cell   types.UID
	asking bool
	seen   observation
	// ending is when the pod was first seen to be ending.
	ending time.Time
}

func newObservers(c clock.WithTicker, recorders Recorders) *observers {
	base, end := context.WithCancel(context.Background())
	return &observers{base: base, end: end, clock: c, recorders: recorders, events: make(chan event.TypedGenericEvent[*corev1.Pod]), byUID: map[types.UID]*observer{}}
}

// Start binds the observers' life to the manager's: it returns when all have ended.
func (o *observers) Start(ctx context.Context) error {
	<-ctx.Done()
	o.mu.Lock()
	o.end()
	o.mu.Unlock()
	o.work.Wait()
	return nil
}

// watch gives what is known of the pod and, the first time, starts to ask.
func (o *observers) watch(pod *corev1.Pod, cell *v1beta1.Cell, agent *itzo.Client) observation {
	o.mu.Lock()
	defer o.mu.Unlock()
	running := o.of(pod, cell)
	if !running.asking {
		running.asking, running.seen.since = true, o.clock.Now()
		asked := newAsking(pod, cell, agent, o.clock)
		o.begin(func() { o.run(running, asked) })
	}
	return running.seen
}

// known gives what is known of the pod without asking how it is.
func (o *observers) known(pod *corev1.Pod, cell *v1beta1.Cell) observation {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.of(pod, cell).seen
}

// of is the pod's observer on this cell; one on another cell ends. The caller
// holds the lock.
func (o *observers) of(pod *corev1.Pod, cell *v1beta1.Cell) *observer {
	if running := o.byUID[pod.UID]; running != nil {
		if running.cell == cell.UID {
			return running
		}
		running.cancel()
	}
	started := &observer{cell: cell.UID, pod: &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: pod.Namespace, Name: pod.Name, UID: pod.UID},
		Spec:       corev1.PodSpec{NodeName: pod.Spec.NodeName},
	}}
	started.seen.given = newGiven(o.clock.Now())
	started.ctx, started.cancel = context.WithCancel(o.base)
	o.byUID[pod.UID] = started
	return started
}

// begin runs something that Start waits for. The caller holds the lock.
func (o *observers) begin(run func()) {
	if o.base.Err() == nil {
		o.work.Go(run)
	}
}

// forget ends the asking, and all calls that are under way.
func (o *observers) forget(pod types.UID) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if running := o.byUID[pod]; running != nil {
		running.cancel()
		delete(o.byUID, pod)
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

func (o *observers) run(running *observer, asked *asking) {
	ctx := running.ctx
	var last itzo.StatusReply
	told := newTeller(o.recorders.ForNode(running.pod.Spec.NodeName), o.clock)
	retry := retryFirst
	for ctx.Err() == nil {
		reply, err := asked.next(ctx, itzo.StatusQuery{Epoch: last.Epoch, After: last.Revision, Wait: longPoll, Events: &told.last})
		if err != nil {
			if o.failed(running, err) {
				o.notify(running)
			}
			select {
			case <-ctx.Done():
			case <-o.clock.After(retry):
			}
			retry = min(2*retry, retryMost)
			continue
		}
		retry = retryFirst
		told.tell(running.pod, reply)
		changed := reply.Epoch != last.Epoch || reply.Revision != last.Revision
		last = reply
		if recovered := o.keep(running, reply, asked.generation); changed || recovered {
			o.notify(running)
		}
	}
}

// keep keeps an answer, and says whether it is the first after a silence. That
// the pod was dispatched shows in the next one that is new; if it does not, the
// agent has forgotten it.
func (o *observers) keep(running *observer, reply itzo.StatusReply, generation itzo.Generation) (recovered bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	seen := &running.seen
	same := seen.reply != nil && seen.reply.Epoch == reply.Epoch && seen.reply.Revision == reply.Revision
	if !same && seen.calls[callDispatch].state == answered {
		seen.calls[callDispatch] = call{}
	}
	recovered = seen.err != nil
	seen.reply, seen.generation, seen.err, seen.silent = &reply, generation, nil, time.Time{}
	if reply.PodUID == running.pod.UID && seen.taken.IsZero() {
		seen.taken = o.clock.Now()
	}
	return recovered
}

// failed keeps why there was no answer, and says whether that is news.
func (o *observers) failed(running *observer, err error) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	news := errtext.Of(running.seen.err) != errtext.Of(err)
	if running.seen.err == nil {
		running.seen.silent = o.clock.Now()
	}
	running.seen.err = err
	return news
}

func (o *observers) notify(running *observer) {
	select {
	case o.events <- event.TypedGenericEvent[*corev1.Pod]{Object: running.pod}:
	case <-running.ctx.Done():
	}
}
