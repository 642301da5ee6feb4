package itzo

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
)

// SetCredentials has the agent serve with other credentials from the next
// connection on; it has them on disk when this returns nil. The same ones may
// be sent again. A StatusError with code 400 says what is wrong with them, one
// with code 404 that the agent takes none (FeatureCredentials).
func (c *Client) SetCredentials(ctx context.Context, request CredentialsRequest) error {
	if err := c.postJSON(ctx, "kip/credentials", request); err != nil {
		return fmt.Errorf("giving agent new credentials: %w", err)
	}
	return nil
}

// Handshake makes a connection of its own, as a new one is made for requests,
// and gives the certificate by which the agent proves itself on it.
func (c *Client) Handshake(ctx context.Context) (*x509.Certificate, error) {
	ctx, cancel := c.timeout(ctx)
	defer cancel()
	conn, err := c.config.dialTLS(ctx, "tcp", c.config.Address)
	if err != nil {
		return nil, fmt.Errorf("connecting to agent: %w", err)
	}
	defer conn.Close()
	return conn.(*tls.Conn).ConnectionState().PeerCertificates[0], nil
}
