package aws

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"
)

// answer is what became of one key of a batch.
type answer[V any] struct {
	value V
	err   error
}

// batcher shares requests: callers that come within a window of the first one,
// batchSize at most, get their answers from one call of do.
type batcher[V any] struct {
	// do answers every key.
	do func(ctx context.Context, keys []string) map[string]answer[V]

	mu   sync.Mutex
	open *batch[V] // takes callers; nil when there is none
}

type batch[V any] struct {
	keys    map[string]struct{}
	waiting int
	ctx     context.Context
	cancel  context.CancelFunc
	full    chan struct{} // closed when no more callers fit
	done    chan struct{} // closed when answers are there
	answers map[string]answer[V]
}

func newBatcher[V any](do func(context.Context, []string) map[string]answer[V]) *batcher[V] {
	return &batcher[V]{do: do}
}

// get gives the answer for a key. A caller whose ctx ends leaves the batch to
// the others; when all have left, its request is cancelled.
func (b *batcher[V]) get(ctx context.Context, key string) (V, error) {
	joined := b.join(ctx, key)
	select {
	case <-joined.done:
		a, ok := joined.answers[key]
		if !ok {
			return a.value, fmt.Errorf("no answer for %q", key)
		}
		return a.value, a.err
	case <-ctx.Done():
		b.leave(joined)
		var none V
		return none, stoppedWaiting(ctx, key)
	}
}

func (b *batcher[V]) join(ctx context.Context, key string) *batch[V] {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.open == nil {
		b.open = newBatch[V](ctx)
		go b.run(b.open)
	}
	joined := b.open
	joined.keys[key] = struct{}{}
	joined.waiting++
	if len(joined.keys) == batchSize {
		close(joined.full)
		b.open = nil
	}
	return joined
}

// newBatch keeps the values of the first caller's context, but not its end.
func newBatch[V any](ctx context.Context) *batch[V] {
	shared, cancel := context.WithTimeout(context.WithoutCancel(ctx), sharedTimeout)
	return &batch[V]{
		keys: map[string]struct{}{}, ctx: shared, cancel: cancel, full: make(chan struct{}), done: make(chan struct{}),
	}
}

func (b *batcher[V]) leave(left *batch[V]) {
	b.mu.Lock()
	defer b.mu.Unlock()
	left.waiting--
	if left.waiting > 0 {
		return
	}
	left.cancel()
	b.closeLocked(left)
}

// closeLocked takes no more callers into a batch; b.mu is held.
func (b *batcher[V]) closeLocked(closed *batch[V]) {
	if b.open == closed {
		b.open = nil
	}
}

func (b *batcher[V]) run(r *batch[V]) {
	defer r.cancel()
	defer close(r.done)
	timer := time.NewTimer(batchWindow)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-r.full:
	case <-r.ctx.Done():
	}
	b.mu.Lock()
	b.closeLocked(r)
	b.mu.Unlock()
	r.answers = b.do(r.ctx, slices.Sorted(maps.Keys(r.keys)))
}
