package agent

import (
	"context"
	"fmt"
	"time"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"

	"kip.elotl.co/internal/itzo"
)

const (
	// noticeEvery is how often the cloud is asked for notices, as EC2's guide
	// recommends; noticeMost how often when it does not answer.
	noticeEvery = 5 * time.Second
	noticeMost  = time.Minute
	// noticeTimeout bounds one question.
	noticeTimeout = 2 * time.Second
	// noticeAhead is how long before the end EC2 gives its notice: there is never
	// more time, whatever the cell's clock says.
	noticeAhead = 2 * time.Minute
	// noticeMargin is how long before its end a cell has no containers any more:
	// time to tell the operator.
	noticeMargin = 10 * time.Second
)

// What a kubelet says of the pods that it ends when its node shuts down.
const (
	reasonTerminated = "Terminated"
	terminatedBy     = "Pod was terminated in response to imminent node shutdown."
)

// watchNotices asks the cloud what it has told this cell, as long as there is
// somebody to ask.
func (a *Agent) watchNotices(ctx context.Context) {
	if a.config.Notices == nil {
		return
	}
	log, wait := logr.FromContextOrDiscard(ctx), time.Duration(0)
	for {
		a.await(ctx, nil, wait)
		if ctx.Err() != nil {
			return
		}
		asked, done := context.WithTimeout(ctx, noticeTimeout)
		notices, err := a.config.Notices(asked)
		done()
		if err != nil {
			log.V(1).Info("The cloud does not say whether this cell is going to be interrupted", "error", err.Error())
			wait = min(max(2*wait, noticeEvery), noticeMost)
			continue
		}
		wait = noticeEvery
		a.notice(ctx, notices)
	}
}

// notice shows what is told, and begins to end the pod of a cell that is going
// to be taken back.
func (a *Agent) notice(ctx context.Context, notices itzo.Notices) {
	log := logr.FromContextOrDiscard(ctx)
	if a.hub.notice(notices) {
		log.Info("The cloud has told this cell of its end", "interruption", notices.Interruption, "rebalance", notices.Rebalance, "maintenance", notices.Maintenance)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.machine == nil || a.machine.terminal() || a.machine.rec.Interrupted != nil {
		return
	}
	now := time.Now()
	end, last := endOf(notices, now, gracePeriod(a.machine.rec.Pod)+noticeMargin+noticeEvery)
	if end == nil {
		return
	}
	a.machine.interrupt(now, *end, last.Add(-noticeMargin))
	if err := a.save(); err != nil {
		log.Error(err, "Cannot save the agent's state")
	}
	a.poke()
}

// endOf is why the pod is to be ended now, and when the instance goes: it is
// taken back, or is going to be stopped before the pod's end has taken so long.
// An interruption's notice is given at the last moment, an event's days before.
func endOf(notices itzo.Notices, now time.Time, needed time.Duration) (end *itzo.Interruption, last time.Time) {
	if end := notices.Interruption; end != nil {
		last = now.Add(noticeAhead)
		if end.Time.Before(last) {
			last = end.Time
		}
		return end, last
	}
	for _, event := range notices.Maintenance {
		if event.Ends() && !event.NotBefore.IsZero() && event.NotBefore.Before(now.Add(needed)) {
			return &itzo.Interruption{Action: event.Code, Time: event.NotBefore}, event.NotBefore
		}
	}
	return nil, time.Time{}
}

// interrupt ends the pod within its grace period, or what is left until last.
func (m *machine) interrupt(now time.Time, notice itzo.Interruption, last time.Time) {
	m.rec.Interrupted = &notice
	by := now.Add(gracePeriod(m.rec.Pod))
	if last.Before(by) {
		by = last
	}
	if soonest := now.Add(time.Second); by.Before(soonest) {
		by = soonest
	}
	m.stop(by)
}

// noteInterrupted makes the end of a pod a failure whose cell is taken back.
func (m *machine) noteInterrupted(status *corev1.PodStatus) {
	if m.rec.Interrupted == nil || status.Phase != corev1.PodSucceeded && status.Phase != corev1.PodFailed {
		return
	}
	status.Phase, status.Reason, status.Message = corev1.PodFailed, reasonTerminated, terminatedBy
}

// disruption is the condition by which podFailurePolicy knows such a pod.
func (m *machine) disruption() []corev1.PodCondition {
	notice := m.rec.Interrupted
	if notice == nil {
		return nil
	}
	return []corev1.PodCondition{{
		Type: corev1.DisruptionTarget, Status: corev1.ConditionTrue, Reason: corev1.PodReasonTerminationByKubelet,
		Message: fmt.Sprintf("EC2 takes the instance back (%s at %s)", notice.Action, notice.Time.UTC().Format(time.RFC3339)),
	}}
}

// notice keeps what the cloud has told, and says whether that is news: that
// nothing was told at first is none.
func (h *hub) notice(notices itzo.Notices) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	known := h.reply.Notices
	h.reply.Notices = &notices
	if known == nil && notices.Empty() || known != nil && known.Equal(notices) {
		return false
	}
	h.reply.Revision++
	close(h.changed)
	h.changed = make(chan struct{})
	return true
}
