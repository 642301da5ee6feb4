package itzo

import (
	"context"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"time"
)

func (c *Config) tls(protocols ...string) *tls.Config {
	return &tls.Config{
		MinVersion:           tls.VersionTLS12,
		ServerName:           c.ServerName,
		RootCAs:              c.Roots(),
		GetClientCertificate: c.GetClientCertificate,
		NextProtos:           protocols,
	}
}

// dialTLS connects and waits until the agent has accepted our certificate. With
// TLS 1.3 the handshake is over for us before the agent has looked at it; what
// we then sent would race with the alert and hide why it failed.
func (c *Config) dialTLS(ctx context.Context, network, address string) (net.Conn, error) {
	return c.dialFor(ctx, network, address, "h2", "http/1.1")
}

func (c *Config) dialFor(ctx context.Context, network, address string, protocols ...string) (net.Conn, error) {
	raw, err := c.Dial(ctx, network, address)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, c.TLSTimeout)
	defer cancel()
	peeked := &peekedConn{Conn: raw}
	conn := tls.Client(peeked, c.tls(protocols...))
	if err := conn.HandshakeContext(ctx); err != nil {
		raw.Close()
		return nil, fmt.Errorf("TLS handshake: %w", err)
	}
	stop := context.AfterFunc(ctx, func() { _ = raw.SetReadDeadline(time.Unix(1, 0)) })
	err = peeked.awaitAcceptance(conn)
	if !stop() && err == nil {
		err = ctx.Err()
	}
	if err != nil {
		raw.Close()
		return nil, fmt.Errorf("TLS handshake: %w", err)
	}
	return conn, nil
}

// peekedConn gives back what was read ahead.
type peekedConn struct {
	net.Conn
	ahead []byte
}

func (p *peekedConn) Read(b []byte) (int, error) {
	if len(p.ahead) > 0 {
		n := copy(b, p.ahead)
		p.ahead = p.ahead[n:]
		return n, nil
	}
	return p.Conn.Read(b)
}

// The shape of TLS records (RFC 8446, 5.1 and 5.2). An encrypted alert is two
// bytes, the type that is hidden in the record, and the cipher's tag.
const (
	recordHeader  = 5
	recordAlert   = 21
	recordData    = 23
	alertInRecord = 2 + 1 + 16
)

// awaitAcceptance reads the header of the first record after the handshake. A
// server that speaks HTTP/2 always sends one unasked, its settings, and those
// are longer than an alert. With HTTP/1.1 it says nothing until it is asked.
func (p *peekedConn) awaitAcceptance(conn *tls.Conn) error {
	state := conn.ConnectionState()
	if state.Version < tls.VersionTLS13 || state.NegotiatedProtocol != "h2" {
		return nil
	}
	header := make([]byte, recordHeader)
	if _, err := io.ReadFull(p.Conn, header); err != nil {
		return err
	}
	p.ahead = header
	length := binary.BigEndian.Uint16(header[3:])
	if header[0] != recordAlert && (header[0] != recordData || length != alertInRecord) {
		return nil
	}
	if _, err := conn.Read(make([]byte, 1)); err != nil {
		return err
	}
	return errors.New("unexpected record from the agent")
}
