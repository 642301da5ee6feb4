package kubeletapi

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"net"
	"net/netip"
	"net/url"
	"strings"
	"testing"
	"time"

	certificatesv1 "k8s.io/api/certificates/v1"
	clocktesting "k8s.io/utils/clock/testing"
)

func newKey(t *testing.T) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func encodeRequest(t *testing.T, template x509.CertificateRequest, key *ecdsa.PrivateKey) []byte {
	t.Helper()
	der, err := x509.CreateCertificateRequest(rand.Reader, &template, key)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: der})
}

// Nothing is approved but what the operator itself has asked for.
func TestOwnRequest(t *testing.T) {
	key, other := newKey(t), newKey(t)
	own := ownRequest{signer: certificatesv1.KubeletServingSignerName, node: "kip-a", address: netip.MustParseAddr("192.0.2.1"), key: &key.PublicKey}
	good := func() x509.CertificateRequest {
		return x509.CertificateRequest{
			Subject:     pkix.Name{CommonName: "system:node:kip-a", Organization: []string{"system:nodes"}},
			IPAddresses: []net.IP{net.IPv4(192, 0, 2, 1)},
		}
	}
	content := func(change func(*x509.CertificateRequest)) func(*certificatesv1.CertificateSigningRequestSpec) {
		return func(spec *certificatesv1.CertificateSigningRequestSpec) {
			template := good()
			change(&template)
			spec.Request = encodeRequest(t, template, key)
		}
	}
	type spec = certificatesv1.CertificateSigningRequestSpec
	tests := []struct {
		name   string
		change func(*spec)
		want   string // empty: approved
	}{
		{"its own", func(*spec) {}, ""},
		{"another signer", func(s *spec) { s.SignerName = certificatesv1.KubeAPIServerClientSignerName }, "signer"},
		{"another user", func(s *spec) { s.Username = "system:node:kip-b" }, "made it"},
		{"more usages", func(s *spec) { s.Usages = append(s.Usages, certificatesv1.UsageClientAuth) }, "usages"},
		{"no request", func(s *spec) { s.Request = nil }, "PEM"},
		{"two requests", func(s *spec) { s.Request = append(s.Request, s.Request...) }, "PEM"},
		{"a broken request", func(s *spec) {
			s.Request = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: []byte("x")})
		}, "decoding"},
		{"a forged signature", func(s *spec) {
			block, _ := pem.Decode(s.Request)
			block.Bytes[len(block.Bytes)-1] ^= 1
			s.Request = pem.EncodeToMemory(block)
		}, "signature"},
		{"another key", func(s *spec) { s.Request = encodeRequest(t, good(), other) }, "key"},
		{"another node", content(func(r *x509.CertificateRequest) { r.Subject.CommonName = "system:node:kip-b" }), "subject"},
		{"another group", content(func(r *x509.CertificateRequest) { r.Subject.Organization = []string{"system:masters"} }), "subject"},
		{"another address", content(func(r *x509.CertificateRequest) { r.IPAddresses[0] = net.IPv4(192, 0, 2, 2) }), "names"},
		{"a second address", content(func(r *x509.CertificateRequest) { r.IPAddresses = append(r.IPAddresses, net.IPv4(192, 0, 2, 2)) }), "names"},
		{"no address", content(func(r *x509.CertificateRequest) { r.IPAddresses = nil }), "names"},
		{"a DNS name", content(func(r *x509.CertificateRequest) { r.DNSNames = []string{"kubernetes.default"} }), "names"},
		{"a mail address", content(func(r *x509.CertificateRequest) { r.EmailAddresses = []string{"a@example.com"} }), "names"},
		{"a URI", content(func(r *x509.CertificateRequest) { r.URIs = []*url.URL{{Scheme: "spiffe", Host: "x"}} }), "names"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			is := &certificatesv1.CertificateSigningRequest{Spec: spec{
				SignerName: certificatesv1.KubeletServingSignerName, Username: "system:node:kip-a",
				Usages: servingUsages(), Request: encodeRequest(t, good(), key),
			}}
			tt.change(&is.Spec)
			err := own.check(is)
			if (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %q", err, tt.want)
			}
		})
	}
}

// TestTurnedDown tells who would not have it, and why.
func TestTurnedDown(t *testing.T) {
	for kind, want := range map[certificatesv1.RequestConditionType]string{
		certificatesv1.CertificateApproved: "",
		certificatesv1.CertificateDenied:   `it was denied, reason "Policy": no`,
		certificatesv1.CertificateFailed:   `signer s cannot sign it, reason "Policy": no`,
	} {
		err := turnedDown(&certificatesv1.CertificateSigningRequest{
			Spec:   certificatesv1.CertificateSigningRequestSpec{SignerName: "s"},
			Status: certificatesv1.CertificateSigningRequestStatus{Conditions: []certificatesv1.CertificateSigningRequestCondition{{Type: kind, Reason: "Policy", Message: "no"}}},
		})
		if (err == nil) != (want == "") || err != nil && err.Error() != want {
			t.Errorf("%s: %v", kind, err)
		}
	}
}

// TestServing: a certificate that holds is one also while another cannot be had.
func TestServing(t *testing.T) {
	now := second(0)
	c := &servingCertificate{address: netip.MustParseAddr("192.0.2.1"), clock: clocktesting.NewFakeClock(now), signer: "s"}
	problem := errors.New("CertificateSigningRequest x was denied")
	if is := c.serving(problem); is.Reason != "NotSigned" || !strings.Contains(is.Message, problem.Error()) {
		t.Errorf("without a certificate: %+v", is)
	}
	c.current.Store(&tls.Certificate{Leaf: &x509.Certificate{NotAfter: now.Add(time.Hour)}})
	if is := c.serving(nil); is.Reason != "Signed" {
		t.Errorf("with one: %+v", is)
	}
	if is := c.serving(problem); is.Reason != "NotRenewed" || !strings.Contains(is.Message, problem.Error()) {
		t.Errorf("with one that cannot be renewed: %+v", is)
	}
	c.current.Store(&tls.Certificate{Leaf: &x509.Certificate{NotAfter: now.Add(-time.Hour)}})
	if is := c.serving(problem); is.Reason != "NotSigned" {
		t.Errorf("with one that has ended: %+v", is)
	}
}

func TestRenewAt(t *testing.T) {
	start := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	leaf := &x509.Certificate{NotBefore: start, NotAfter: start.Add(100 * time.Hour)}
	if got := renewAt(leaf); !got.Equal(start.Add(80 * time.Hour)) {
		t.Errorf("renewed at %s", got)
	}
}
