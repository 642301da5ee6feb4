package errtext_test

import (
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"syscall"
	"testing"
	"time"

	"kip.elotl.co/internal/errtext"
)

func address(port int) *net.TCPAddr { return &net.TCPAddr{IP: net.IPv4(10, 0, 0, 5), Port: port} }

func reset(localPort int) error {
	return &net.OpError{Op: "read", Net: "tcp", Source: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: localPort}, Addr: address(6421),
		Err: &os.SyscallError{Syscall: "read", Err: syscall.ECONNRESET}}
}

func expired(now time.Time) error {
	certificate := &x509.Certificate{NotBefore: time.Unix(0, 0), NotAfter: time.Unix(3600, 0)}
	return x509.CertificateInvalidError{Cert: certificate, Reason: x509.Expired, Detail: "current time " + now.String()}
}

func TestOf(t *testing.T) {
	tests := map[string]struct {
		err  error
		want string
	}{
		"none":  {nil, ""},
		"plain": {errors.New("no such thing"), "no such thing"},
		"wrapped deeply": {
			fmt.Errorf("sending volume %q: %w", "v", &url.Error{Op: "Post", URL: "https://10.0.0.5:6421/x", Err: fmt.Errorf("TLS handshake: %w", reset(43210))}),
			`sending volume "v": Post "https://10.0.0.5:6421/x": TLS handshake: read tcp 10.0.0.5:6421: read: connection reset by peer`,
		},
		"dial": {
			&net.OpError{Op: "dial", Net: "tcp", Addr: address(6421), Err: &os.SyscallError{Syscall: "connect", Err: syscall.ECONNREFUSED}},
			"dial tcp 10.0.0.5:6421: connect: connection refused",
		},
		"alert":  {&net.OpError{Op: "remote error", Err: errors.New("tls: bad certificate")}, "remote error: tls: bad certificate"},
		"nested": {&net.OpError{Op: "proxy", Net: "tcp", Addr: address(1), Err: reset(1)}, "proxy tcp 10.0.0.5:1: read tcp 10.0.0.5:6421: read: connection reset by peer"},
		"expired": {
			fmt.Errorf("TLS handshake: %w", expired(time.Now())),
			"TLS handshake: x509: certificate is valid only from 1970-01-01T00:00:00Z to 1970-01-01T01:00:00Z",
		},
		"expired, certificate unknown": {x509.CertificateInvalidError{Reason: x509.NotAuthorizedToSign}, x509.CertificateInvalidError{Reason: x509.NotAuthorizedToSign}.Error()},
	}
	for name, test := range tests {
		if got := errtext.Of(test.err); got != test.want {
			t.Errorf("%s: %q, want %q", name, got, test.want)
		}
	}
}

func TestSameCauseSameText(t *testing.T) {
	now := time.Now()
	for name, pair := range map[string][2]error{
		"another local port": {fmt.Errorf("asking: %w", reset(43210)), fmt.Errorf("asking: %w", reset(43211))},
		"another time":       {fmt.Errorf("asking: %w", expired(now)), fmt.Errorf("asking: %w", expired(now.Add(time.Hour)))},
	} {
		if pair[0].Error() == pair[1].Error() {
			t.Errorf("%s: the errors themselves do not differ", name)
		}
		if first, second := errtext.Of(pair[0]), errtext.Of(pair[1]); first != second {
			t.Errorf("%s: %q and %q", name, first, second)
		}
	}
}

// A connection that breaks in earnest.
func TestBrokenConnection(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	breakOne := func() string {
		dialer := net.Dialer{}
		conn, err := dialer.DialContext(t.Context(), "tcp", listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		if err := conn.SetReadDeadline(time.Unix(1, 0)); err != nil {
			t.Fatal(err)
		}
		_, err = conn.Read(make([]byte, 1))
		return errtext.Of(err)
	}
	want := "read tcp " + listener.Addr().String() + ": i/o timeout"
	if first, second := breakOne(), breakOne(); first != want || second != want {
		t.Errorf("%q and %q, want %q", first, second, want)
	}
}
