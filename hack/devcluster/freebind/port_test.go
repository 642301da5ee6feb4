package freebind

import (
	"net"
	"testing"
)

func TestPort(t *testing.T) {
	here := net.IPv4(127, 0, 0, 1)
	port, err := Port(t.Context(), here, net.IPv4(192, 0, 2, 1))
	if err != nil {
		t.Fatal(err)
	}
	if port < firstPort || port > lastPort {
		t.Errorf("port %d is not between %d and %d", port, firstPort, lastPort)
	}
}

func TestFree(t *testing.T) {
	l, err := Listen(t.Context(), "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	taken := l.Addr().(*net.TCPAddr)
	if Free(t.Context(), taken.Port, net.IPv4(192, 0, 2, 1), taken.IP) {
		t.Errorf("%s is listened on, yet called free", taken)
	}
	if !Free(t.Context(), taken.Port, net.IPv4(192, 0, 2, 1)) {
		t.Errorf("port %d is called taken at an address where nobody listens", taken.Port)
	}
}
