package agent

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
)

// Credentials are what an agent serves with.
type Credentials interface {
	// TLS answers the configuration for a new connection.
	TLS() (*tls.Config, error)
}

// Renewable are credentials that others can take the place of.
type Renewable interface {
	Credentials
	// Replace refuses what cannot succeed the present ones by an error that wraps
	// ErrBadCredentials. What it has taken is in force for the next connection,
	// and after a restart.
	Replace(next PEM) error
}

// PEM are credentials that do not change.
type PEM struct {
	// CA holds the authorities of client certificates, Certificate the agent's
	// chain, leaf first, Key its private key.
	CA          []byte `json:"ca"`
	Certificate []byte `json:"certificate"`
	Key         []byte `json:"key"`
}

// String says nothing of the key.
func (p PEM) String() string { return "credentials of an agent" }

// GoString says nothing of the key.
func (p PEM) GoString() string { return p.String() }

// TLS implements Credentials.
func (p PEM) TLS() (*tls.Config, error) {
	pair, err := tls.X509KeyPair(p.Certificate, p.Key)
	if err != nil {
		return nil, fmt.Errorf("loading the agent's certificate: %w", err)
	}
	clients := x509.NewCertPool()
	if !clients.AppendCertsFromPEM(p.CA) {
		return nil, errors.New("loading the clients' authority: no certificate found")
	}
	return &tls.Config{
		MinVersion:       tls.VersionTLS12,
		Certificates:     []tls.Certificate{pair},
		ClientAuth:       tls.RequireAndVerifyClientCert,
		ClientCAs:        clients,
		VerifyConnection: requireClientUsage,
		NextProtos:       []string{"h2", "http/1.1"},
		// Every connection proves itself anew, against the authorities of now.
		SessionTicketsDisabled: true,
	}, nil
}

// requireClientUsage refuses certificates that are not explicitly for clients:
// the library takes those without any usage as well.
func requireClientUsage(state tls.ConnectionState) error {
	if !slices.Contains(state.PeerCertificates[0].ExtKeyUsage, x509.ExtKeyUsageClientAuth) {
		return errors.New("certificate is not for client authentication")
	}
	return nil
}
