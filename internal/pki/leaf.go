package pki

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/binary"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"strings"
	"time"
)

const (
	// LegacyName is the DNS name that the clients of the first Kip verify,
	// whichever cell they dial. Every cell's certificate carries it besides
	// its own.
	LegacyName = "MilpaNode"
	// CellDomain is the suffix of all cells' DNS names. The names stand in
	// certificates only; nothing resolves them.
	CellDomain = "cell.kip.elotl.co"
	// CellLifetime is how long a cell's certificate is valid after its
	// attempt's start.
	CellLifetime = 90 * 24 * time.Hour

	maxLabel = 63 // RFC 1035 §2.3.4

	// What separates the uses of HKDF over the CA's key, and the hash that
	// makes serial numbers. A change of either changes every cell's bytes.
	cellKeyDomain    = "kip.elotl.co/pki/cell-key/v1"
	cellSerialDomain = "kip.elotl.co/pki/cell-serial/v1"
	// The same for the certificates after a cell's first.
	renewedKeyDomain    = "kip.elotl.co/pki/renewed-key/v1"
	renewedSerialDomain = "kip.elotl.co/pki/renewed-serial/v1"
)

// CellID says which attempt to launch which cell a certificate is for.
type CellID struct {
	// UID is the Cell's: lower-case letters, digits and hyphens.
	UID     string
	Attempt int32
	// Start is the attempt's start time as stored in status; parts of a second
	// are ignored.
	Start time.Time
}

// DNSName is the cell's own name: <uid>-<attempt>.cell.kip.elotl.co.
func (id CellID) DNSName() string { return id.label() + "." + CellDomain }

func (id CellID) label() string { return fmt.Sprintf("%s-%d", id.UID, id.Attempt) }

func (id CellID) validate() error {
	if id.UID == "" {
		return errors.New("the cell has no UID")
	}
	if strings.Trim(id.UID, "abcdefghijklmnopqrstuvwxyz0123456789-") != "" || id.UID[0] == '-' {
		return fmt.Errorf("the UID %q cannot be part of a DNS name", id.UID)
	}
	if id.Attempt < 0 {
		return fmt.Errorf("attempt %d is negative", id.Attempt)
	}
	if n := len(id.label()); n > maxLabel {
		return fmt.Errorf("the DNS label %q has %d characters, at most %d are allowed", id.label(), n, maxLabel)
	}
	if id.Start.IsZero() {
		return errors.New("the attempt has no start time")
	}
	return nil
}

// bytes encodes the UID and the attempt so that no two pairs are alike.
func (id CellID) bytes() []byte {
	out := binary.BigEndian.AppendUint32(nil, uint32(len(id.UID)))
	out = append(out, id.UID...)
	return binary.BigEndian.AppendUint32(out, uint32(id.Attempt))
}

func (id CellID) start() time.Time { return id.Start.UTC().Truncate(time.Second) }

func (id CellID) serial() *big.Int {
	data := append([]byte(cellSerialDomain), id.bytes()...)
	data = binary.BigEndian.AppendUint64(data, uint64(id.start().Unix()))
	sum := sha256.Sum256(data)
	return toSerial(sum[:16])
}

// Renewal says which of the certificates of a cell is meant. The zero value is
// the first, which begins with the attempt.
type Renewal struct {
	// Number counts the certificates after the first from 1.
	Number int32
	// Start is when the renewal was decided on, as stored in status; parts of a
	// second are ignored.
	Start time.Time
}

func (r Renewal) validate() error {
	switch {
	case r.Number < 0:
		return fmt.Errorf("renewal %d is negative", r.Number)
	case r.Number > 0 && r.Start.IsZero():
		return errors.New("the renewal has no start time")
	}
	return nil
}

// issue is one certificate of a cell: where its key, its serial number and its
// dates come from.
type issue struct {
	keyInfo []byte
	serial  *big.Int
	start   time.Time
}

func (id CellID) issue(r Renewal) issue {
	if r.Number == 0 {
		return issue{append([]byte(cellKeyDomain), id.bytes()...), id.serial(), id.start()}
	}
	number := binary.BigEndian.AppendUint32(id.bytes(), uint32(r.Number))
	start := r.Start.UTC().Truncate(time.Second)
	data := append([]byte(renewedSerialDomain), number...)
	sum := sha256.Sum256(binary.BigEndian.AppendUint64(data, uint64(start.Unix())))
	return issue{append([]byte(renewedKeyDomain), number...), toSerial(sum[:16]), start}
}

// CellCertificate gives the first serving certificate of a cell and its key,
// both PEM, the key SEC1: the same bytes for the same authority and id. The
// certificate carries the names id.DNSName() and LegacyName, and is valid from
// ten minutes before id.Start until CellLifetime after it, but never longer
// than the authority. An error where id makes no DNS name, or the authority
// had ended at id.Start.
func (ca *CA) CellCertificate(id CellID) (certPEM, keyPEM []byte, err error) {
	return ca.RenewedCertificate(id, Renewal{})
}

