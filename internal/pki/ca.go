// Package pki is the certificate authority between the operator and its cells.
//
// Only the authority itself is stored. What a cell gets is a function of the
// authority and of the cell's CellID, so that a launch that is repeated after
// a crash sends the same bytes, and no cell's key is kept anywhere. No error
// and no String of this package holds key material.
package pki

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"time"
)

const (
	caLifetime = 10 * 365 * 24 * time.Hour
	// backdate is how far before its making a certificate begins to be valid:
	// a cell's clock may be behind.
	backdate = 10 * time.Minute

	pemCertificate = "CERTIFICATE"
	pemSEC1        = "EC PRIVATE KEY"
	pemPKCS8       = "PRIVATE KEY"
)

// CA is a certificate authority. It may be used by several goroutines at once.
type CA struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

// NewCA makes an authority with a random P-256 key, valid for ten years.
func NewCA(now time.Time, commonName string) (*CA, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("making the CA's key: %w", err)
	}
	serial, err := randomSerial()
	if err != nil {
		return nil, err
	}
	notBefore := now.Add(-backdate)
	template := &x509.Certificate{
		SerialNumber:          serial,
		Subject:               pkix.Name{CommonName: commonName},
		NotBefore:             notBefore,
		NotAfter:              notBefore.Add(caLifetime),
		BasicConstraintsValid: true,
		IsCA:                  true,
		MaxPathLenZero:        true,
		KeyUsage:              x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, fmt.Errorf("signing the CA's certificate: %w", err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, fmt.Errorf("reading the CA's certificate back: %w", err)
	}
	return &CA{cert: cert, key: key}, nil
}

// ParseCA reads what CertificatePEM and KeyPEM gave; the key may also be
// PKCS#8. The error says which of the two is at fault, and why.
func ParseCA(certPEM, keyPEM []byte) (*CA, error) {
	cert, err := parseCertificate(certPEM)
	if err != nil {
		return nil, fmt.Errorf("CA certificate: %w", err)
	}
	key, err := parseKey(keyPEM)
	if err != nil {
		return nil, fmt.Errorf("CA key: %w", err)
	}
	if !key.PublicKey.Equal(cert.PublicKey) {
		return nil, errors.New("CA key: it is not the key of the CA certificate")
	}
	return &CA{cert: cert, key: key}, nil
}

func parseCertificate(data []byte) (*x509.Certificate, error) {
	block, err := onlyBlock(data, pemCertificate)
	if err != nil {
		return nil, err
	}
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return nil, err
	}
	if !cert.BasicConstraintsValid || !cert.IsCA {
		return nil, errors.New("it is not a CA's (basic constraints do not say CA:TRUE)")
	}
	if cert.KeyUsage&x509.KeyUsageCertSign == 0 {
		return nil, errors.New("its key usage lacks keyCertSign")
	}
	public, ok := cert.PublicKey.(*ecdsa.PublicKey)
	if !ok || public.Curve != elliptic.P256() {
		return nil, fmt.Errorf("its key is %s, want ECDSA P-256", cert.PublicKeyAlgorithm)
	}
	return cert, nil
}

func parseKey(data []byte) (*ecdsa.PrivateKey, error) {
	block, err := onlyBlock(data, pemSEC1, pemPKCS8)
	if err != nil {
		return nil, err
	}
	key, err := parseKeyDER(block)
	if err != nil {
		return nil, err
	}
	if key.Curve != elliptic.P256() {
		return nil, fmt.Errorf("it is on curve %s, want P-256", key.Curve.Params().Name)
	}
	return key, nil
}

// parseKeyDER drops the parsers' own errors: they may quote what they read.
func parseKeyDER(block *pem.Block) (*ecdsa.PrivateKey, error) {
	if block.Type == pemSEC1 {
		key, err := x509.ParseECPrivateKey(block.Bytes)
		if err != nil {
			return nil, errors.New("its content is not an EC private key in SEC1")
		}
		return key, nil
	}
	parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, errors.New("its content is not a private key in PKCS#8")
	}
	key, ok := parsed.(*ecdsa.PrivateKey)
	if !ok {
		return nil, fmt.Errorf("it is a %T, want an ECDSA key on P-256", parsed)
	}
	return key, nil
}

// onlyBlock decodes the one PEM block that data may hold. Its errors quote the
// names of the types that were wanted, never the data.
func onlyBlock(data []byte, types ...string) (*pem.Block, error) {
	if len(bytes.TrimSpace(data)) == 0 {
		return nil, errors.New("it is empty")
	}
	block, rest := pem.Decode(data)
	if block == nil {
		return nil, errors.New("it holds no PEM block")
	}
	if len(bytes.TrimSpace(rest)) != 0 {
		return nil, errors.New("it holds more than one PEM block, or text behind it")
	}
	for _, t := range types {
		if block.Type == t {
			return block, nil
		}
	}
	return nil, fmt.Errorf("it holds a PEM block of another type than %q", types)
}

// CertificatePEM is the authority's certificate.
func (ca *CA) CertificatePEM() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: pemCertificate, Bytes: ca.cert.Raw})
}

// KeyPEM is the authority's private key, SEC1 in PEM.
func (ca *CA) KeyPEM() ([]byte, error) { return encodeKey(ca.key) }

// Pool holds the authority's certificate and nothing else.
func (ca *CA) Pool() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(ca.cert)
	return pool
}

// NotAfter is when the authority ends; nothing that it signs lasts longer.
func (ca *CA) NotAfter() time.Time { return ca.cert.NotAfter }

// NotBefore is when the authority began.
func (ca *CA) NotBefore() time.Time { return ca.cert.NotBefore }

// ID names the authority: 16 hex digits of its certificate's SHA-256.
func (ca *CA) ID() string {
	sum := sha256.Sum256(ca.cert.Raw)
	return hex.EncodeToString(sum[:8])
}

// Authorities implements Source for an authority that is never replaced.
func (ca *CA) Authorities() Authorities { return Authorities{Current: ca} }

// String names the authority; it holds no key material.
func (ca *CA) String() string {
	return fmt.Sprintf("CA %q, valid until %s", ca.cert.Subject.CommonName, ca.cert.NotAfter.UTC().Format(time.RFC3339))
}

func encodeKey(key *ecdsa.PrivateKey) ([]byte, error) {
	der, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		return nil, fmt.Errorf("encoding a private key: %w", err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: pemSEC1, Bytes: der}), nil
}

// randomSerial gives a positive serial number of at most 127 bits.
func randomSerial() (*big.Int, error) {
	serial := make([]byte, 16)
	if _, err := rand.Read(serial); err != nil {
		return nil, fmt.Errorf("making a serial number: %w", err)
	}
	return toSerial(serial), nil
}

// toSerial makes a serial number of 16 bytes: positive and not zero
// (RFC 5280 §4.1.2.2).
func toSerial(b []byte) *big.Int {
	b[0] = b[0]&0x7f | 0x40
	return new(big.Int).SetBytes(b)
}
