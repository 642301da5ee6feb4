package agent

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
)

// LogFollower reads a container's log in the CRI format. Reading it gives, as of
// a Runtime's Log, what was current when it was opened, to io.EOF; Seek is for
// that part alone.
type LogFollower interface {
	io.ReadSeekCloser
	// More waits, after an io.EOF, until there is more to read, and goes on with
	// the next file where the log was rotated. Its own io.EOF says that ended was
	// closed and everything has been read.
	More(ctx context.Context, ended <-chan struct{}) error
}

// kipFollow answers a container's log with metadata, and goes on as it is
// written, until the container's run ends.
func (a *Agent) kipFollow(w http.ResponseWriter, r *http.Request) error {
	name := r.PathValue("container")
	id, ok := a.lastRun(name)
	if !ok {
		return badRequest("Could not find logs for unit named %s", name)
	}
	log, err := a.config.Runtime.FollowLog(r.Context(), id)
	if errors.Is(err, fs.ErrNotExist) {
		return badRequest("Could not find logs for unit named %s", name)
	}
	if err != nil {
		return err
	}
	defer log.Close()
	before, err := skipped(log, number(r.URL.Query().Get("lines")))
	if err != nil {
		return err
	}
	if _, err := log.Seek(0, io.SeekStart); err != nil {
		return fmt.Errorf("reading log: %w", err)
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	if follow(w, &followedLog{log: log, ctx: ctx, ended: a.endOf(ctx, id)}, before) != nil {
		// Nobody may take a part of the log for all of it.
		panic(http.ErrAbortHandler)
	}
	return nil
}

// skipped is how many entries come before the last lines; 0: none, for all lines
// are wanted. With fewer than 0 lines only what is written later is.
func skipped(log io.Reader, lines int64) (entries int64, err error) {
	reader := bufio.NewReader(log)
	var begins []int64 // of the last lines, in entries
	total, open := int64(0), false
	for {
		entry, err := readLogEntry(reader)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return 0, fmt.Errorf("reading log: %w", err)
		}
		if !open && lines > 0 {
			if begins = append(begins, total); int64(len(begins)) > lines {
				begins = begins[1:]
			}
		}
		open = entry.partial
		total++
	}
	switch {
	case lines < 0:
		return total, nil
	case len(begins) > 0:
		return begins[0], nil
	}
	return 0, nil
}

// follow copies entries but for the first ones.
func follow(w http.ResponseWriter, log *followedLog, skip int64) error {
	out := bufio.NewWriterSize(w, 32<<10)
	log.flush = func() error {
		return errors.Join(out.Flush(), http.NewResponseController(w).Flush())
	}
	entries := bufio.NewReader(log)
	for {
		entry, err := readLogEntry(entries)
		if errors.Is(err, io.EOF) {
			return out.Flush()
		}
		if err != nil {
			return err
		}
		if skip--; skip < 0 {
			writeEntry(out, entry, logQuery{metadata: true})
		}
	}
}

// followedLog waits for more where a log ends for now.
type followedLog struct {
	log   LogFollower
	ctx   context.Context
	ended <-chan struct{}
	// flush sends what was read so far.
	flush func() error
}

// Read implements io.Reader.
func (f *followedLog) Read(p []byte) (int, error) {
	for {
		n, err := f.log.Read(p)
		if n > 0 || !errors.Is(err, io.EOF) {
			return n, err
		}
		if err := f.flush(); err != nil {
			return 0, err
		}
		if err := f.log.More(f.ctx, f.ended); err != nil {
			return 0, err
		}
	}
}

// endOf is closed once that run of a container does not run any more, or ctx
// has ended.
func (a *Agent) endOf(ctx context.Context, id ContainerID) <-chan struct{} {
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for {
			_, changed := a.hub.current()
			if !a.stillRuns(id) {
				return
			}
			select {
			case <-changed:
			case <-ctx.Done():
				return
			}
		}
	}()
	return ended
}

func (a *Agent) stillRuns(id ContainerID) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.machine == nil || a.machine.rec.Pod.UID != id.UID {
		return false
	}
	run := a.machine.latest(id.Container)
	return run != nil && run.Attempt == id.Attempt && run.State != ContainerExited
}
