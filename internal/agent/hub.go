package agent

import (
	"context"
	"slices"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/api/equality"

	"kip.elotl.co/internal/itzo"
)

// hub hands the newest status to whoever asks or waits for it.
type hub struct {
	mu    sync.Mutex
	reply itzo.StatusReply
	// changed is closed at the next change.
	changed chan struct{}
}

func newHub(epoch string) *hub {
	return &hub{reply: itzo.StatusReply{Epoch: epoch}, changed: make(chan struct{})}
}

// news says whether a record has another status than the last one published, or
// more events.
func (h *hub) news(rec *record) (status, events bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.reply.PodUID != rec.Pod.UID || !equality.Semantic.DeepEqual(h.reply.Status, rec.Status), h.reply.LastEvent != rec.LastEvent
}

// publish shows a record's status and events.
func (h *hub) publish(rec *record) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.reply.Revision++
	h.reply.PodUID = rec.Pod.UID
	h.reply.Status = rec.Status
	h.reply.Events, h.reply.LastEvent = slices.Clone(rec.Events), rec.LastEvent
	close(h.changed)
	h.changed = make(chan struct{})
}

// acknowledge forgets the events up to a number.
func (h *hub) acknowledge(number int64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.reply.Events = itzo.EventsAfter(h.reply.Events, number)
}

// current answers the newest status, and a channel that is closed at the next
// change. The status must not be written to.
func (h *hub) current() (itzo.StatusReply, <-chan struct{}) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.reply, h.changed
}

// wait answers as soon as the status is another than that of the given epoch
// and revision, or when the time is over.
func (h *hub) wait(ctx context.Context, epoch string, after int64, timeout time.Duration) itzo.StatusReply {
	reply, changed := h.current()
	if reply.Epoch != epoch || reply.Revision != after || timeout <= 0 {
		return reply
	}
	timer := time.NewTimer(timeout)
	defer timer.Stop()
	select {
	case <-changed:
	case <-timer.C:
	case <-ctx.Done():
	}
	reply, _ = h.current()
	return reply
}
