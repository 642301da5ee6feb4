package hangup

import (
	"crypto/tls"
	"net"
	"testing"
	"time"
)

func pair(t *testing.T) (near, far net.Conn) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	if near, err = net.Dial("tcp", listener.Addr().String()); err != nil {
		t.Fatal(err)
	}
	if far, err = listener.Accept(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { near.Close(); far.Close() })
	return near, far
}

// However a client goes, it is noticed, though nobody reads what it has sent.
func TestWatch(t *testing.T) {
	for name, leave := range map[string]func(*net.TCPConn) error{
		"closed":      (*net.TCPConn).Close,
		"half closed": (*net.TCPConn).CloseWrite,
		"reset": func(conn *net.TCPConn) error {
			if err := conn.SetLinger(0); err != nil {
				return err
			}
			return conn.Close()
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			near, far := pair(t)
			gone := make(chan struct{})
			// As a server has it, inside TLS.
			defer Watch(tls.Server(near, &tls.Config{MinVersion: tls.VersionTLS12}), func() { close(gone) })()
			if _, err := far.Write([]byte("unread")); err != nil {
				t.Fatal(err)
			}
			if isGone(rawConn(near)) {
				t.Error("it is taken for gone while it is there")
			}
			if err := leave(far.(*net.TCPConn)); err != nil {
				t.Fatal(err)
			}
			select {
			case <-gone:
			case <-time.After(time.Minute):
				t.Error("nobody has noticed")
			}
		})
	}
}

func TestNoSocket(t *testing.T) {
	near, far := net.Pipe()
	stop := Watch(near, func() { t.Error("it is taken for gone") })
	far.Close()
	stop()
	stop()
}
