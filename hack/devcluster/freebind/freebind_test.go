package freebind

import (
	"net"
	"testing"
)

func TestListen(t *testing.T) {
	// 192.0.2.0/24 and 2001:db8::/32 are for documentation: no machine has them.
	for _, address := range []string{"127.0.0.1:0", "192.0.2.1:0", "[2001:db8::1]:0"} {
		l, err := Listen(t.Context(), address)
		if err != nil {
			t.Errorf("%s: %v", address, err)
			continue
		}
		if _, err := Listen(t.Context(), l.Addr().String()); err == nil {
			t.Errorf("%s: listened on twice", l.Addr())
		}
		l.Close()
	}
	if l, err := Listen(t.Context(), "nonsense"); err == nil {
		l.Close()
		t.Error("listened on nonsense")
	}
}

func TestListenAccepts(t *testing.T) {
	l, err := Listen(t.Context(), "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	client, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	conn, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	conn.Close()
}
