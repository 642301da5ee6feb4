package cri

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"kip.elotl.co/internal/agent"
)

// exits stands in for the events of runtimes that tell none: it hears from the
// kernel when a process of the pod ends. Everything else that changes, the agent
// has done itself.
type exits struct {
	mu sync.Mutex
	// changed is nil as long as nobody watches.
	changed func()
	// followed are the processes' descriptors, by container or sandbox; nil for
	// one whose end the runtime does not show yet.
	followed map[string]*os.File
	// blind is closed when a process could not be followed.
	blind     chan struct{}
	goBlind   sync.Once
	stopped   chan struct{}
	following sync.WaitGroup
}

func newExits() *exits {
	return &exits{followed: map[string]*os.File{}, blind: make(chan struct{}), stopped: make(chan struct{})}
}

// watch calls changed at the end of processes until ctx ends, or until one of
// them cannot be followed.
func (e *exits) watch(ctx context.Context, changed func()) error {
	e.mu.Lock()
	e.changed = changed
	e.mu.Unlock()
	defer e.stop()
	// What runs already is looked at, and so followed, from now on.
	changed()
	select {
	case <-e.blind:
		return agent.ErrNoEvents
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (e *exits) stop() {
	e.mu.Lock()
	e.changed = nil
	close(e.stopped)
	for _, file := range e.followed {
		if file != nil {
			file.Close()
		}
	}
	e.mu.Unlock()
	e.following.Wait()
	e.mu.Lock()
	defer e.mu.Unlock()
	e.followed, e.stopped = map[string]*os.File{}, make(chan struct{})
}

// wants says whether a process is still to be followed.
func (e *exits) wants(id string) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	_, followed := e.followed[id]
	return e.changed != nil && !followed
}

// follow waits for the end of the process that the runtime's verbose status
// tells of. settled says whether the runtime shows that end.
func (e *exits) follow(id, verbose string, settled func() bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if _, followed := e.followed[id]; followed || e.changed == nil {
		return
	}
	process, err := openProcess(verbose)
	if err != nil {
		e.goBlind.Do(func() { close(e.blind) })
		return
	}
	e.followed[id] = process
	changed, stopped := e.changed, e.stopped
	e.following.Go(func() {
		if process == nil || waitForEnd(process) {
			tellUntil(changed, settled, stopped)
		}
		e.forget(id)
	})
}

func (e *exits) forget(id string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if file := e.followed[id]; file != nil {
		file.Close()
	}
	delete(e.followed, id)
}

// openProcess answers nil when the process is gone.
func openProcess(verbose string) (*os.File, error) {
	var info struct {
		PID int `json:"pid"`
	}
	if err := json.Unmarshal([]byte(verbose), &info); err != nil || info.PID <= 0 {
		return nil, errors.New("the runtime tells no process ID")
	}
	fd, err := unix.PidfdOpen(info.PID, unix.PIDFD_NONBLOCK)
	if errors.Is(err, unix.ESRCH) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("opening process %d: %w", info.PID, err)
	}
	return os.NewFile(uintptr(fd), "pidfd"), nil
}

// waitForEnd answers false when the descriptor was closed before the end.
func waitForEnd(process *os.File) bool {
	raw, err := process.SyscallConn()
	if err != nil {
		return false
	}
	return raw.Read(func(fd uintptr) bool {
		polled := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
		n, err := unix.Poll(polled, 0)
		return n > 0 && err == nil
	}) == nil
}

// slowestTelling is the longest pause between two calls of tellUntil's.
const slowestTelling = time.Second

// tellUntil tells of a change again and again, since the runtime hears of the
// end later than we do: within milliseconds as a rule, seconds on a cell that is
// very busy. It tells once in any case: as long as the look is not over that found
// the process running, nothing is noted of it, which is not the end.
func tellUntil(changed func(), settled func() bool, stopped <-chan struct{}) {
	for delay := 2 * time.Millisecond; ; delay = min(2*delay, slowestTelling) {
		changed()
		select {
		case <-stopped:
			return
		case <-time.After(delay):
		}
		if settled() {
			return
		}
	}
}
