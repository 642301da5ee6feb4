package pki

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

var testID = CellID{UID: "1b4e28ba-2fa1-11d2-883f-0016d3cca427", Attempt: 3, Start: testNow.Add(time.Hour)}

func certificate(t testing.TB, ca *CA, id CellID) (cert, key []byte) {
	t.Helper()
	cert, key, err := ca.CellCertificate(id)
	if err != nil {
		t.Fatal(err)
	}
	return cert, key
}

func parseLeaf(t testing.TB, data []byte) *x509.Certificate {
	t.Helper()
	block, _ := pem.Decode(data)
	if block == nil {
		t.Fatal("no PEM block")
	}
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	return cert
}

func TestDNSName(t *testing.T) {
	if got, want := testID.DNSName(), "1b4e28ba-2fa1-11d2-883f-0016d3cca427-3.cell.kip.elotl.co"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestCellCertificate(t *testing.T) {
	ca := newCA(t)
	certPEM, keyPEM := certificate(t, ca, testID)
	cert := parseLeaf(t, certPEM)
	if want := []string{testID.DNSName(), "MilpaNode"}; !cmp.Equal(cert.DNSNames, want) {
		t.Errorf("names %q, want %q", cert.DNSNames, want)
	}
	if got, want := cert.Subject.String(), "CN=MilpaNode,OU=MilpaServer,O=Elotl,C=United States"; got != want {
		t.Errorf("subject %q, want %q", got, want)
	}
	if !cmp.Equal(cert.ExtKeyUsage, []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}) || cert.KeyUsage != x509.KeyUsageDigitalSignature || cert.IsCA {
		t.Errorf("extended usage %v, usage %v, CA %v", cert.ExtKeyUsage, cert.KeyUsage, cert.IsCA)
	}
	start := testID.Start.Truncate(time.Second)
	if !cert.NotBefore.Equal(start.Add(-10*time.Minute)) || !cert.NotAfter.Equal(start.Add(90*24*time.Hour)) {
		t.Errorf("valid from %v until %v", cert.NotBefore, cert.NotAfter)
	}
	if cert.SerialNumber.Sign() <= 0 || cert.SerialNumber.BitLen() > 127 {
		t.Errorf("serial number %v", cert.SerialNumber)
	}
	if !strings.HasPrefix(string(keyPEM), "-----BEGIN EC PRIVATE KEY-----\n") {
		t.Error("the key is not SEC1")
	}
	if _, err := tls.X509KeyPair(certPEM, keyPEM); err != nil {
		t.Errorf("as an agent loads it: %v", err)
	}
}

func TestCellCertificateIsAFunctionOfCAAndID(t *testing.T) {
	ca := newCA(t)
	cert, key := certificate(t, ca, testID)
	reread, err := ParseCA(ca.CertificatePEM(), keyPEM(t, ca))
	if err != nil {
		t.Fatal(err)
	}
	sameSecond := testID
	sameSecond.Start = testID.Start.Add(time.Millisecond).In(time.FixedZone("elsewhere", 3600))
	again, againKey := certificate(t, reread, sameSecond)
	if !bytes.Equal(cert, again) || !bytes.Equal(key, againKey) {
		t.Error("the same cell got other bytes")
	}

	later := testID
	later.Start = later.Start.Add(time.Second)
	if other, otherKey := certificate(t, ca, later); !bytes.Equal(key, otherKey) ||
		parseLeaf(t, cert).SerialNumber.Cmp(parseLeaf(t, other).SerialNumber) == 0 {
		t.Error("another start time must keep the key and change the serial number")
	}
	seen := map[string]string{string(key): "the first"}
	for name, c := range map[string]struct {
		ca *CA
		id CellID
	}{
		"another attempt":           {ca, CellID{testID.UID, 4, testID.Start}},
		"another cell":              {ca, CellID{"2" + testID.UID[1:], 3, testID.Start}},
		"UID that ends in a digit":  {ca, CellID{"a-1", 2, testID.Start}},
		"attempt of the same digit": {ca, CellID{"a", 12, testID.Start}},
		"another authority":         {newCA(t), testID},
	} {
		_, key := certificate(t, c.ca, c.id)
		if twin, ok := seen[string(key)]; ok {
			t.Errorf("%s has the key of %s", name, twin)
		}
		seen[string(key)] = name
	}
}

