package kubeletapi

import (
	"bufio"
	"bytes"
	"context"
	"net"
	"net/http"
	"sync"
	"time"

	"kip.elotl.co/internal/hangup"
)

// A stream without traffic ends after streamIdleTimeout, the kubelet's.
const streamIdleTimeout = 4 * time.Hour

// serveUpgraded calls serve, which takes the connection over. The request's
// context ends when the client is gone, also while serve neither writes to it nor
// waits for it; and the connection is closed when the context ends or serve
// returns, whatever serve has done.
func serveUpgraded(w http.ResponseWriter, r *http.Request, serve func(http.ResponseWriter, *http.Request)) {
	ctx, cancel := context.WithCancel(r.Context())
	watched := &watchedWriter{ResponseWriter: w, gone: cancel}
	defer watched.close()
	defer cancel()
	defer context.AfterFunc(ctx, watched.close)()
	serve(watched, r.WithContext(ctx))
}

// watchedWriter gives away a connection that tells of its end.
type watchedWriter struct {
	http.ResponseWriter
	gone context.CancelFunc

	mu   sync.Mutex
	conn net.Conn
	stop func() // ends the watch
}

func (w *watchedWriter) close() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.conn != nil {
		w.stop()
		w.conn.Close()
	}
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
	w.conn, w.stop = taken, hangup.Watch(conn, w.gone)
	return taken, bufio.NewReadWriter(bufio.NewReader(taken), bufio.NewWriter(taken)), nil
}

type watchedConn struct {
	net.Conn
	ahead []byte
	gone  context.CancelFunc
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
