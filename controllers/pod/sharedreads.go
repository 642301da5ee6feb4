package pod

import (
	"context"
	"errors"
	"sync"
	"time"

	"k8s.io/utils/clock"
)

// sharedFor is how old what another pod's refresh has read may be, so that many
// pods that refer to the same object do not each have it read. It comes on top
// of refreshEvery.
const sharedFor = 5 * time.Second

// objectKey names an object as a node sees it: what one node may read says
// nothing of what another may.
type objectKey struct{ node, namespace, name string }

// sharedReads lets those who want the same object at the same time, or soon
// after, have it by one request. What was read is forgotten after sharedFor.
type sharedReads[T any] struct {
	clock clock.PassiveClock

	mu       sync.Mutex
	readings map[objectKey]*reading[T] // the newest of each
}

// reading is one request. What it has got may be seen when done is closed.
type reading[T any] struct {
	began  time.Time
	done   chan struct{}
	object *T
	err    error
}

func newSharedReads[T any](c clock.PassiveClock) *sharedReads[T] {
	return &sharedReads[T]{clock: c, readings: map[objectKey]*reading[T]{}}
}

// get answers the object as a request found it that was made at since or later.
// The object is shared: nobody may change it. Errors are answered to those who
// waited, and not kept.
func (s *sharedReads[T]) get(ctx context.Context, key objectKey, since time.Time, read func() (*T, error)) (*T, error) {
	for {
		r, mine := s.join(key, since)
		if mine {
			s.finish(key, r, read)
			return r.object, r.err
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-r.done:
		}
		if abandoned := errors.Is(r.err, context.Canceled) || errors.Is(r.err, context.DeadlineExceeded); !r.began.Before(since) && !abandoned {
			return r.object, r.err
		}
	}
}

// join answers the newest reading, which may be one to wait for before the next
// is made; mine: it has just begun, and the caller is to make it.
func (s *sharedReads[T]) join(key objectKey, since time.Time) (r *reading[T], mine bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	r = s.readings[key]
	if r != nil && (!r.began.Before(since) || !r.ended()) {
		return r, false
	}
	r = &reading[T]{began: s.clock.Now(), done: make(chan struct{})}
	s.readings[key] = r
	return r, true
}

func (r *reading[T]) ended() bool {
	select {
	case <-r.done:
		return true
	default:
		return false
	}
}

func (s *sharedReads[T]) finish(key objectKey, r *reading[T], read func() (*T, error)) {
	r.object, r.err = read()
	if r.err != nil {
		s.forget(key, r)
	} else {
		time.AfterFunc(sharedFor, func() { s.forget(key, r) })
	}
	close(r.done)
}

func (s *sharedReads[T]) forget(key objectKey, r *reading[T]) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.readings[key] == r {
		delete(s.readings, key)
	}
}