// The bytes of running cells must survive a new release of the operator.
func TestDerivationIsPinned(t *testing.T) {
	secret := bytes.Repeat([]byte{7}, 32)
	key, err := deriveKey(secret, append([]byte(cellKeyDomain), testID.bytes()...), ecdsa.ParseRawPrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := key.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	const want = "1151d7fd947361d4cfc2dffef3a7479a009f5b570baea3037f7a49ca13026a34"
	if got := hex.EncodeToString(raw); got != want {
		t.Errorf("key %s, want %s", got, want)
	}
	if got, want := testID.serial().Text(16), "71b14a2a61f1b9f8064fc6eedb217e71"; got != want {
		t.Errorf("serial number %s, want %s", got, want)
	}
}

func TestDeriveKeyTriesAgainWhenOutOfRange(t *testing.T) {
	var tried [][]byte
	refuse := func(n int) keyParser {
		return func(curve elliptic.Curve, raw []byte) (*ecdsa.PrivateKey, error) {
			tried = append(tried, bytes.Clone(raw))
			if len(tried) <= n {
				return nil, errors.New("out of range")
			}
			return ecdsa.ParseRawPrivateKey(curve, raw)
		}
	}
	key, err := deriveKey([]byte("secret"), []byte("info"), refuse(2))
	if err != nil {
		t.Fatal(err)
	}
	raw, err := key.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	if len(tried) != 3 || bytes.Equal(tried[0], tried[1]) || !bytes.Equal(raw, tried[2]) {
		t.Errorf("%d candidates were tried, the third is not the key", len(tried))
	}
	tried = nil
	if _, err := deriveKey([]byte("secret"), []byte("info"), refuse(100)); err == nil {
		t.Error("no error when every candidate is out of range")
	}
}

func TestLeafNeverOutlivesCA(t *testing.T) {
	ca := newCA(t)
	id := testID
	id.Start = ca.NotAfter().Add(-time.Hour)
	cert, _ := certificate(t, ca, id)
	if got := parseLeaf(t, cert).NotAfter; !got.Equal(ca.NotAfter()) {
		t.Errorf("the cell's ends at %v, the CA at %v", got, ca.NotAfter())
	}
	client, err := ca.ClientCertificate(ca.NotAfter().Add(-time.Hour), 24*time.Hour)
	if err != nil || !client.Leaf.NotAfter.Equal(ca.NotAfter()) {
		t.Errorf("the client's ends at %v (%v), the CA at %v", client.Leaf.NotAfter, err, ca.NotAfter())
	}
	id.Start = ca.NotAfter()
	if _, _, err := ca.CellCertificate(id); err == nil || !strings.Contains(err.Error(), "the CA ends at 2039-12-31T02:54:05Z") {
		t.Errorf("a cell's certificate of an expired CA: %v", err)
	}
	if _, err := ca.ClientCertificate(ca.NotAfter(), time.Hour); err == nil {
		t.Error("a client certificate of an expired CA")
	}
}

func TestCellIDIsChecked(t *testing.T) {
	ca := newCA(t)
	for name, c := range map[string]struct {
		id   CellID
		want string
	}{
		"no UID":        {CellID{"", 1, testNow}, "the cell has no UID"},
		"dot":           {CellID{"a.b", 1, testNow}, `the UID "a.b" cannot be part of a DNS name`},
		"wildcard":      {CellID{"*", 1, testNow}, "cannot be part of a DNS name"},
		"upper case":    {CellID{"aB0", 1, testNow}, "cannot be part of a DNS name"},
		"hyphen first":  {CellID{"-a", 1, testNow}, "cannot be part of a DNS name"},
		"too long":      {CellID{strings.Repeat("a", 62), 1, testNow}, "has 64 characters, at most 63"},
		"negative":      {CellID{"a", -1, testNow}, "attempt -1 is negative"},
		"no start time": {CellID{"a", 1, time.Time{}}, "no start time"},
	} {
		if _, _, err := ca.CellCertificate(c.id); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error %v, want …%q…", name, err, c.want)
		}
	}
}

