package virtualnode

import (
	"errors"
	"net"
	"testing"
)

// threePorts are Ports with three that are free now.
func threePorts(t *testing.T) (*Ports, int32) {
	t.Helper()
	for first := int32(20000); first < 30000; first += 3 {
		ports := NewPorts("127.0.0.1", first, 3)
		t.Cleanup(ports.Close)
		all := true
		for port := first; port < first+3; port++ {
			got, err := ports.Keep(t.Context(), string(port), port, nil)
			all = all && err == nil && got == port
		}
		ports.Close()
		if all {
			return ports, first
		}
	}
	t.Fatal("no three ports are free")
	return nil, 0
}

func TestPorts(t *testing.T) {
	ports, first := threePorts(t)
	keep := func(node string, told int32, others ...int32) int32 {
		t.Helper()
		port, err := ports.Keep(t.Context(), node, told, others)
		if err != nil && !errors.Is(err, ErrNoPort) {
			t.Fatal(err)
		}
		return port - first
	}
	steps := []struct {
		what      string
		got, want int32
	}{
		{"the first that no other tells", keep("a", 0, first), 1},
		{"again", keep("a", first), 1},
		{"what it has told", keep("b", first+2), 2},
		{"what it has told is taken", keep("c", first+2), 0},
		{"none is left", keep("d", 0), -first},
	}
	for _, step := range steps {
		if step.got != step.want {
			t.Errorf("%s: got %d, want %d", step.what, step.got, step.want)
		}
	}
	ports.Drop("a")
	if got := keep("d", 1); got != 1 {
		t.Errorf("what it has told cannot be used, one is free: got %d", got)
	}
	if _, err := NewPorts("192.0.2.1", first, 3).Keep(t.Context(), "a", 0, nil); err == nil || errors.Is(err, ErrNoPort) {
		t.Errorf("an address of others: %v", err)
	}
}

// TestPortsAreServed: those that were there before, those that come, and none
// after the end.
func TestPortsAreServed(t *testing.T) {
	ports, _ := threePorts(t)
	served := map[string]net.Listener{}
	keep := func(node string) {
		t.Helper()
		if _, err := ports.Keep(t.Context(), node, 0, nil); err != nil {
			t.Fatal(err)
		}
	}
	keep("a")
	ports.Serve(func(node string, listener net.Listener) { served[node] = listener })
	keep("b")
	ports.Drop("a")
	if _, err := served["a"].Accept(); !errors.Is(err, net.ErrClosed) || len(served) != 2 {
		t.Errorf("%d are served, and of one that has gone %v", len(served), err)
	}
	ports.Close()
	if _, err := served["b"].Accept(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("after the end: %v", err)
	}
	keep("c")
	if served["c"] != nil {
		t.Error("one that came after the end is served")
	}
	ports.Close()
}
