package agent

import (
	"context"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/types"

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

// publish answers whether the status differs from the last one.
func (h *hub) publish(uid types.UID, status corev1.PodStatus) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.reply.PodUID == uid && equality.Semantic.DeepEqual(h.reply.Status, status) {
		return false
	}
	h.reply.Revision++
	h.reply.PodUID = uid
	h.reply.Status = status
	close(h.changed)
	h.changed = make(chan struct{})
	return true
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
