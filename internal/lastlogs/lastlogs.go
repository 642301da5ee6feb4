// Package lastlogs keeps the end of the logs of containers whose cell is gone,
// in memory and within bounds, as long as there is room.
package lastlogs

import (
	"container/list"
	"sync"

	"k8s.io/apimachinery/pkg/types"
)

const (
	// MaxContainer is how many bytes of a container's log are kept.
	MaxContainer = 1 << 20
	// MaxTotal is how many bytes are kept of all; the oldest go first.
	MaxTotal = 64 << 20
)

// Store keeps logs. It may be used by several goroutines.
type Store struct {
	max int

	mu    sync.Mutex
	size  int
	order *list.List // of key, the oldest first
	logs  map[key]entry
}

type key struct {
	pod       types.UID
	container string
}

type entry struct {
	data  []byte
	place *list.Element
}

// New makes a Store for at most maxTotal bytes.
func New(maxTotal int) *Store {
	return &Store{max: maxTotal, order: list.New(), logs: map[key]entry{}}
}

// Keep keeps the last MaxContainer bytes of a container's log, in the lines
// that the agent gives with metadata. The store owns data from then on.
func (s *Store) Keep(pod types.UID, container string, data []byte) {
	data = data[max(0, len(data)-MaxContainer):]
	s.mu.Lock()
	defer s.mu.Unlock()
	k := key{pod, container}
	s.remove(k)
	if len(data) > s.max {
		return
	}
	for s.size+len(data) > s.max {
		s.remove(s.order.Front().Value.(key))
	}
	s.size += len(data)
	s.logs[k] = entry{data: data, place: s.order.PushBack(k)}
}

// Get gives the log of a container; false when it is not kept, or not any more.
func (s *Store) Get(pod types.UID, container string) ([]byte, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	e, ok := s.logs[key{pod, container}]
	return e.data, ok
}

// Forget drops the log of a container.
func (s *Store) Forget(pod types.UID, container string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.remove(key{pod, container})
}

func (s *Store) remove(k key) {
	e, ok := s.logs[k]
	if !ok {
		return
	}
	s.size -= len(e.data)
	s.order.Remove(e.place)
	delete(s.logs, k)
}
