package lastlogs

import (
	"bytes"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/types"
)

func TestKeepAndGet(t *testing.T) {
	s := New(Limits{100, 100 * overhead})
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
	s := New(Limits{100, 10 + 2*overhead})
	s.Keep("a", "c", []byte("1234"))
	s.Keep("b", "c", []byte("1234"))
	s.Keep("a", "c", []byte("4321")) // kept again: now the newest
	s.Keep("d", "c", []byte("1234"))
	for pod, want := range map[types.UID]bool{"a": true, "b": false, "d": true} {
		if _, ok := s.Get(pod, "c"); ok != want {
			t.Errorf("log of %s kept: %v, want %v", pod, ok, want)
		}
	}
	if s.size != 8+2*overhead || len(s.logs) != 2 || s.order.Len() != 2 {
		t.Errorf("store holds %d bytes in %d logs, %d in order; want 8 and what they take, 2, 2", s.size, len(s.logs), s.order.Len())
	}
}

func TestBounds(t *testing.T) {
	limits := DefaultLimits()
	s := New(limits)
	long := append(bytes.Repeat([]byte("x"), limits.Container), "the end"...)
	s.Keep("a", "c", long)
	got, _ := s.Get("a", "c")
	if len(got) != limits.Container || !bytes.HasSuffix(got, []byte("the end")) {
		t.Errorf("kept %d bytes that end in %q; want %d that end in the log's end", len(got), got[len(got)-7:], limits.Container)
	}
	small := New(Limits{100, 3 + overhead})
	small.Keep("a", "c", []byte("12"))
	small.Keep("b", "c", []byte("1234"))
	if _, ok := small.Get("b", "c"); ok {
		t.Error("a log larger than the store was kept")
	}
	if _, ok := small.Get("a", "c"); !ok {
		t.Error("a log was dropped for one that cannot be kept")
	}
}

// TestMemory: what is counted is what the store takes, however the logs came and
// however short they are.
func TestMemory(t *testing.T) {
	const total = 32 << 20
	for name, size := range map[string]int{"long": 1 << 20, "short": 100} {
		s := New(Limits{1 << 20, total})
		before := heap()
		for i := range 2 * total / (size + overhead) {
			s.Keep(types.UID(fmt.Sprintf("%036d", i)), "c", make([]byte, size, 2*size+1))
			s.Forget(types.UID(fmt.Sprintf("%036d", i-total/(size+overhead)-1)), "c") // that pod is gone
		}
		if took := int(heap()) - int(before); took > total*5/4 {
			t.Errorf("%s logs take %d MiB, of which %d MiB are counted", name, took>>20, s.size>>20)
		}
		if s.size > total || len(s.logs) == 0 {
			t.Errorf("%s: %d bytes in %d logs", name, s.size, len(s.logs))
		}
	}
}

func heap() uint64 {
	var stats runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&stats)
	return stats.HeapAlloc
}

func TestWhyGone(t *testing.T) {
	begun := time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)
	s := New(Limits{100, 2 * overhead})
	s.Begin(begun)
	s.Keep("old", "c", []byte("1"))
	s.Keep("new", "c", bytes.Repeat([]byte("x"), 100))
	s.Keep("new", "d", bytes.Repeat([]byte("x"), 100))
	for name, test := range map[string]struct {
		pod   types.UID
		ended time.Time
		want  string
	}{
		"dropped":              {"old", begun.Add(time.Hour), "made room for those of pods that ended later (--last-logs-total=1Ki)"},
		"before this one led":  {"other", begun.Add(-time.Hour), "another leads since 2026-01-01T12:00:00Z"},
		"since this one leads": {"other", begun.Add(time.Hour), "the cell ended without giving them"},
		"at no known time":     {"other", time.Time{}, "the cell ended without giving them"},
	} {
		if got := s.WhyGone(test.pod, "c", test.ended); !strings.Contains(got, test.want) {
			t.Errorf("%s: %q", name, got)
		}
	}
	s.Forget("old", "c")
	if len(s.dropped) != 1 { // new/c made room for new/d
		t.Errorf("%d are remembered of pods that are gone", len(s.dropped)-1)
	}
}

func TestManyAtOnce(t *testing.T) {
	s := New(Limits{1000, 8 * (overhead + 100)})
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
		total += len(e.data) + overhead
	}
	if total != s.size || total > s.limits.Total || s.order.Len() != len(s.logs) {
		t.Errorf("store says %d bytes and holds %d of at most %d; %d logs, %d in order", s.size, total, s.limits.Total, len(s.logs), s.order.Len())
	}
}
