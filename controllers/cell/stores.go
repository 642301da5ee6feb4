package cell

import (
	"maps"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"

	"kip.elotl.co/internal/cloud"
)

type storeState int

const (
	storeUnknown storeState = iota // an earlier process may have filled it
	storeNew                       // nobody can have
	storeFilled
	storeEmpty
)

// stores remembers of each Cell what this process last did with its
// parameters, and when.
type stores struct {
	clock clock.PassiveClock
	mu    sync.Mutex
	cells map[types.UID]storeNote
}

type storeNote struct {
	state storeState
	next  time.Time // when to look again
	err   error     // of the last try
	// digest is of what was written, written how it then looked, by name.
	digest  string
	written map[string]cloud.SecretInfo
	// remark is what the cell's user should know when it takes long.
	remark string
}

func newStores(c clock.PassiveClock) *stores {
	return &stores{clock: c, cells: map[types.UID]storeNote{}}
}

// note keeps what was tried for a cell whose attempt began at the time given,
// and when it is due again: the later, the longer it takes. What failed leaves
// the state as it was.
func (s *stores) note(uid types.UID, state storeState, began time.Time, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	is := s.cells[uid]
	is.err = err
	wait := longerEach(s.clock.Since(began)/2, storeAgain, storeAgainMost)
	if err != nil {
		wait = longerEach(s.clock.Since(began)/2, storeRetry, storeRetryMost)
	} else {
		is.state = state
	}
	is.next = s.clock.Now().Add(wait)
	s.cells[uid] = is
}

// fresh says that nothing can be stored for the Cell's instance yet.
func (s *stores) fresh(uid types.UID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.cells[uid] = storeNote{state: storeNew}
}

func (s *stores) state(uid types.UID) storeState {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.cells[uid].state
}

// failure is why the last try failed, nil when it did not.
func (s *stores) failure(uid types.UID) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.cells[uid].err
}

// wrote keeps what was written, by its digest, and how it is listed.
func (s *stores) wrote(uid types.UID, digest string, listed []cloud.SecretInfo) {
	s.mu.Lock()
	defer s.mu.Unlock()
	is := s.cells[uid]
	is.digest, is.written = digest, byName(listed)
	s.cells[uid] = is
}

// holds says whether what is listed is what this process has written, as it has
// written it, and nobody since.
func (s *stores) holds(uid types.UID, digest string, listed []cloud.SecretInfo) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	is := s.cells[uid]
	return is.digest == digest && maps.EqualFunc(is.written, byName(listed), func(a, b cloud.SecretInfo) bool {
		return a.Version == b.Version && a.Modified.Equal(b.Modified)
	})
}

func byName(listed []cloud.SecretInfo) map[string]cloud.SecretInfo {
	out := map[string]cloud.SecretInfo{}
	for _, secret := range listed {
		out[secret.Name] = secret
	}
	return out
}

func (s *stores) remark(uid types.UID, text string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	is := s.cells[uid]
	is.remark = text
	s.cells[uid] = is
}

// remarked is what is to be known of the Cell's parameters, empty when nothing is.
func (s *stores) remarked(uid types.UID) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.cells[uid].remark
}

// due is how long the next look has time; zero: it is due.
func (s *stores) due(uid types.UID) time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	return max(0, s.cells[uid].next.Sub(s.clock.Now()))
}

// now makes the next look due.
func (s *stores) now(uid types.UID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	is := s.cells[uid]
	is.next = time.Time{}
	s.cells[uid] = is
}

func (s *stores) forget(uid types.UID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.cells, uid)
}
