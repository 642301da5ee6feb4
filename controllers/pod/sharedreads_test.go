package pod

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"k8s.io/utils/clock"
)

// reader counts requests, each of which takes a second.
type reader struct {
	shared   *sharedReads[int]
	requests atomic.Int64
	fail     error
}

func newReader() *reader { return &reader{shared: newSharedReads[int](clock.RealClock{})} }

func (r *reader) get(ctx context.Context, key objectKey, since time.Time) (*int, error) {
	return r.shared.get(ctx, key, since, func() (*int, error) {
		n := int(r.requests.Add(1))
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(time.Second):
		}
		return &n, r.fail
	})
}

// Five hundred pods that are refreshed within a period need a request for each
// span in which what was read is shared, and no more.
func TestSharedReadsOfAPeriod(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, began := newReader(), time.Now()
		var pods sync.WaitGroup
		for i := range 500 {
			pods.Go(func() {
				time.Sleep(time.Duration(i) * refreshEvery / 500)
				if _, err := r.get(t.Context(), objectKey{"kip-a", "ns", "settings"}, time.Now().Add(-sharedFor)); err != nil {
					t.Error(err)
				}
			})
		}
		pods.Wait()
		if spans := int64(time.Since(began)/sharedFor) + 1; r.requests.Load() > spans {
			t.Errorf("%d requests for 500 pods, want at most %d", r.requests.Load(), spans)
		}
		time.Sleep(sharedFor + time.Second)
		synctest.Wait()
		r.shared.mu.Lock()
		defer r.shared.mu.Unlock()
		if left := len(r.shared.readings); left > 0 {
			t.Errorf("%d objects are still in memory", left)
		}
	})
}

// Who must have what there is now waits for a request that began later, together
// with all others who came meanwhile.
func TestSharedReadsAreNewEnough(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, key := newReader(), objectKey{"kip-a", "ns", "settings"}
		var pods sync.WaitGroup
		for i := range 100 {
			pods.Go(func() {
				time.Sleep(time.Duration(i) * time.Millisecond)
				got, err := r.get(t.Context(), key, time.Now())
				if want := min(i, 1) + 1; err != nil || *got != want {
					t.Errorf("pod %d got request %d, %v, want request %d", i, *got, err, want)
				}
			})
		}
		pods.Wait()
		if n := r.requests.Load(); n != 2 {
			t.Errorf("%d requests, want 2", n)
		}
		for _, other := range []objectKey{{"kip-b", "ns", "settings"}, {"kip-a", "other", "settings"}, {"kip-a", "ns", "other"}} {
			before := r.requests.Load()
			if _, err := r.get(t.Context(), other, time.Time{}); err != nil || r.requests.Load() != before+1 {
				t.Errorf("%+v: %d requests, %v", other, r.requests.Load()-before, err)
			}
		}
	})
}

// A request that its own pod gave up, or that failed, keeps no other from its own.
func TestSharedReadsThatFail(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, key := newReader(), objectKey{"kip-a", "ns", "settings"}
		ending, end := context.WithCancel(t.Context())
		var pods sync.WaitGroup
		pods.Go(func() {
			if _, err := r.get(ending, key, time.Time{}); !errors.Is(err, context.Canceled) {
				t.Errorf("the pod that is deleted: %v", err)
			}
		})
		synctest.Wait()
		pods.Go(func() {
			if got, err := r.get(t.Context(), key, time.Time{}); err != nil || *got != 2 {
				t.Errorf("the other pod: %v, %v", got, err)
			}
		})
		synctest.Wait()
		end()
		pods.Wait()
		time.Sleep(2 * sharedFor)
		r.fail = errors.New("forbidden")
		for range 2 {
			if _, err := r.get(t.Context(), key, time.Time{}); !errors.Is(err, r.fail) {
				t.Errorf("got %v", err)
			}
		}
		if n := r.requests.Load(); n != 4 {
			t.Errorf("%d requests, want 4", n)
		}
	})
}
