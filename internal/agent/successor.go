package agent

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	"kip.elotl.co/internal/itzo"
)

// ErrBadCredentials is wrapped by errors about new credentials that are refused.
var ErrBadCredentials = errors.New("refused")

const (
	maxCredentialsBody = 64 << 10
	// maxAuthorities is how many authorities an agent trusts at most.
	maxAuthorities = 8
)

// setCredentials takes what the agent is to serve with from now on.
func (a *Agent) setCredentials(w http.ResponseWriter, r *http.Request) error {
	renewable := a.renewable()
	if renewable == nil {
		return refuse(http.StatusNotFound, "the credentials of this agent cannot be replaced")
	}
	var request itzo.CredentialsRequest
	err := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxCredentialsBody)).Decode(&request)
	if tooLarge := (*http.MaxBytesError)(nil); errors.As(err, &tooLarge) {
		return err
	}
	if err != nil { // it may quote a key
		return badRequest("decoding credentials: the body is not a JSON object with texts caCertificates, certificate and key")
	}
	err = renewable.Replace(PEM{
		CA: []byte(request.CACertificates), Certificate: []byte(request.Certificate), Key: []byte(request.Key),
	})
	if errors.Is(err, ErrBadCredentials) {
		return badRequest("%v", err)
	}
	return err
}

// renewable is nil where what the agent serves with cannot be replaced.
func (a *Agent) renewable() Renewable {
	a.mu.Lock()
	defer a.mu.Unlock()
	r, _ := a.credentials.(Renewable)
	return r
}

// checkSuccessor refuses credentials with which this cell could not be reached
// any more as what it is: they must be complete and valid now, and for all
// names that the cell has. Its errors quote no key.
func checkSuccessor(present *tls.Config, next PEM, now time.Time) error {
	pair, err := tls.X509KeyPair(next.Certificate, next.Key)
	if err != nil {
		return fmt.Errorf("%w: certificate and key: %w", ErrBadCredentials, err)
	}
	roots, err := parseAuthorities(next.CA)
	if err != nil {
		return fmt.Errorf("%w: caCertificates: %w", ErrBadCredentials, err)
	}
	between := x509.NewCertPool()
	for _, der := range pair.Certificate[1:] {
		certificate, err := x509.ParseCertificate(der)
		if err != nil {
			return fmt.Errorf("%w: certificate: %w", ErrBadCredentials, err)
		}
		between.AddCert(certificate)
	}
	options := x509.VerifyOptions{
		Roots: roots, Intermediates: between, CurrentTime: now, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	if _, err := pair.Leaf.Verify(options); err != nil {
		return fmt.Errorf("%w: certificate: %w", ErrBadCredentials, err)
	}
	for _, name := range present.Certificates[0].Leaf.DNSNames {
		if err := pair.Leaf.VerifyHostname(name); err != nil {
			return fmt.Errorf("%w: certificate: it is not this cell's: %w", ErrBadCredentials, err)
		}
	}
	return nil
}

// parseAuthorities reads PEM that holds certificates of authorities and
// nothing else.
func parseAuthorities(data []byte) (*x509.CertPool, error) {
	pool, n := x509.NewCertPool(), 0
	for block, rest := pem.Decode(data); block != nil; block, rest = pem.Decode(rest) {
		certificate, err := x509.ParseCertificate(block.Bytes)
		if block.Type != "CERTIFICATE" || err != nil || !certificate.IsCA {
			return nil, errors.New("there is something else in it than certificates of authorities")
		}
		if n++; n > maxAuthorities {
			return nil, fmt.Errorf("it holds more than %d certificates", maxAuthorities)
		}
		pool.AddCert(certificate)
	}
	if n == 0 {
		return nil, errors.New("it holds no certificate")
	}
	return pool, nil
}

// Memory are credentials that are gone with the process.
type Memory struct {
	mu     sync.Mutex
	config *tls.Config
}

// NewMemory begins with some.
func NewMemory(p PEM) (*Memory, error) {
	config, err := p.TLS()
	if err != nil {
		return nil, err
	}
	return &Memory{config: config}, nil
}

// TLS implements Credentials.
func (m *Memory) TLS() (*tls.Config, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.config, nil
}

// Replace implements Renewable.
func (m *Memory) Replace(next PEM) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := checkSuccessor(m.config, next, time.Now()); err != nil {
		return err
	}
	config, err := next.TLS()
	if err != nil {
		return err
	}
	m.config = config
	return nil
}
