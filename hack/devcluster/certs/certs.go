// Package certs keeps certificate authorities, the certificates they sign and their keys as PEM files in one directory: NAME.crt and
// NAME.key. What is there and still good is used again; what is missing, damaged, soon to expire or not as asked for is made anew.
// Keys are ECDSA on P-256, readable by their owner only.
package certs

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"math/big"
	"net"
	"path/filepath"
	"time"
)

const (
	caLife = 10 * 365 * 24 * time.Hour
	// caRenewal is how long before its end an authority is replaced: later than any leaf it could still sign would end.
	caRenewal   = leafLife + leafRenewal
	leafLife    = 365 * 24 * time.Hour
	leafRenewal = 30 * 24 * time.Hour
	// backdate lets a machine whose clock is behind, or was set back, use a new certificate.
	backdate = time.Hour
)

// Store is a directory of certificates and keys, seen at one moment.
type Store struct {
	dir string
	now time.Time
}

// NewStore returns the store in dir, which is created at the first writing. Validity is judged as of now.
func NewStore(dir string, now time.Time) Store { return Store{dir: dir, now: now} }

// CertFile is the path of a certificate in PEM.
func (s Store) CertFile(name string) string { return filepath.Join(s.dir, name+".crt") }

// KeyFile is the path of a private key in PEM (PKCS #8).
func (s Store) KeyFile(name string) string { return filepath.Join(s.dir, name+".key") }

// Authority is a certificate authority with its key.
type Authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

// Leaf says what a certificate is for.
type Leaf struct {
	CommonName string
	// Groups become the subject's organizations, which Kubernetes reads as groups.
	Groups   []string
	DNSNames []string
	IPs      []net.IP
	// Usages are the extended key usages.
	Usages []x509.ExtKeyUsage
}

// Authority returns the self-signed authority called name, made anew when less than 13 months of its ten years are left.
func (s Store) Authority(name string) (*Authority, error) {
	if cert, key, err := s.read(name); err == nil && cert.IsCA && cert.Subject.CommonName == name && s.lasts(cert, caRenewal) {
		return &Authority{cert: cert, key: key}, nil
	}
	template := &x509.Certificate{
		Subject:               pkix.Name{CommonName: name},
		NotBefore:             s.now.Add(-backdate),
		NotAfter:              s.now.Add(caLife),
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageCRLSign | x509.KeyUsageDigitalSignature,
		BasicConstraintsValid: true,
		IsCA:                  true,
	}
	cert, key, err := s.issue(name, template, nil)
	if err != nil {
		return nil, fmt.Errorf("making the authority %s: %w", name, err)
	}
	return &Authority{cert: cert, key: key}, nil
}

// Leaf makes sure that a certificate called name exists which ca signed as leaf asks, with at least 30 days of its year left.
func (s Store) Leaf(ca *Authority, name string, leaf Leaf) error {
	if cert, _, err := s.read(name); err == nil && s.lasts(cert, leafRenewal) && cert.CheckSignatureFrom(ca.cert) == nil && leaf.is(cert) {
		return nil
	}
	template := &x509.Certificate{
		Subject:               pkix.Name{CommonName: leaf.CommonName, Organization: leaf.Groups},
		DNSNames:              leaf.DNSNames,
		IPAddresses:           leaf.IPs,
		NotBefore:             s.now.Add(-backdate),
		NotAfter:              s.now.Add(leafLife),
		KeyUsage:              x509.KeyUsageDigitalSignature,
		ExtKeyUsage:           leaf.Usages,
		BasicConstraintsValid: true,
	}
	if _, _, err := s.issue(name, template, ca); err != nil {
		return fmt.Errorf("making the certificate %s: %w", name, err)
	}
	return nil
}

// SigningKey makes sure that a key pair called name exists, for signing tokens: NAME.key and NAME.pub. It is never replaced while it can
// be read, as everything it signed would become worthless.
func (s Store) SigningKey(name string) error {
	key, err := s.readKey(name)
	if err != nil {
		if key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
			return fmt.Errorf("making the key %s: %w", name, err)
		}
		if err := s.writeKey(name, key); err != nil {
			return fmt.Errorf("keeping the key %s: %w", name, err)
		}
	}
	public, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		return fmt.Errorf("encoding the public key %s: %w", name, err)
	}
	return writePEM(s.PublicKeyFile(name), "PUBLIC KEY", public, 0o644)
}

// PublicKeyFile is the path of a public key in PEM.
func (s Store) PublicKeyFile(name string) string { return filepath.Join(s.dir, name+".pub") }

func (s Store) lasts(cert *x509.Certificate, margin time.Duration) bool {
	return !s.now.Before(cert.NotBefore) && s.now.Add(margin).Before(cert.NotAfter)
}

// issue signs template with a new key, by ca or, when that is nil, by itself, and keeps both. The key comes first: a certificate without
// its key would be taken for good by those who look only at the certificate.
func (s Store) issue(name string, template *x509.Certificate, ca *Authority) (*x509.Certificate, *ecdsa.PrivateKey, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	if template.SerialNumber, err = rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120)); err != nil {
		return nil, nil, err
	}
	parent, signer := template, key
	if ca != nil {
		parent, signer = ca.cert, ca.key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), signer)
	if err != nil {
		return nil, nil, err
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, nil, err
	}
	if err := s.writeKey(name, key); err != nil {
		return nil, nil, err
	}
	return cert, key, writePEM(s.CertFile(name), "CERTIFICATE", der, 0o644)
}
