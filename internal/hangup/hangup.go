// Package hangup notices that the other end of a connection is gone.
package hangup

import (
	"net"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// every is how often a connection is looked at.
const every = time.Second

// Watch calls gone when the other end has closed its side of a TCP connection, or
// cannot be reached, also while there is something that nobody reads: then a read
// would not tell. It is for protocols in which nobody closes one side only. Of a
// connection that is not TCP nothing is noticed. The caller calls stop.
func Watch(conn net.Conn, gone func()) (stop func()) {
	raw := rawConn(conn)
	if raw == nil {
		return func() {}
	}
	stopped := make(chan struct{})
	go func() {
		ticker := time.NewTicker(every)
		defer ticker.Stop()
		for {
			select {
			case <-ticker.C:
				if isGone(raw) {
					gone()
					return
				}
			case <-stopped:
				return
			}
		}
	}()
	return sync.OnceFunc(func() { close(stopped) })
}

// rawConn is what carries the connection; nil where that is no socket.
func rawConn(conn net.Conn) syscall.RawConn {
	for {
		wrapped, ok := conn.(interface{ NetConn() net.Conn })
		if !ok {
			break
		}
		conn = wrapped.NetConn()
	}
	socket, ok := conn.(syscall.Conn)
	if !ok {
		return nil
	}
	raw, err := socket.SyscallConn()
	if err != nil {
		return nil // it is closed already
	}
	return raw
}

// isGone asks the kernel without waiting. A connection that was closed here is
// gone too.
func isGone(raw syscall.RawConn) bool {
	gone := false
	err := raw.Control(func(fd uintptr) {
		ask := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLRDHUP}}
		n, err := unix.Poll(ask, 0)
		gone = err == nil && n > 0 && ask[0].Revents&(unix.POLLRDHUP|unix.POLLHUP|unix.POLLERR) != 0
	})
	return gone || err != nil
}
