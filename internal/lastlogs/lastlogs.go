// Package lastlogs keeps the end of the logs of containers whose cell is gone,
// in memory and within bounds, as long as there is room.
package lastlogs

import (
	"container/list"
	"fmt"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/types"
)

// Limits are how many bytes are kept.
type Limits struct {
	// Container is the most of one container's log: its end.
	Container int
	// Total is the most of all, what it takes to keep them included; the oldest
	// go first.
	Total int
}

// DefaultLimits are 1 MiB and 256 MiB.
func DefaultLimits() Limits { return Limits{Container: 1 << 20, Total: 256 << 20} }

// overhead is about what a log takes besides its bytes: its places in the map
// and in the list, and the names in them.
const overhead = 512

// Store keeps logs. It may be used by several goroutines.
type Store struct {
	limits Limits

	mu    sync.Mutex
	since time.Time
	size  int
	order *list.List // of key, the oldest first
	logs  map[key]entry
	// dropped are the logs for which there was no room, of pods that exist.
	dropped map[key]struct{}
}

type key struct {
	pod       types.UID
	container string
}

type entry struct {
	data  []byte
	place *list.Element
}

// New makes a Store.
func New(limits Limits) *Store {
	return &Store{limits: limits, order: list.New(), logs: map[key]entry{}, dropped: map[key]struct{}{}}
}

// Limit is how many bytes of a container's log are kept at most.
func (s *Store) Limit() int { return s.limits.Container }

// Begin says since when logs are kept here: since this operator leads.
func (s *Store) Begin(now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.since = now
}

// Keep keeps the end of a container's log, in the lines that the agent gives
// with metadata.
func (s *Store) Keep(pod types.UID, container string, data []byte) {
	end := data[max(0, len(data)-s.limits.Container):]
	// A copy holds on to no more memory than is counted.
	kept := make([]byte, len(end))
	copy(kept, end)
	s.mu.Lock()
	defer s.mu.Unlock()
	k := key{pod, container}
	s.remove(k)
	if len(kept)+overhead > s.limits.Total {
		s.dropped[k] = struct{}{}
		return
	}
	for s.size+len(kept)+overhead > s.limits.Total {
		oldest := s.order.Front().Value.(key)
		s.remove(oldest)
		s.dropped[oldest] = struct{}{}
	}
	s.size += len(kept) + overhead
	s.logs[k] = entry{data: kept, place: s.order.PushBack(k)}
	delete(s.dropped, k)
}

// Get gives the log of a container; false when it is not kept, or not any more.
func (s *Store) Get(pod types.UID, container string) ([]byte, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	e, ok := s.logs[key{pod, container}]
	return e.data, ok
}

// WhyGone says why the log of a container is not kept that ended at a time; zero
// where that is not known.
func (s *Store) WhyGone(pod types.UID, container string, ended time.Time) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, dropped := s.dropped[key{pod, container}]
	switch {
	case dropped:
		return fmt.Sprintf("they made room for those of pods that ended later (--last-logs-total=%s)", resource.NewQuantity(int64(s.limits.Total), resource.BinarySI))
	case !ended.IsZero() && ended.Before(s.since):
		return fmt.Sprintf("the operator that led when it ended had them in memory, and another leads since %s", s.since.UTC().Format(time.RFC3339))
	}
	return "the cell ended without giving them to the operator"
}

// Forget drops all that is known of the log of a container.
func (s *Store) Forget(pod types.UID, container string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.remove(key{pod, container})
	delete(s.dropped, key{pod, container})
}

func (s *Store) remove(k key) {
	e, ok := s.logs[k]
	if !ok {
		return
	}
	s.size -= len(e.data) + overhead
	s.order.Remove(e.place)
	delete(s.logs, k)
}
