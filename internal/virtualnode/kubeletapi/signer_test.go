package kubeletapi_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net/netip"
	"strings"
	"testing"
	"time"

	certificatesv1 "k8s.io/api/certificates/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	clocktesting "k8s.io/utils/clock/testing"

	"kip.elotl.co/internal/virtualnode"
	"kip.elotl.co/internal/virtualnode/kubeletapi"
)

const eksSigner = "beta.eks.amazonaws.com/app-serving"

// signedBy serves with certificates of a signer, with the operator's rights, and
// gives the address and what is told.
func (w *world) signedBy(t *testing.T, signer string, clock *clocktesting.FakeClock) (string, *virtualnode.ServingState) {
	t.Helper()
	address, ports := portOf(t, nodeName)
	state := virtualnode.NewServingState()
	server := must[*kubeletapi.Server](t)(kubeletapi.New(kubeletapi.Options{
		Kube: clientFor(t, w.operator), NodeClients: virtualnode.NewClients(w.operator), Nodes: oneNode{}, Pods: w.pods, Kept: w.kept,
		Address: netip.MustParseAddr("127.0.0.1"), Ports: ports, Clock: clock, Signer: signer, Tell: state.Set,
	}))
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- server.Start(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return address, state
}

func (w *world) told(state *virtualnode.ServingState, reason string, texts ...string) {
	w.eventually("it is told that it is "+reason, func(context.Context) error {
		is, _ := state.Get()
		for _, text := range texts {
			if !strings.Contains(is.Message, text) {
				return fmt.Errorf("%s: %q lacks %q", is.Reason, is.Message, text)
			}
		}
		if is.Reason != reason {
			return fmt.Errorf("%s: %s", is.Reason, is.Message)
		}
		return nil
	})
}

// request waits until the operator has asked EKS's signer, and approved that.
func (w *world) request(t *testing.T, but ...string) *certificatesv1.CertificateSigningRequest {
	t.Helper()
	var found *certificatesv1.CertificateSigningRequest
	w.eventually("a request is approved", func(ctx context.Context) error {
		list, err := w.admin.CertificatesV1().CertificateSigningRequests().List(ctx, metav1.ListOptions{FieldSelector: "spec.signerName=" + eksSigner})
		if err != nil {
			return err
		}
		for i := range list.Items {
			if is := &list.Items[i]; len(is.Status.Conditions) > 0 && !strings.Contains(strings.Join(but, " "), is.Name) {
				found = is
				return nil
			}
		}
		return errors.New("there is none")
	})
	return found
}

// testSigners: the API is served with a certificate of the signer that is
// chosen, and as long as there is none it is told why, by the request's name.
func (w *world) testSigners(t *testing.T) {
	clock := clocktesting.NewFakeClock(time.Now())
	address, state := w.signedBy(t, eksSigner, clock)
	first := w.request(t)
	if strings.HasPrefix(first.Name, "csr-") {
		t.Errorf("request %s: EKS signs none of that name", first.Name)
	}
	w.eventually("the answer is waited for", func(context.Context) error {
		if !clock.HasWaiters() {
			return errors.New("it is not")
		}
		return nil
	})
	clock.Step(time.Minute)
	w.told(state, "NotSigned", first.Name, eksSigner, "does not answer", "--kubelet-serving-signer")
	w.fail(t, first)
	w.told(state, "NotSigned", first.Name, "NotToday", "come back tomorrow")
	clock.Step(time.Minute)
	second := w.request(t, first.Name)
	authority := w.sign(t, second, clock.Now())
	w.told(state, "Signed", eksSigner, "127.0.0.1")
	conn := must[*tls.Conn](t)(tls.Dial("tcp", address, &tls.Config{RootCAs: authority}))
	conn.Close()
}

// testSelfSigned: nobody is asked.
func (w *world) testSelfSigned(t *testing.T) {
	address, state := w.signedBy(t, kubeletapi.SelfSigned, clocktesting.NewFakeClock(time.Now()))
	w.told(state, "SelfSigned", "--kubelet-certificate-authority", "--kubelet-insecure-tls")
	conn := must[*tls.Conn](t)(tls.Dial("tcp", address, &tls.Config{InsecureSkipVerify: true}))
	defer conn.Close()
	leaf := conn.ConnectionState().PeerCertificates[0]
	if err := leaf.VerifyHostname("127.0.0.1"); err != nil || leaf.CheckSignatureFrom(leaf) == nil && leaf.IsCA {
		t.Errorf("served is %s, CA %v: %v", leaf.Subject, leaf.IsCA, err)
	}
}

// fail says as a signer that it will not sign a request.
func (w *world) fail(t *testing.T, request *certificatesv1.CertificateSigningRequest) {
	t.Helper()
	request.Status.Conditions = append(request.Status.Conditions, certificatesv1.CertificateSigningRequestCondition{
		Type: certificatesv1.CertificateFailed, Status: corev1.ConditionTrue, Reason: "NotToday", Message: "come back tomorrow",
	})
	if _, err := w.admin.CertificatesV1().CertificateSigningRequests().UpdateStatus(t.Context(), request, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
}

// sign signs a request as EKS's signer does, and gives its authority.
func (w *world) sign(t *testing.T, request *certificatesv1.CertificateSigningRequest, now time.Time) *x509.CertPool {
	t.Helper()
	key := must[*ecdsa.PrivateKey](t)(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))
	ca := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "eks"}, NotBefore: now.Add(-time.Hour), NotAfter: now.Add(1000 * time.Hour), IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}
	ca = must[*x509.Certificate](t)(x509.ParseCertificate(must[[]byte](t)(x509.CreateCertificate(rand.Reader, ca, ca, &key.PublicKey, key))))
	block, _ := pem.Decode(request.Spec.Request)
	asked := must[*x509.CertificateRequest](t)(x509.ParseCertificateRequest(block.Bytes))
	leaf := &x509.Certificate{SerialNumber: big.NewInt(2), Subject: asked.Subject, IPAddresses: asked.IPAddresses, NotBefore: ca.NotBefore, NotAfter: ca.NotAfter, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}}
	der := must[[]byte](t)(x509.CreateCertificate(rand.Reader, leaf, ca, asked.PublicKey, key))
	request.Status.Certificate = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	if _, err := w.admin.CertificatesV1().CertificateSigningRequests().UpdateStatus(t.Context(), request, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(ca)
	return pool
}
