package lastlogs

import (
	"bytes"
	"fmt"
	"sync"
	"testing"

	"k8s.io/apimachinery/pkg/types"
)

func TestKeepAndGet(t *testing.T) {
	s := New(100)
	s.Keep("a", "main", []byte("one"))
	s.Keep("a", "side", []byte("two"))
	s.Keep("b", "main", []byte("three"))
	for _, c := range []struct{ pod, container, want string }{{"a", "main", "one"}, {"a", "side", "two"}, {"b", "main", "three"}} {
		got, ok := s.Get(types.UID(c.pod), c.container)
		if !ok || string(got) != c.want {
			t.Errorf("log of %s/%s: got %q, %v; want %q", c.pod, c.container, got, ok, c.want)
		}
	}
	if got, ok := s.Get("c", "main"); ok {
		t.Errorf("log of a pod never kept: got %q", got)
	}
	s.Keep("a", "main", []byte("again"))
	if got, _ := s.Get("a", "main"); string(got) != "again" {
		t.Errorf("log kept twice: got %q, want the later one", got)
	}
	s.Forget("a", "main")
	if got, ok := s.Get("a", "main"); ok {
		t.Errorf("forgotten log: got %q", got)
	}
	s.Forget("a", "main")
}

func TestOldestGoFirst(t *testing.T) {
	s := New(10)
	s.Keep("a", "c", []byte("1234"))
	s.Keep("b", "c", []byte("1234"))
	s.Keep("a", "c", []byte("4321")) // kept again: now the newest
	s.Keep("d", "c", []byte("1234"))
	for pod, want := range map[types.UID]bool{"a": true, "b": false, "d": true} {
		if _, ok := s.Get(pod, "c"); ok != want {
			t.Errorf("log of %s kept: %v, want %v", pod, ok, want)
		}
	}
	if s.size != 8 || len(s.logs) != 2 || s.order.Len() != 2 {
		t.Errorf("store holds %d bytes in %d logs, %d in order; want 8, 2, 2", s.size, len(s.logs), s.order.Len())
	}
}

func TestBounds(t *testing.T) {
	s := New(MaxTotal)
	long := append(bytes.Repeat([]byte("x"), MaxContainer), "the end"...)
	s.Keep("a", "c", long)
	got, _ := s.Get("a", "c")
	if len(got) != MaxContainer || !bytes.HasSuffix(got, []byte("the end")) {
		t.Errorf("kept %d bytes that end in %q; want %d that end in the log's end", len(got), got[len(got)-7:], MaxContainer)
	}
	small := New(3)
	small.Keep("a", "c", []byte("12"))
	small.Keep("b", "c", []byte("1234"))
	if _, ok := small.Get("b", "c"); ok {
		t.Error("a log larger than the store was kept")
	}
	if _, ok := small.Get("a", "c"); !ok {
		t.Error("a log was dropped for one that cannot be kept")
	}
}

func TestManyAtOnce(t *testing.T) {
	s := New(1000)
	var all sync.WaitGroup
	for i := range 8 {
		all.Go(func() {
			for j := range 200 {
				pod := types.UID(fmt.Sprint(i, j%10))
				s.Keep(pod, "c", bytes.Repeat([]byte{'x'}, j))
				s.Get(pod, "c")
				if j%7 == 0 {
					s.Forget(pod, "c")
				}
			}
		})
	}
	all.Wait()
	total := 0
	for _, e := range s.logs {
		total += len(e.data)
	}
	if total != s.size || total > s.max || s.order.Len() != len(s.logs) {
		t.Errorf("store says %d bytes and holds %d of at most %d; %d logs, %d in order", s.size, total, s.max, len(s.logs), s.order.Len())
	}
}
