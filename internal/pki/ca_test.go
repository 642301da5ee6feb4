package pki

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/pem"
	"fmt"
	"math/big"
	"strings"
	"testing"
	"time"
)

var testNow = time.Date(2030, 1, 2, 3, 4, 5, 678, time.UTC)

func newCA(t testing.TB) *CA {
	t.Helper()
	ca, err := NewCA(testNow, "Kip test CA")
	if err != nil {
		t.Fatal(err)
	}
	return ca
}

func keyPEM(t testing.TB, ca *CA) []byte {
	t.Helper()
	data, err := ca.KeyPEM()
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func TestNewCA(t *testing.T) {
	ca := newCA(t)
	cert, err := parseCertificate(ca.CertificatePEM())
	if err != nil {
		t.Fatal(err)
	}
	if cert.Subject.CommonName != "Kip test CA" || !cert.IsCA || cert.KeyUsage != x509.KeyUsageCertSign {
		t.Errorf("subject %v, CA %v, key usage %v", cert.Subject, cert.IsCA, cert.KeyUsage)
	}
	if want := testNow.Add(-10 * time.Minute).Truncate(time.Second); !cert.NotBefore.Equal(want) {
		t.Errorf("notBefore %v, want %v", cert.NotBefore, want)
	}
	if want := cert.NotBefore.Add(10 * 365 * 24 * time.Hour); !ca.NotAfter().Equal(want) {
		t.Errorf("notAfter %v, want %v", ca.NotAfter(), want)
	}
	if other := newCA(t); ca.key.Equal(other.key) || ca.cert.SerialNumber.Cmp(other.cert.SerialNumber) == 0 {
		t.Error("two authorities share key or serial number")
	}
}

func TestParseCA(t *testing.T) {
	ca, other := newCA(t), newCA(t)
	parsed, err := ParseCA(ca.CertificatePEM(), keyPEM(t, ca))
	if err != nil {
		t.Fatal(err)
	}
	if !parsed.key.Equal(ca.key) || !parsed.cert.Equal(ca.cert) {
		t.Error("the authority that was read is another")
	}
	if !bytes.Equal(keyPEM(t, parsed), keyPEM(t, ca)) || !parsed.Pool().Equal(ca.Pool()) {
		t.Error("the authority that was read gives other PEM or another pool")
	}
	if _, err := ParseCA(ca.CertificatePEM(), pkcs8(t, ca.key)); err != nil {
		t.Errorf("PKCS#8 key: %v", err)
	}

	leaf, leafKey := certificate(t, ca, testID)
	p384, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	_, ed, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	key := keyPEM(t, ca)
	cut := pem.EncodeToMemory(&pem.Block{Type: pemSEC1, Bytes: []byte("cut")})
	for name, c := range map[string]struct {
		cert, key []byte
		want      string
	}{
		"no certificate":        {nil, key, "CA certificate: it is empty"},
		"no key":                {ca.CertificatePEM(), []byte(" \n"), "CA key: it is empty"},
		"not PEM":               {[]byte("hello"), key, "CA certificate: it holds no PEM block"},
		"swapped":               {key, ca.CertificatePEM(), `CA certificate: it holds a PEM block of another type than ["CERTIFICATE"]`},
		"key that is not":       {ca.CertificatePEM(), ca.CertificatePEM(), "CA key: it holds a PEM block of another type"},
		"two certificates":      {append(ca.CertificatePEM(), other.CertificatePEM()...), key, "CA certificate: it holds more than one PEM block"},
		"broken certificate":    {tamper(t, ca.CertificatePEM(), 2), key, "CA certificate: x509:"},
		"broken key":            {ca.CertificatePEM(), cut, "CA key: its content is not an EC private key in SEC1"},
		"broken PKCS#8":         {ca.CertificatePEM(), bytes.ReplaceAll(cut, []byte("EC "), nil), "CA key: its content is not a private key in PKCS#8"},
		"another's key":         {ca.CertificatePEM(), keyPEM(t, other), "CA key: it is not the key of the CA certificate"},
		"a leaf":                {leaf, leafKey, "CA certificate: it is not a CA's"},
		"key on another curve":  {ca.CertificatePEM(), pkcs8(t, p384), "CA key: it is on curve P-384, want P-256"},
		"key of another sort":   {ca.CertificatePEM(), pkcs8(t, ed), "CA key: it is a ed25519.PrivateKey, want an ECDSA key"},
		"cert of another curve": {selfSigned(t, p384, x509.KeyUsageCertSign), key, "CA certificate: its key is ECDSA, want ECDSA P-256"},
		"no keyCertSign":        {selfSigned(t, ca.key, x509.KeyUsageDigitalSignature), key, "CA certificate: its key usage lacks keyCertSign"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := ParseCA(c.cert, c.key)
			if err == nil || !strings.HasPrefix(err.Error(), c.want) {
				t.Errorf("error %v, want %q…", err, c.want)
			}
		})
	}
}

func TestNoSecretsInText(t *testing.T) {
	ca := newCA(t)
	secret, err := ca.key.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	text := fmt.Sprintf("%v %+v %#v %s %+v %#v", ca, ca, ca, ca, *ca, *ca)
	for _, form := range []string{hex.EncodeToString(secret), new(big.Int).SetBytes(secret).String(), fmt.Sprintf("%v", secret)} {
		if strings.Contains(text, form) {
			t.Errorf("the key is part of %q", text)
		}
	}
	if want := `CA "Kip test CA", valid until 2039-12-31T02:54:05Z`; ca.String() != want {
		t.Errorf("String() = %q, want %q", ca, want)
	}
	pemKey := keyPEM(t, ca)
	body := strings.Split(string(pemKey), "\n")[1]
	for at := range len(pemKey) {
		_, err := ParseCA(ca.CertificatePEM(), append(bytes.Clone(pemKey[:at]), pemKey[at+1:]...))
		if err != nil && strings.Contains(err.Error(), body[:8]) {
			t.Fatalf("the key is part of %q", err)
		}
	}
}

func FuzzParseCA(f *testing.F) {
	ca := newCA(f)
	f.Add(ca.CertificatePEM(), keyPEM(f, ca))
	f.Add(ca.CertificatePEM(), pkcs8(f, ca.key))
	f.Add([]byte("-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n"), []byte{})
	f.Fuzz(func(t *testing.T, cert, key []byte) {
		ca, err := ParseCA(cert, key)
		if err != nil {
			return
		}
		again, err := ParseCA(ca.CertificatePEM(), keyPEM(t, ca))
		if err != nil || !again.key.Equal(ca.key) {
			t.Errorf("what was read cannot be written and read again: %v", err)
		}
	})
}

// tamper changes one byte of the DER inside.
func tamper(t testing.TB, data []byte, at int) []byte {
	t.Helper()
	block, _ := pem.Decode(data)
	block.Bytes[at] ^= 0xff
	return pem.EncodeToMemory(block)
}

func pkcs8(t testing.TB, key any) []byte {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: pemPKCS8, Bytes: der})
}

func selfSigned(t testing.TB, key *ecdsa.PrivateKey, usage x509.KeyUsage) []byte {
	t.Helper()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "other"}, NotBefore: testNow, NotAfter: testNow.Add(time.Hour),
		BasicConstraintsValid: true, IsCA: true, KeyUsage: usage,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: pemCertificate, Bytes: der})
}
