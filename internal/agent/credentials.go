package agent

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"
)

// Credentials are what an agent serves with.
type Credentials interface {
	// TLS answers the configuration for a new connection.
	TLS() (*tls.Config, error)
}

// PEM are credentials that do not change.
type PEM struct {
	// CA holds the authorities of client certificates, Certificate the agent's
	// chain, leaf first, Key its private key.
	CA, Certificate, Key []byte
}

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

// The names of the credentials' files, the same in every cell.
const (
	caFile          = "ca.crt"
	certificateFile = "server.crt"
	keyFile         = "server.key"
)

// CredentialFiles are the names of the files that Files reads.
func CredentialFiles() []string {
	return []string{caFile, certificateFile, keyFile}
}

// Files are credentials in a directory. They are read again when a file has
// changed; as long as what is found then is not usable, the last ones stay.
type Files struct {
	dir string

	mu     sync.Mutex
	config *tls.Config
	stamps [3]stamp
}

type stamp struct {
	modified time.Time
	size     int64
}

// NewFiles reads the directory for the first time.
func NewFiles(dir string) (*Files, error) {
	f := &Files{dir: dir}
	if err := f.load(); err != nil {
		return nil, err
	}
	return f, nil
}

// TLS implements Credentials.
func (f *Files) TLS() (*tls.Config, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if stamps, err := f.stat(); err == nil && stamps != f.stamps {
		// Half a renewal fails to load; the next connection finds the rest.
		_ = f.load()
	}
	return f.config, nil
}

func (f *Files) load() error {
	stamps, err := f.stat()
	if err != nil {
		return fmt.Errorf("looking for credentials: %w", err)
	}
	var content [3][]byte
	for i, name := range CredentialFiles() {
		if content[i], err = os.ReadFile(filepath.Join(f.dir, name)); err != nil {
			return fmt.Errorf("reading credentials: %w", err)
		}
	}
	config, err := PEM{CA: content[0], Certificate: content[1], Key: content[2]}.TLS()
	if err != nil {
		return err
	}
	f.config, f.stamps = config, stamps
	return nil
}

func (f *Files) stat() (stamps [3]stamp, err error) {
	for i, name := range CredentialFiles() {
		info, err := os.Stat(filepath.Join(f.dir, name))
		if err != nil {
			return stamps, err
		}
		stamps[i] = stamp{info.ModTime(), info.Size()}
	}
	return stamps, nil
}
