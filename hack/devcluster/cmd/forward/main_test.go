package main

import (
	"bytes"
	"context"
	"io"
	"net"
	"testing"
)

// upstream accepts connections and hands them to handle.
func upstream(t *testing.T, handle func(*net.TCPConn)) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go handle(conn.(*net.TCPConn))
		}
	}()
	return l.Addr().String()
}

// forwarder serves on two addresses and returns them.
func forwarder(t *testing.T, to string) []string {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	listeners, err := listenAll(ctx, []string{"127.0.0.1:0", "127.0.0.2:0"})
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error)
	go func() { done <- serve(ctx, listeners, to) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return []string{listeners[0].Addr().String(), listeners[1].Addr().String()}
}

func dial(t *testing.T, address string) *net.TCPConn {
	t.Helper()
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn.(*net.TCPConn)
}

func TestForwardBothWays(t *testing.T) {
	// Answers only once the request has ended: the end of one direction must pass while the other stays open.
	to := upstream(t, func(c *net.TCPConn) {
		defer c.Close()
		request, err := io.ReadAll(c)
		if err != nil {
			return
		}
		_, _ = c.Write(append([]byte("got "), request...))
	})
	request := bytes.Repeat([]byte("0123456789"), 100_000)
	for _, address := range forwarder(t, to) {
		conn := dial(t, address)
		if _, err := conn.Write(request); err != nil {
			t.Fatal(err)
		}
		if err := conn.CloseWrite(); err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(conn)
		if err != nil {
			t.Fatal(err)
		}
		if want := append([]byte("got "), request...); !bytes.Equal(got, want) {
			t.Errorf("%s: answer of %d bytes, want %d", address, len(got), len(want))
		}
	}
}

func TestForwardEndsWhenUpstreamIsAway(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	away := l.Addr().String()
	l.Close()
	conn := dial(t, forwarder(t, away)[0])
	if n, err := conn.Read(make([]byte, 1)); err == nil {
		t.Errorf("read %d bytes from nobody", n)
	}
}

func TestForwardEndsWhenTheClientBreaksOff(t *testing.T) {
	ended := make(chan error, 1)
	to := upstream(t, func(c *net.TCPConn) {
		defer c.Close()
		_, err := io.Copy(io.Discard, c)
		ended <- err
	})
	conn := dial(t, forwarder(t, to)[0])
	if err := conn.SetLinger(0); err != nil { // a reset instead of an orderly end
		t.Fatal(err)
	}
	if err := conn.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-ended; err != nil {
		t.Logf("the other end: %v", err) // of a reset
	}
}

func TestRunRefuses(t *testing.T) {
	for name, args := range map[string][]string{
		"no listener":         {"-to", "127.0.0.1:1"},
		"no target":           {"-listen", "127.0.0.1:0"},
		"unknown flag":        {"-nonsense"},
		"address not usable":  {"-to", "127.0.0.1:1", "-listen", "127.0.0.1:0", "-listen", "nonsense"},
		"address taken twice": {"-to", "127.0.0.1:1", "-listen", taken(t)},
	} {
		if err := run(t.Context(), args); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

func taken(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l.Addr().String()
}
