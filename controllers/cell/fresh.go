package cell

import (
	"sync"

	"k8s.io/apimachinery/pkg/types"
)

// freshCells are the Cells that this process has seen appear and has not yet
// tried to launch. No instance can exist for them. For any other Cell without
// attempts the status may have been lost, so the cloud is asked first.
type freshCells struct {
	mu   sync.Mutex
	uids map[types.UID]struct{}
}

func newFreshCells() *freshCells { return &freshCells{uids: map[types.UID]struct{}{}} }

func (f *freshCells) add(uid types.UID) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.uids[uid] = struct{}{}
}

func (f *freshCells) has(uid types.UID) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	_, ok := f.uids[uid]
	return ok
}

func (f *freshCells) remove(uid types.UID) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.uids, uid)
}
