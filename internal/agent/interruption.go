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
		log.Info("The cloud has told this cell of its end", "interruption", notices.Interruption, "rebalance", notices.Rebalance)
	}
	if notices.Interruption == nil {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.machine == nil || a.machine.terminal() || a.machine.rec.Interrupted != nil {
		return
	}
	a.machine.interrupt(time.Now(), *notices.Interruption)
	if err := a.save(); err != nil {
		log.Error(err, "Cannot save the agent's state")
	}
	a.poke()
}

// interrupt ends the pod within its grace period, or what is left before the
// instance goes.
func (m *machine) interrupt(now time.Time, notice itzo.Interruption) {
	m.rec.Interrupted = &notice
	by := now.Add(gracePeriod(m.rec.Pod))
	if last := notice.Time.Add(-noticeMargin); last.Before(by) {
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

// notice keeps what the cloud has told, and says whether that is news.
func (h *hub) notice(notices itzo.Notices) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if sameNotices(h.reply.Notices, notices) {
		return false
	}
	h.reply.Revision++
	h.reply.Notices = &notices
	close(h.changed)
	h.changed = make(chan struct{})
	return true
}

func sameNotices(have *itzo.Notices, told itzo.Notices) bool {
	if have == nil {
		return told == itzo.Notices{}
	}
	same := (have.Interruption == nil) == (told.Interruption == nil) && (have.Rebalance == nil) == (told.Rebalance == nil)
	if same && told.Interruption != nil {
		same = have.Interruption.Action == told.Interruption.Action && have.Interruption.Time.Equal(told.Interruption.Time)
	}
	return same && (told.Rebalance == nil || have.Rebalance.Equal(*told.Rebalance))
}