func TestVerify(t *testing.T) {
	ca, other := newCA(t), newCA(t)
	neighbour := testID
	neighbour.Attempt++
	cert, _ := certificate(t, ca, testID)
	for name, c := range map[string]struct {
		roots *x509.CertPool
		name  string
		at    time.Time
		ok    bool
	}{
		"its own name":                    {ca.Pool(), testID.DNSName(), testID.Start, true},
		"the first Kip's name":            {ca.Pool(), "MilpaNode", testID.Start, true},
		"clock of the cell is behind":     {ca.Pool(), testID.DNSName(), testID.Start.Add(-9 * time.Minute), true},
		"another cell's name":             {ca.Pool(), neighbour.DNSName(), testID.Start, false},
		"the domain":                      {ca.Pool(), CellDomain, testID.Start, false},
		"another authority":               {other.Pool(), testID.DNSName(), testID.Start, false},
		"after its end":                   {ca.Pool(), testID.DNSName(), testID.Start.Add(91 * 24 * time.Hour), false},
		"long before the attempt started": {ca.Pool(), testID.DNSName(), testID.Start.Add(-11 * time.Minute), false},
	} {
		_, err := parseLeaf(t, cert).Verify(x509.VerifyOptions{Roots: c.roots, DNSName: c.name, CurrentTime: c.at})
		if (err == nil) != c.ok {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// handshake connects a client to a cell over loopback, both as configured, and
// gives what each end says of it.
func handshake(t *testing.T, cell, client *tls.Config) (cellErr, clientErr error) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = listener.Close() }()
	done := make(chan error, 1)
	go func() {
		raw, err := listener.Accept()
		if err != nil {
			done <- err
			return
		}
		conn := tls.Server(raw, cell)
		defer func() { _ = conn.Close() }()
		_, err = conn.Write([]byte("pong"))
		done <- err
	}()
	raw, err := net.Dial("tcp", listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	conn := tls.Client(raw, client)
	// In TLS 1.3 a refusal of the client's certificate is seen when reading.
	_, clientErr = io.ReadFull(conn, make([]byte, 4))
	_ = conn.Close()
	return <-done, clientErr
}

func TestHandshake(t *testing.T) {
	ca, other := newCA(t), newCA(t)
	clock := func() time.Time { return testID.Start }
	keyPair := func(ca *CA, id CellID) tls.Certificate {
		pair, err := tls.X509KeyPair(certificate(t, ca, id))
		if err != nil {
			t.Fatal(err)
		}
		return pair
	}
	operator := func(ca *CA) tls.Certificate {
		cert, err := ca.ClientCertificate(testNow, 24*time.Hour)
		if err != nil {
			t.Fatal(err)
		}
		return cert
	}
	neighbour := testID
	neighbour.UID = "2" + neighbour.UID[1:]
	serving := keyPair(ca, testID)

	for name, c := range map[string]struct {
		serving tls.Certificate
		client  []tls.Certificate
		name    string
		ok      bool
	}{
		"operator to its cell":            {serving, []tls.Certificate{operator(ca)}, testID.DNSName(), true},
		"the first Kip's way":             {serving, []tls.Certificate{operator(ca)}, LegacyName, true},
		"no client certificate":           {serving, nil, testID.DNSName(), false},
		"a cell's certificate as client":  {serving, []tls.Certificate{keyPair(ca, neighbour)}, testID.DNSName(), false},
		"client of another authority":     {serving, []tls.Certificate{operator(other)}, testID.DNSName(), false},
		"another cell at the address":     {keyPair(ca, neighbour), []tls.Certificate{operator(ca)}, testID.DNSName(), false},
		"the operator's as a server's":    {operator(ca), []tls.Certificate{operator(ca)}, testID.DNSName(), false},
		"server of another authority":     {keyPair(other, testID), []tls.Certificate{operator(ca)}, testID.DNSName(), false},
		"an earlier attempt's at address": {keyPair(ca, CellID{testID.UID, 2, testID.Start}), []tls.Certificate{operator(ca)}, testID.DNSName(), false},
	} {
		t.Run(name, func(t *testing.T) {
			cellErr, clientErr := handshake(t,
				&tls.Config{Certificates: []tls.Certificate{c.serving}, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: ca.Pool(), Time: clock},
				// GetClientCertificate sends what the cell does not ask for, too.
				&tls.Config{RootCAs: ca.Pool(), ServerName: c.name, Time: clock, GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
					if len(c.client) == 0 {
						return &tls.Certificate{}, nil
					}
					return &c.client[0], nil
				}})
			if ok := cellErr == nil && clientErr == nil; ok != c.ok {
				t.Errorf("accepted: %v; cell: %v; client: %v", ok, cellErr, clientErr)
			}
		})
	}
}

func TestClientCertificate(t *testing.T) {
	ca := newCA(t)
	a, err := ca.ClientCertificate(testNow, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	b, err := ca.ClientCertificate(testNow, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	if !cmp.Equal(a.Leaf.ExtKeyUsage, []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}) {
		t.Errorf("extended usage %v", a.Leaf.ExtKeyUsage)
	}
	if want := testNow.Add(time.Hour).Truncate(time.Second); !a.Leaf.NotAfter.Equal(want) {
		t.Errorf("ends at %v, want %v", a.Leaf.NotAfter, want)
	}
	if a.PrivateKey.(*ecdsa.PrivateKey).Equal(b.PrivateKey) || a.Leaf.SerialNumber.Cmp(b.Leaf.SerialNumber) == 0 {
		t.Error("two client certificates share key or serial number")
	}
}
