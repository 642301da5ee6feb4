package pod

import (
	"context"
	"time"

	"k8s.io/apimachinery/pkg/types"
)

// callKind is a kind of what a pod's agent, or its node's API server, is asked
// for outside of reconciles. Of each kind at most one is under way for a pod.
type callKind int

const (
	callDispatch callKind = iota // give the pod to the agent
	callAwait                    // wait for an object that the pod lacks
	callRefresh                  // give the agent what has changed since
	callStop                     // end the containers
	callLogs                     // fetch the last logs

	callKinds // how many there are
)

type callState int

const (
	notMade callState = iota
	underWay
	answered
)

// call is what became of the last call of a kind.
type call struct {
	state callState
	began time.Time
	// err is the answer of the last one that was answered.
	err error
	// failures in a row, and when to try again after the last.
	failures int
	retryAt  time.Time
}

// A call that failed is made again after callRetryFirst, doubling.
const (
	callRetryFirst = 100 * time.Millisecond
	callRetryMost  = 30 * time.Second
)

// start makes a call in a goroutine of its own, and an event of its answer.
// Nothing happens while one of the kind is under way, or when the pod has been
// forgotten.
func (o *observers) start(pod types.UID, kind callKind, limit time.Duration, ask func(context.Context) error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	running := o.byUID[pod]
	if running == nil || running.seen.calls[kind].state == underWay {
		return
	}
	running.seen.calls[kind].state = underWay
	running.seen.calls[kind].began = o.clock.Now()
	o.begin(func() {
		ctx, cancel := context.WithTimeout(running.ctx, limit)
		defer cancel()
		o.answer(running, kind, ask(ctx))
		o.notify(running)
	})
}

// startStop is start for the call that ends the containers at the given time.
func (o *observers) startStop(pod types.UID, at time.Time, limit time.Duration, ask func(context.Context) error) {
	o.mu.Lock()
	if running := o.byUID[pod]; running != nil {
		running.seen.stopAt = at
	}
	o.mu.Unlock()
	o.start(pod, callStop, limit, ask)
}

func (o *observers) answer(running *observer, kind callKind, err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	made := &running.seen.calls[kind]
	made.state, made.err = answered, err
	if err == nil {
		made.failures = 0
		return
	}
	wait := callRetryMost
	if made.failures < 10 {
		wait = min(callRetryFirst<<made.failures, callRetryMost)
	}
	made.failures++
	made.retryAt = o.clock.Now().Add(wait)
}
