// Package freebind listens on addresses that the machine may not have yet: the address of a virtual network that is made, removed and made
// again while those who listen on it go on.
package freebind

import (
	"context"
	"net"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// Listen is net.Listen for TCP with IP_FREEBIND set: address (host:port, the host an IP address) need not be one of the machine's.
func Listen(ctx context.Context, address string) (net.Listener, error) {
	lc := net.ListenConfig{Control: func(network, _ string, c syscall.RawConn) error {
		var optErr error
		err := c.Control(func(fd uintptr) { optErr = setFreebind(int(fd), network) })
		if err != nil {
			return err
		}
		return optErr
	}}
	return lc.Listen(ctx, "tcp", address)
}

func setFreebind(fd int, network string) error {
	if strings.HasSuffix(network, "6") {
		return unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_FREEBIND, 1)
	}
	return unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_FREEBIND, 1)
}
