package cell

import (
	"sync"

	"k8s.io/apimachinery/pkg/types"
)

// cellSet is a set of Cells that several workers share.
type cellSet struct {
	mu   sync.Mutex
	uids map[types.UID]struct{}
}

func newCellSet() *cellSet { return &cellSet{uids: map[types.UID]struct{}{}} }

func (s *cellSet) add(uid types.UID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.uids[uid] = struct{}{}
}

func (s *cellSet) has(uid types.UID) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, ok := s.uids[uid]
	return ok
}

func (s *cellSet) remove(uid types.UID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.uids, uid)
}
