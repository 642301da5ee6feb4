package freebind

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"strconv"
)

// Ports are chosen below the kernel's usual range for outgoing connections (from 32768), so that none of those sits on a port of ours when
// its owner is started again, and below NodePorts (from 30000).
const firstPort, lastPort = 10240, 29999

// Port finds a TCP port that nobody listens on at any of the addresses.
func Port(ctx context.Context, ips ...net.IP) (int, error) {
	const tries = 1000
	for range tries {
		if port := firstPort + rand.IntN(lastPort-firstPort+1); Free(ctx, port, ips...) {
			return port, nil
		}
	}
	return 0, fmt.Errorf("no free port between %d and %d", firstPort, lastPort)
}

// Free tells whether nobody listens on the port at any of the addresses.
func Free(ctx context.Context, port int, ips ...net.IP) bool {
	for _, ip := range ips {
		l, err := Listen(ctx, net.JoinHostPort(ip.String(), strconv.Itoa(port)))
		if err != nil {
			return false
		}
		l.Close()
	}
	return true
}
