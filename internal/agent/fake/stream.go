package fake

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"
	"sync"
	"time"

	"kip.elotl.co/internal/agent"
	"kip.elotl.co/internal/itzo"
)

// errNotRunning is the runtime's answer for a container that does not run.
var errNotRunning = errors.New("the container does not run")

// ExecStream implements agent.Runtime: a command tells its words on standard
// error, or on the terminal, gives back its input to the end, and ends as the
// script says. On a terminal it tells each size too.
func (r *Runtime) ExecStream(ctx context.Context, id string, command []string, tty bool, s itzo.Streams) (int32, error) {
	words := strings.Join(command, " ")
	exitCode, ended, err := r.command(id, words)
	if err != nil {
		return 0, err
	}
	told := s.Stderr
	if tty {
		told = s.Stdout
	}
	if told != nil {
		if _, err := fmt.Fprintf(told, "hollow: %s\n", words); err != nil {
			return 0, err
		}
	}
	over, err := echo(ctx, ended, s, nil)
	if err != nil {
		return 0, err
	}
	if !over && exitCode < 0 {
		select {
		case <-ended:
			over = true
		case <-ctx.Done():
			return 0, ctx.Err()
		}
	}
	if over {
		return exitKilled, nil
	}
	return exitCode, nil
}

// AttachStream implements agent.Runtime: a container gives back its input, also
// in its log, until it ends.
func (r *Runtime) AttachStream(ctx context.Context, id string, _ bool, s itzo.Streams) error {
	r.mu.Lock()
	c := r.find(id)
	if c == nil || c.State != agent.ContainerRunning {
		r.mu.Unlock()
		return errNotRunning
	}
	r.mu.Unlock()
	over, err := echo(ctx, c.ended, s, func(input []byte) { c.written.add(string(input)) })
	if err != nil || over {
		return err
	}
	select {
	case <-c.ended:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// echo copies input to output until there is no more of it, or until the
// container is over.
func echo(ctx context.Context, ended <-chan struct{}, s itzo.Streams, heard func([]byte)) (over bool, err error) {
	if s.Stdin == nil {
		return false, nil
	}
	out := &lockedWriter{to: s.Stdout}
	copied, done := make(chan error, 1), make(chan struct{})
	defer close(done)
	go tellSizes(out, s.Resize, done)
	go func() { copied <- copyInput(out, s.Stdin, heard) }()
	select {
	case err := <-copied:
		return false, err
	case <-ended:
		return true, nil
	case <-ctx.Done():
		return false, ctx.Err()
	}
}

func copyInput(to io.Writer, from io.Reader, heard func([]byte)) error {
	buffer := make([]byte, itzo.MaxFrame)
	for {
		n, err := from.Read(buffer)
		if n > 0 {
			if heard != nil {
				heard(buffer[:n])
			}
			if _, err := to.Write(buffer[:n]); err != nil {
				return err
			}
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

func tellSizes(to io.Writer, sizes <-chan itzo.TerminalSize, done <-chan struct{}) {
	for {
		select {
		case size := <-sizes:
			if _, err := fmt.Fprintf(to, "%dx%d\n", size.Width, size.Height); err != nil {
				return
			}
		case <-done:
			return
		}
	}
}

// lockedWriter lets several write; it may lead nowhere.
type lockedWriter struct {
	mu sync.Mutex
	to io.Writer
}

func (l *lockedWriter) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.to == nil {
		return len(p), nil
	}
	return l.to.Write(p)
}

// refusedPort is the one port of a pod at which nothing listens.
const refusedPort = 1

// DialPod implements agent.Runtime: every port but 1 gives back what it is sent.
func (r *Runtime) DialPod(_ context.Context, sandboxID string, port uint16) (agent.PodConn, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, exists := r.pods[sandboxID]; !exists {
		return nil, fmt.Errorf("sandbox %s not found", sandboxID)
	}
	if port == refusedPort {
		return nil, fmt.Errorf("dial tcp4 127.0.0.1:%d: connect: connection refused", port)
	}
	reader, writer := io.Pipe()
	return &echoConn{reader, writer}, nil
}

type echoConn struct {
	*io.PipeReader
	*io.PipeWriter
}

// CloseWrite implements agent.PodConn.
func (c *echoConn) CloseWrite() error { return c.PipeWriter.Close() }

// Close implements agent.PodConn.
func (c *echoConn) Close() error { return errors.Join(c.PipeWriter.Close(), c.PipeReader.Close()) }

// written is what a container has logged.
type written struct {
	mu   sync.Mutex
	log  bytes.Buffer
	more chan struct{}
}

func newWritten() *written { return &written{more: make(chan struct{})} }

// add logs a text now.
func (w *written) add(text string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.log.WriteString(criLog(time.Now(), text))
	close(w.more)
	w.more = make(chan struct{})
}

// from gives what was logged from a position on, and what is closed when there
// is more.
func (w *written) from(at int64) (string, <-chan struct{}) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return string(w.log.Bytes()[at:]), w.more
}

// FollowLog implements agent.Runtime.
func (r *Runtime) FollowLog(_ context.Context, id agent.ContainerID) (agent.LogFollower, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, c := range r.containers {
		if c.Name == id.Container && c.Attempt == id.Attempt && !c.StartedAt.IsZero() {
			text, _ := c.written.from(0)
			return &follower{written: c.written, part: strings.NewReader(text), end: int64(len(text))}, nil
		}
	}
	return nil, fs.ErrNotExist
}

// follower reads a log part by part.
type follower struct {
	written *written
	part    *strings.Reader
	end     int64
}

func (f *follower) Read(p []byte) (int, error) { return f.part.Read(p) }

func (f *follower) Seek(offset int64, whence int) (int64, error) { return f.part.Seek(offset, whence) }

func (f *follower) Close() error { return nil }

// More implements agent.LogFollower.
func (f *follower) More(ctx context.Context, ended <-chan struct{}) error {
	over := false
	for {
		text, more := f.written.from(f.end)
		switch {
		case text != "":
			f.part, f.end = strings.NewReader(text), f.end+int64(len(text))
			return nil
		case over:
			return io.EOF
		}
		select {
		case <-more:
		case <-ended:
			over = true
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
