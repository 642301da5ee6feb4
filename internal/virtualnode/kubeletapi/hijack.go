package kubeletapi

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"net"
	"net/http"
	"sync"
	"time"

	"kip.elotl.co/internal/hangup"
)

// A stream without traffic ends after streamIdleTimeout, the kubelet's.
const streamIdleTimeout = 4 * time.Hour

// errClientGone is why a stream's context ends where nobody is left to be told.
var errClientGone = errors.New("the client is gone")

// errNodeGone is why the streams of a node end with it.
var errNodeGone = errors.New("the virtual node is gone")

// errEnding is why all streams end with the server, as their clients are told.
var errEnding = errors.New("this replica of the operator ends: ask again")

// serveUpgraded calls serve, which takes the connection over. The request's
// context ends with errClientGone when the client is gone, also while serve
// neither writes to it nor waits for it, and with errEnding when the server ends;
// and the connection is closed when the client is gone or serve returns, whatever
// serve has done. The server waits for that, within bounds.
func (s *Server) serveUpgraded(w http.ResponseWriter, r *http.Request, serve func(http.ResponseWriter, *http.Request)) {
	defer s.streams.enter()()
	ctx, cancel := context.WithCancelCause(r.Context())
	watched := &watchedWriter{ResponseWriter: w}
	watched.gone = func() {
		cancel(errClientGone)
		watched.close()
	}
	defer watched.close()
	defer cancel(nil)
	serve(watched, r.WithContext(ctx))
}

// streamCount counts the streams that there are.
type streamCount struct {
	mu   sync.Mutex
	n    int
	none chan struct{} // closed when there are none; nil where nobody waits
}

// enter counts a stream until leave is called.
func (c *streamCount) enter() (leave func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.n++
	return func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		if c.n--; c.n == 0 && c.none != nil {
			close(c.none)
			c.none = nil
		}
	}
}

// wait returns when there are none, or ctx ends.
func (c *streamCount) wait(ctx context.Context) {
	c.mu.Lock()
	if c.n == 0 {
		c.mu.Unlock()
		return
	}
	if c.none == nil {
		c.none = make(chan struct{})
	}
	none := c.none
	c.mu.Unlock()
	select {
	case <-none:
	case <-ctx.Done():
	}
}

// ofStream is what a stream ended with: nothing where nobody is left to be told,
// and why the server ended it where that is so.
func ofStream(ctx context.Context, err error) error {
	switch cause := context.Cause(ctx); {
	case cause == nil:
		return err
	case errors.Is(cause, errEnding), errors.Is(cause, errNodeGone):
		return cause
	}
	return nil
}

// watchedWriter gives away a connection that tells of its end.
type watchedWriter struct {
	http.ResponseWriter
	gone func()

	mu     sync.Mutex
	closed bool
	conn   net.Conn
	stop   func() // ends the watch
}

func (w *watchedWriter) close() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.conn != nil && !w.closed {
		w.stop()
		w.conn.Close()
	}
	w.closed = true
}

// Hijack implements http.Hijacker.
func (w *watchedWriter) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	conn, buffered, err := http.NewResponseController(w.ResponseWriter).Hijack()
	if err != nil {
		return nil, nil, err
	}
	ahead, err := buffered.Peek(buffered.Reader.Buffered())
	if err != nil {
		return nil, nil, err
	}
	taken := &watchedConn{Conn: conn, ahead: bytes.Clone(ahead), gone: w.gone}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed {
		conn.Close()
		return nil, nil, errClientGone
	}
	w.conn, w.stop = taken, hangup.Watch(conn, w.gone)
	return taken, bufio.NewReadWriter(bufio.NewReader(taken), bufio.NewWriter(taken)), nil
}

type watchedConn struct {
	net.Conn
	ahead []byte
	gone  func()
}

func (c *watchedConn) Read(p []byte) (int, error) {
	if len(c.ahead) > 0 {
		n := copy(p, c.ahead)
		c.ahead = c.ahead[n:]
		return n, nil
	}
	n, err := c.Conn.Read(p)
	if err != nil {
		c.gone()
	}
	return n, err
}
