package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"

	certutil "k8s.io/client-go/util/cert"

	"kip.elotl.co/hack/dev"
)

// plainCopy moves bytes as streams do, by three TLS connections in a row with
// an io.Copy between two: kubectl's to the API server, the API server's to the
// operator, and the operator's to the cells' network.
type plainCopy struct {
	size      int64
	config    *tls.Config
	first     string
	listeners []net.Listener
}

func newPlainCopy(ctx context.Context, e dev.Environment, size int64) (*plainCopy, error) {
	network, err := e.Fabric()
	if err != nil {
		return nil, err
	}
	certificate, key, err := certutil.GenerateSelfSignedCertKey("bench", nil, nil)
	if err != nil {
		return nil, fmt.Errorf("making a certificate: %w", err)
	}
	pair, err := tls.X509KeyPair(certificate, key)
	if err != nil {
		return nil, err
	}
	p := &plainCopy{size: size, config: &tls.Config{Certificates: []tls.Certificate{pair}, InsecureSkipVerify: true}} //nolint:gosec // its own, for an hour
	far, err := network.Listen(ctx, "tcp4", net.JoinHostPort(network.Gateway().String(), "0"))
	if err != nil {
		return nil, err
	}
	p.serve(far, p.end)
	next := far.Addr().String()
	for range 2 {
		relay, err := (&net.ListenConfig{}).Listen(ctx, "tcp4", "127.0.0.1:0")
		if err != nil {
			return nil, errors.Join(err, p.Close())
		}
		p.serve(relay, p.relayTo(ctx, next))
		next = relay.Addr().String()
	}
	p.first = next
	return p, nil
}

// Close ends it.
func (p *plainCopy) Close() error {
	var errs []error
	for _, l := range p.listeners {
		errs = append(errs, l.Close())
	}
	return errors.Join(errs...)
}

func (p *plainCopy) serve(l net.Listener, handle func(net.Conn)) {
	l = tls.NewListener(l, p.config)
	p.listeners = append(p.listeners, l)
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go handle(conn)
		}
	}()
}

// What a connection is for: its first byte.
const giveMe, takeThis = 'g', 't'

// end is the far one: it gives as much as is asked for, or counts what comes
// and says so by a byte.
func (p *plainCopy) end(conn net.Conn) {
	defer conn.Close()
	what := make([]byte, 1)
	if _, err := io.ReadFull(conn, what); err != nil {
		return
	}
	if what[0] == giveMe {
		_, _ = io.CopyN(conn, zeros{}, p.size)
		return
	}
	if _, err := io.CopyN(io.Discard, conn, p.size); err == nil {
		_, _ = conn.Write(what)
	}
}

func (p *plainCopy) relayTo(ctx context.Context, next string) func(net.Conn) {
	return func(conn net.Conn) {
		defer conn.Close()
		onward, err := (&tls.Dialer{Config: p.config}).DialContext(ctx, "tcp4", next)
		if err != nil {
			return
		}
		defer onward.Close()
		go func() { _, _ = io.Copy(onward, conn) }()
		_, _ = io.Copy(conn, onward)
	}
}

// receive gets all that the far end has.
func (p *plainCopy) receive(ctx context.Context) (int64, error) {
	return p.size, p.ask(ctx, giveMe, func(conn net.Conn) error {
		n, err := io.Copy(io.Discard, conn)
		if err == nil && n != p.size {
			err = fmt.Errorf("got %d bytes, want %d", n, p.size)
		}
		return err
	})
}

// send gives the far end as much, and waits until it has it.
func (p *plainCopy) send(ctx context.Context) (int64, error) {
	return p.size, p.ask(ctx, takeThis, func(conn net.Conn) error {
		if _, err := io.CopyN(conn, zeros{}, p.size); err != nil {
			return err
		}
		_, err := io.ReadFull(conn, make([]byte, 1))
		return err
	})
}

func (p *plainCopy) ask(ctx context.Context, what byte, do func(net.Conn) error) error {
	conn, err := (&tls.Dialer{Config: p.config}).DialContext(ctx, "tcp4", p.first)
	if err != nil {
		return err
	}
	defer conn.Close()
	if _, err := conn.Write([]byte{what}); err != nil {
		return err
	}
	return do(conn)
}
