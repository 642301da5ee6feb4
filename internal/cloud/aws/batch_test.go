package aws

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"kip.elotl.co/internal/cloud"
)

// recorder is the far end of a batcher: it notes what it is asked for.
type recorder struct {
	mu    sync.Mutex
	asked [][]string
	gate  chan struct{} // answers wait for it when not nil
	ended []error       // how the contexts of the requests were at the end
}

func (r *recorder) do(ctx context.Context, keys []string) map[string]answer[string] {
	r.mu.Lock()
	r.asked = append(r.asked, keys)
	r.mu.Unlock()
	if r.gate != nil {
		select {
		case <-r.gate:
		case <-ctx.Done():
		}
	}
	r.mu.Lock()
	r.ended = append(r.ended, ctx.Err())
	r.mu.Unlock()
	answers := map[string]answer[string]{}
	for _, k := range keys {
		answers[k] = answer[string]{value: "value of " + k}
		if k == "bad" {
			answers[k] = answer[string]{err: errors.New("bad")}
		}
	}
	return answers
}

func TestBatchSharesOneRequest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &recorder{}
		b := newBatcher(r.do)
		start := time.Now()
		parallel(6, func(i int) {
			key := []string{"a", "b", "bad", "a", "c", "c"}[i]
			time.Sleep(time.Duration(i) * 9 * time.Millisecond)
			value, err := b.get(t.Context(), key)
			if key == "bad" {
				if err == nil || err.Error() != "bad" {
					t.Errorf("%s: %v", key, err)
				}
				return
			}
			if err != nil || value != "value of "+key {
				t.Errorf("%s: %q, %v", key, value, err)
			}
		})
		if diff := cmp.Diff([][]string{{"a", "b", "bad", "c"}}, r.asked); diff != "" {
			t.Errorf("asked (-want +got):\n%s", diff)
		}
		if took := time.Since(start); took != batchWindow {
			t.Errorf("took %v, want the window", took)
		}
	})
}

func TestBatchAfterTheWindow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &recorder{}
		b := newBatcher(r.do)
		for _, key := range []string{"a", "b"} {
			if _, err := b.get(t.Context(), key); err != nil {
				t.Error(err)
			}
		}
		if diff := cmp.Diff([][]string{{"a"}, {"b"}}, r.asked); diff != "" {
			t.Errorf("asked (-want +got):\n%s", diff)
		}
	})
}

func TestBatchThatIsFullDoesNotWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &recorder{}
		b := newBatcher(r.do)
		start := time.Now()
		parallel(2*batchSize, func(i int) {
			if _, err := b.get(t.Context(), fmt.Sprint(i)); err != nil {
				t.Error(err)
			}
		})
		if len(r.asked) != 2 || len(r.asked[0]) != batchSize || len(r.asked[1]) != batchSize {
			t.Errorf("%d requests", len(r.asked))
		}
		if took := time.Since(start); took != 0 {
			t.Errorf("took %v", took)
		}
	})
}

func TestBatchGoesOnWhenOneCallerLeaves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &recorder{gate: make(chan struct{})}
		b := newBatcher(r.do)
		leaving, leave := context.WithCancel(t.Context())
		left := make(chan error, 1)
		go func() {
			_, err := b.get(leaving, "first")
			left <- err
		}()
		stayed := make(chan error, 1)
		go func() {
			_, err := b.get(t.Context(), "second")
			stayed <- err
		}()
		time.Sleep(2 * batchWindow)
		synctest.Wait()
		leave()
		if err := <-left; !errors.Is(err, context.Canceled) || cloud.KindOf(err) != cloud.KindTransient {
			t.Errorf("the caller that left: %v", err)
		}
		close(r.gate)
		if err := <-stayed; err != nil {
			t.Errorf("the caller that stayed: %v", err)
		}
		if diff := cmp.Diff([][]string{{"first", "second"}}, r.asked); diff != "" {
			t.Errorf("asked (-want +got):\n%s", diff)
		}
	})
}

func TestBatchIsCancelledWhenAllLeave(t *testing.T) {
	for name, after := range map[string]time.Duration{"within the window": batchWindow / 2, "while it is asked": 2 * batchWindow} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := &recorder{gate: make(chan struct{})}
				b := newBatcher(r.do)
				ctx, cancel := context.WithTimeout(t.Context(), after)
				defer cancel()
				parallel(3, func(i int) {
					if _, err := b.get(ctx, fmt.Sprint(i)); !errors.Is(err, context.DeadlineExceeded) {
						t.Errorf("caller %d: %v", i, err)
					}
				})
				// Whoever comes now must not join what was given up.
				close(r.gate)
				if value, err := b.get(t.Context(), "late"); err != nil || value != "value of late" {
					t.Errorf("the next caller: %q, %v", value, err)
				}
				synctest.Wait()
				if len(r.ended) != 2 || !slices.ContainsFunc(r.ended, func(err error) bool { return errors.Is(err, context.Canceled) }) {
					t.Errorf("the requests ended with %v", r.ended)
				}
			})
		})
	}
}

func TestBatchIsBoundedInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &recorder{gate: make(chan struct{})}
		b := newBatcher(r.do)
		start := time.Now()
		if _, err := b.get(t.Context(), "a"); err != nil {
			t.Error(err)
		}
		if took := time.Since(start); took != sharedTimeout {
			t.Errorf("took %v, want %v", took, sharedTimeout)
		}
	})
}

func TestBatchKeyWithoutAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBatcher(func(context.Context, []string) map[string]answer[int] { return nil })
		if _, err := b.get(t.Context(), "a"); err == nil {
			t.Error("no error for a key that was not answered")
		}
	})
}