// RenewedCertificate gives another certificate for the same names, with another
// key, whose dates follow from the renewal's start: the same bytes for the same
// authority, id and renewal.
func (ca *CA) RenewedCertificate(id CellID, renewal Renewal) (certPEM, keyPEM []byte, err error) {
	certPEM, keyPEM, err = ca.cellCertificate(id, renewal)
	if err != nil {
		return nil, nil, fmt.Errorf("certificate %d of cell %s: %w", renewal.Number, id.label(), err)
	}
	return certPEM, keyPEM, nil
}

func (ca *CA) cellCertificate(id CellID, renewal Renewal) (certPEM, keyPEM []byte, err error) {
	if err := errors.Join(id.validate(), renewal.validate()); err != nil {
		return nil, nil, err
	}
	issue := id.issue(renewal)
	key, err := ca.cellKey(issue.keyInfo)
	if err != nil {
		return nil, nil, err
	}
	der, err := ca.sign(&x509.Certificate{
		SerialNumber: issue.serial,
		NotBefore:    issue.start.Add(-backdate),
		NotAfter:     issue.start.Add(CellLifetime),
		DNSNames:     []string{id.DNSName(), LegacyName},
		ExtKeyUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}, &key.PublicKey)
	if err != nil {
		return nil, nil, err
	}
	keyPEM, err = encodeKey(key)
	if err != nil {
		return nil, nil, err
	}
	return pem.EncodeToMemory(&pem.Block{Type: pemCertificate, Bytes: der}), keyPEM, nil
}

// CellNotAfter is when a certificate ends that CellCertificate or
// RenewedCertificate makes with this start.
func (ca *CA) CellNotAfter(start time.Time) time.Time {
	end := start.UTC().Truncate(time.Second).Add(CellLifetime)
	if end.After(ca.cert.NotAfter) {
		return ca.cert.NotAfter
	}
	return end
}

// ClientCertificate makes a certificate with which the operator shows itself
// to agents. Its key is random and lives in memory only; it ends lifetime
// after now, but never later than the authority.
func (ca *CA) ClientCertificate(now time.Time, lifetime time.Duration) (tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("making a client key: %w", err)
	}
	serial, err := randomSerial()
	if err != nil {
		return tls.Certificate{}, err
	}
	der, err := ca.sign(&x509.Certificate{
		SerialNumber: serial,
		NotBefore:    now.Add(-backdate),
		NotAfter:     now.Add(lifetime),
		ExtKeyUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}, &key.PublicKey)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("client certificate: %w", err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("reading the client certificate back: %w", err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}, nil
}

// sign completes and signs a leaf. Without a source of randomness ECDSA
// signatures are those of RFC 6979, so equal input gives equal bytes.
func (ca *CA) sign(leaf *x509.Certificate, public *ecdsa.PublicKey) ([]byte, error) {
	leaf.Subject = pkix.Name{
		Country:            []string{"United States"},
		Organization:       []string{"Elotl"},
		OrganizationalUnit: []string{"MilpaServer"},
		CommonName:         LegacyName,
	}
	leaf.KeyUsage = x509.KeyUsageDigitalSignature
	leaf.BasicConstraintsValid = true
	if leaf.NotAfter.After(ca.cert.NotAfter) {
		leaf.NotAfter = ca.cert.NotAfter
	}
	if !leaf.NotAfter.After(leaf.NotBefore.Add(backdate)) {
		return nil, fmt.Errorf("it would end at %s, before it begins; the CA ends at %s",
			leaf.NotAfter.UTC().Format(time.RFC3339), ca.cert.NotAfter.UTC().Format(time.RFC3339))
	}
	return x509.CreateCertificate(nil, leaf, ca.cert, public, ca.key)
}

// cellKey derives a cell's key. A candidate is out of the curve's range with a
// probability of about 2^-32; the counter then gives another.
func (ca *CA) cellKey(info []byte) (*ecdsa.PrivateKey, error) {
	secret, err := ca.key.Bytes()
	if err != nil {
		return nil, fmt.Errorf("reading the CA's key: %w", err)
	}
	return deriveKey(secret, info, ecdsa.ParseRawPrivateKey)
}

type keyParser func(curve elliptic.Curve, raw []byte) (*ecdsa.PrivateKey, error)

func deriveKey(secret, info []byte, parse keyParser) (*ecdsa.PrivateKey, error) {
	for counter := range byte(8) {
		raw, err := hkdf.Key(sha256.New, secret, nil, string(append(info, counter)), 32)
		if err != nil {
			return nil, fmt.Errorf("deriving a key: %w", err)
		}
		if key, err := parse(elliptic.P256(), raw); err == nil {
			return key, nil
		}
	}
	return nil, errors.New("deriving a key: no candidate is in the curve's range")
}
