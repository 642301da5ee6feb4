package pki

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/x509"
	"encoding/hex"
	"slices"
	"strings"
	"testing"
	"time"
)

// twoAuthorities are in the midst of a change.
func twoAuthorities(t testing.TB) Authorities {
	t.Helper()
	next, err := NewCA(testNow.Add(time.Hour), "next")
	if err != nil {
		t.Fatal(err)
	}
	return Authorities{Current: next, Previous: newCA(t)}
}

func TestAuthoritiesByID(t *testing.T) {
	both := twoAuthorities(t)
	next, last := both.Current.ID(), both.Previous.ID()
	if len(next) != 16 || next == last || !slices.Equal(both.IDs(), []string{next, last}) {
		t.Errorf("IDs %q, %q; %q", next, last, both.IDs())
	}
	one := both.Previous.Authorities()
	for name, c := range map[string]struct{ got, want *CA }{
		"current":                      {both.ByID(next), both.Current},
		"previous":                     {both.ByID(last), both.Previous},
		"none recorded, during change": {both.ByID(""), both.Previous},
		"none recorded":                {one.ByID(""), both.Previous},
		"the only one":                 {one.ByID(last), both.Previous},
		"unknown":                      {one.ByID(next), nil},
	} {
		if c.got != c.want {
			t.Errorf("%s: got %v, want %v", name, c.got, c.want)
		}
	}
}

func TestAuthoritiesTrustBoth(t *testing.T) {
	both := twoAuthorities(t)
	for _, ca := range []*CA{both.Current, both.Previous} {
		leaf := parseLeaf(t, first(certificate(t, ca, testID)))
		options := x509.VerifyOptions{Roots: both.Pool(), CurrentTime: testID.Start, DNSName: testID.DNSName()}
		if _, err := leaf.Verify(options); err != nil {
			t.Errorf("%s: %v", ca, err)
		}
	}
	if want := append(both.Current.CertificatePEM(), both.Previous.CertificatePEM()...); !bytes.Equal(both.CertificatePEM(), want) {
		t.Error("the PEM is not that of both, the current one first")
	}
	if one := both.Current.Authorities(); !bytes.Equal(one.CertificatePEM(), both.Current.CertificatePEM()) {
		t.Error("the PEM of one is not its own")
	}
}

func first(a, _ []byte) []byte { return a }

func TestForPeer(t *testing.T) {
	both := twoAuthorities(t)
	next, last, other := both.Current.cert.RawSubject, both.Previous.cert.RawSubject, []byte("other")
	for name, c := range map[string]struct {
		acceptable [][]byte
		want       *CA
	}{
		"nothing":   {nil, both.Current},
		"stranger":  {[][]byte{other}, both.Current},
		"last":      {[][]byte{other, last}, both.Previous},
		"next":      {[][]byte{next}, both.Current},
		"last,next": {[][]byte{last, next}, both.Current},
	} {
		if got := both.ForPeer(c.acceptable); got != c.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}

func TestRenewedCertificateIsAFunction(t *testing.T) {
	ca := newCA(t)
	renewal := Renewal{Number: 1, Start: testID.Start.Add(60 * 24 * time.Hour)}
	renewed := func(ca *CA, id CellID, r Renewal) (cert, key []byte) {
		t.Helper()
		cert, key, err := ca.RenewedCertificate(id, r)
		if err != nil {
			t.Fatal(err)
		}
		return cert, key
	}
	cert, key := renewed(ca, testID, renewal)
	sameSecond := Renewal{Number: 1, Start: renewal.Start.Add(time.Millisecond).In(time.FixedZone("elsewhere", 3600))}
	if again, againKey := renewed(ca, testID, sameSecond); !bytes.Equal(cert, again) || !bytes.Equal(key, againKey) {
		t.Error("the same renewal gave other bytes")
	}
	leaf := parseLeaf(t, cert)
	if !leaf.NotAfter.Equal(renewal.Start.Add(CellLifetime).Truncate(time.Second)) || !leaf.NotAfter.Equal(ca.CellNotAfter(renewal.Start)) {
		t.Errorf("it ends at %v", leaf.NotAfter)
	}
	if err := leaf.VerifyHostname(testID.DNSName()); err != nil {
		t.Error(err)
	}
	second := Renewal{Number: 2, Start: renewal.Start}
	neighbour := testID
	neighbour.Attempt++
	firstCert, firstKey := certificate(t, ca, testID)
	seen := map[string]string{string(key): "the renewal", string(firstKey): "the first"}
	serials := map[string]bool{leaf.SerialNumber.String(): true, parseLeaf(t, firstCert).SerialNumber.String(): true}
	for name, c := range map[string]struct {
		ca *CA
		id CellID
		r  Renewal
	}{
		"the second":        {ca, testID, second},
		"another attempt":   {ca, neighbour, renewal},
		"another authority": {newCA(t), testID, Renewal{Number: 1, Start: renewal.Start.Add(time.Second)}},
	} {
		cert, key := renewed(c.ca, c.id, c.r)
		serial := parseLeaf(t, cert).SerialNumber.String()
		if twin, ok := seen[string(key)]; ok || serials[serial] {
			t.Errorf("%s has the key of %q, or a serial number that is taken", name, twin)
		}
		seen[string(key)], serials[serial] = name, true
	}
}

func TestRenewalIsChecked(t *testing.T) {
	ca := newCA(t)
	for want, r := range map[string]Renewal{
		"renewal -1 is negative": {Number: -1, Start: testNow}, "no start time": {Number: 1}, "the CA ends at": {Number: 1, Start: ca.NotAfter()},
	} {
		if _, _, err := ca.RenewedCertificate(testID, r); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: %v", r, err)
		}
	}
	if got := ca.CellNotAfter(ca.NotAfter().Add(-time.Hour)); !got.Equal(ca.NotAfter()) {
		t.Errorf("a certificate ends at %v, after the authority", got)
	}
}

// A renewal that was written down by one release is pushed by the next.
func TestRenewedDerivationIsPinned(t *testing.T) {
	issue := testID.issue(Renewal{Number: 2, Start: testNow})
	key, err := deriveKey(bytes.Repeat([]byte{7}, 32), issue.keyInfo, ecdsa.ParseRawPrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := key.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	if got, want := hex.EncodeToString(raw), "5b13f9d0c9b28976e6804879b4282bd40fcdabe9a2914e3dfe004822e5569d59"; got != want {
		t.Errorf("key %s, want %s", got, want)
	}
	if got, want := issue.serial.Text(16), "7e07e5284b0e01ae4bff4e0c1a576fc1"; got != want {
		t.Errorf("serial number %s, want %s", got, want)
	}
}
