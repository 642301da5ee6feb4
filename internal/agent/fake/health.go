package fake

import (
	"io"
	"net"
	"net/http"
	"sync"

	"google.golang.org/grpc"
	"google.golang.org/grpc/health"
	"google.golang.org/grpc/health/grpc_health_v1"
)

// http2Preface is how a client of HTTP/2, as gRPC's is, begins (RFC 9113, 3.4).
const http2Preface = "PRI * HTTP/2.0"

// answerHealth serves the gRPC health protocol on a connection until that ends:
// every service serves where HTTP would be answered with success.
func answerHealth(conn net.Conn, code int) {
	checker := health.NewServer()
	if code >= http.StatusBadRequest {
		checker.SetServingStatus("", grpc_health_v1.HealthCheckResponse_NOT_SERVING)
	}
	server := grpc.NewServer()
	grpc_health_v1.RegisterHealthServer(server, checker)
	listener := &singleListener{conn: conn, ended: make(chan struct{})}
	// It ends with the only connection.
	_ = server.Serve(listener)
	server.Stop()
}

// singleListener has one connection, and ends with it.
type singleListener struct {
	conn  net.Conn
	taken bool
	end   sync.Once
	ended chan struct{}
}

// Accept implements net.Listener.
func (l *singleListener) Accept() (net.Conn, error) {
	if !l.taken {
		l.taken = true
		return &lastConn{l.conn, l}, nil
	}
	<-l.ended
	return nil, net.ErrClosed
}

// Close implements net.Listener.
func (l *singleListener) Close() error {
	l.end.Do(func() { close(l.ended) })
	return nil
}

// Addr implements net.Listener.
func (l *singleListener) Addr() net.Addr { return l.conn.LocalAddr() }

// lastConn ends its listener when it is closed.
type lastConn struct {
	net.Conn
	listener *singleListener
}

// Close implements net.Conn.
func (c *lastConn) Close() error {
	defer c.listener.Close()
	return c.Conn.Close()
}

// readConn is a connection of which a reader has had the beginning.
type readConn struct {
	net.Conn
	reader io.Reader
}

// Read implements net.Conn.
func (c *readConn) Read(p []byte) (int, error) { return c.reader.Read(p) }
