package cri

import (
	"cmp"
	"context"
	"errors"
	"io"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"kip.elotl.co/internal/agent"
)

const (
	// followEvery is how often a log's end is looked at for more.
	followEvery = 100 * time.Millisecond
	// writersTimeout is for how long the runtime may go on with a log's former file
	// after a rotation, while the lines that it holds are written.
	writersTimeout = 2 * time.Second
)

// FollowLog implements agent.Runtime.
func (r *Runtime) FollowLog(_ context.Context, id agent.ContainerID) (agent.LogFollower, error) {
	path := r.logPath(id)
	r.logs.RLock()
	defer r.logs.RUnlock()
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	f := &logFollower{File: file, next: make(chan *os.File, cmp.Or(r.config.LogMaxFiles, defaultLogMaxFiles))}
	f.leave = r.followers.add(path, f)
	return f, nil
}

// logFollower reads the files of a log one after the other.
type logFollower struct {
	*os.File // the one that is being read
	// next are the files that came after it; pending is the first of them, once the
	// runtime writes to the one before no more.
	next    chan *os.File
	pending *os.File
	leave   func()
}

// Close implements agent.LogFollower.
func (f *logFollower) Close() error {
	f.leave()
	err := f.File.Close()
	if f.pending != nil {
		err = errors.Join(err, f.pending.Close())
	}
	for {
		select {
		case file := <-f.next:
			err = errors.Join(err, file.Close())
		default:
			return err
		}
	}
}

// More implements agent.LogFollower.
func (f *logFollower) More(ctx context.Context, ended <-chan struct{}) error {
	ticker := time.NewTicker(followEvery)
	defer ticker.Stop()
	for {
		over := isClosed(ended)
		if more, err := f.grown(); more || err != nil {
			return err
		}
		if f.pending != nil {
			return f.turn()
		}
		select {
		case f.pending = <-f.next:
			if err := f.awaitWriters(ctx); err != nil {
				return err
			}
			continue // what was written last is still read
		default:
		}
		if over {
			return io.EOF
		}
		select {
		case <-ticker.C:
		case <-ended:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// grown says whether there is more in the file than was read.
func (f *logFollower) grown() (bool, error) {
	at, err := f.Seek(0, io.SeekCurrent)
	if err != nil {
		return false, err
	}
	info, err := f.Stat()
	if err != nil {
		return false, err
	}
	return info.Size() > at, nil
}

// turn goes on with the next file.
func (f *logFollower) turn() error {
	former := f.File
	f.File, f.pending = f.pending, nil
	return former.Close()
}

// awaitWriters returns when the runtime has closed the file.
func (f *logFollower) awaitWriters(ctx context.Context) error {
	ticker := time.NewTicker(followEvery / 10)
	defer ticker.Stop()
	for until := time.Now().Add(writersTimeout); isWritten(f.File) && time.Now().Before(until); {
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// isWritten says whether somebody has the file open for writing: the kernel gives
// a lease for reading only where nobody has.
func isWritten(file *os.File) bool {
	_, err := unix.FcntlInt(file.Fd(), unix.F_SETLEASE, unix.F_RDLCK)
	if err == nil {
		_, err = unix.FcntlInt(file.Fd(), unix.F_SETLEASE, unix.F_UNLCK)
	}
	return errors.Is(err, unix.EAGAIN)
}

// followers are those who read logs as they are written, by the log's path.
type followers struct {
	mu  sync.Mutex
	all map[string]map[*logFollower]struct{}
}

// add has a follower told of each new file until leave is called.
func (f *followers) add(path string, follower *logFollower) (leave func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.all == nil {
		f.all = map[string]map[*logFollower]struct{}{}
	}
	if f.all[path] == nil {
		f.all[path] = map[*logFollower]struct{}{}
	}
	f.all[path][follower] = struct{}{}
	return func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		delete(f.all[path], follower)
		if len(f.all[path]) == 0 {
			delete(f.all, path)
		}
	}
}

// rotated tells a log's followers of its new file. One that is behind by more
// files than are kept loses the oldest, as whoever comes later does.
func (f *followers) rotated(path string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	for follower := range f.all[path] {
		file, err := os.Open(path)
		if err != nil {
			return err
		}
		for sent := false; !sent; {
			select {
			case follower.next <- file:
				sent = true
			default:
				follower.dropOldest()
			}
		}
	}
	return nil
}

func (f *logFollower) dropOldest() {
	select {
	case oldest := <-f.next:
		oldest.Close()
	default:
	}
}
