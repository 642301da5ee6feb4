package kubeletapi

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync/atomic"
	"time"

	certificatesv1 "k8s.io/api/certificates/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/kubernetes"
	certutil "k8s.io/client-go/util/cert"
	"k8s.io/client-go/util/certificate/csr"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"kip.elotl.co/api/v1beta1"
	"kip.elotl.co/internal/virtualnode"
)

// As itself the operator approves its own request and waits for the signer:
// +kubebuilder:rbac:groups=certificates.k8s.io,resources=certificatesigningrequests,verbs=get;list;watch
// +kubebuilder:rbac:groups=certificates.k8s.io,resources=certificatesigningrequests/approval,verbs=update
// +kubebuilder:rbac:groups=certificates.k8s.io,resources=signers,resourceNames=kubernetes.io/kubelet-serving;beta.eks.amazonaws.com/app-serving,verbs=approve

// As the node it asks (constrained impersonation, Kubernetes 1.36):
// +kubebuilder:rbac:groups=certificates.k8s.io,resources=certificatesigningrequests,verbs="impersonate-on:arbitrary-node:create"

// A certificate that could not be had is asked for again after retryFirst,
// doubling. signTimeout is how long a signer has; after signPatience it is told
// that it does not answer.
const (
	retryFirst  = time.Second
	retryMost   = 5 * time.Minute
	signTimeout = 15 * time.Minute

	signPatience = 30 * time.Second
)

// SelfSigned, in the place of a signer's name, has the operator sign its
// certificate itself.
const SelfSigned = "self-signed"

// requestPrefix begins the names of signing requests. EKS's signer signs none
// whose name begins with csr- (github.com/aws/containers-roadmap, issue 2079).
const requestPrefix = "kip-kubelet-serving-"

// servingCertificate keeps a certificate for the nodes' address, in memory
// only. The API server dials that address and goes by nothing else, so the
// certificate of one node serves all.
type servingCertificate struct {
	kube    kubernetes.Interface
	clients NodeClients
	nodes   Nodes
	address netip.Addr
	clock   clock.Clock
	// signer is the name of a signer, or SelfSigned.
	signer string
	// tell says how the kubelet API is served.
	tell func(virtualnode.Serving)

	current atomic.Pointer[tls.Certificate]
}

var errNoCertificate = errors.New("the serving certificate is not signed yet")

func (c *servingCertificate) get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	if current := c.current.Load(); current != nil {
		return current, nil
	}
	return nil, errNoCertificate
}

// run gets a certificate and renews it in time, until the context ends.
func (c *servingCertificate) run(ctx context.Context) {
	retry := retryFirst
	for ctx.Err() == nil {
		certificate, err := c.obtain(ctx)
		pause := retry
		if err == nil {
			c.current.Store(certificate)
			retry, pause = retryFirst, renewAt(certificate.Leaf).Sub(c.clock.Now())
			log.FromContext(ctx).Info("The kubelet API has a serving certificate", "subject", certificate.Leaf.Subject.CommonName, "until", certificate.Leaf.NotAfter)
		} else if ctx.Err() == nil {
			log.FromContext(ctx).Error(err, "The kubelet API has no new serving certificate")
			retry = min(2*retry, retryMost)
		}
		if ctx.Err() == nil {
			c.tell(c.serving(err))
		}
		select {
		case <-ctx.Done():
		case <-c.clock.After(max(pause, retryFirst)):
		}
	}
}

// serving says how the kubelet API is served, and what keeps another
// certificate from being had.
func (c *servingCertificate) serving(problem error) virtualnode.Serving {
	current := c.current.Load()
	if current == nil || c.clock.Now().After(current.Leaf.NotAfter) {
		return virtualnode.Serving{Reason: v1beta1.ReasonNotSigned,
			Message: fmt.Sprintf("the kubelet API has no serving certificate, so kubectl logs, exec and the like do not work: %v", problem)}
	}
	until := current.Leaf.NotAfter.UTC().Format(time.RFC3339)
	is := virtualnode.Serving{Reason: v1beta1.ReasonSigned,
		Message: fmt.Sprintf("the kubelet API is served with a certificate for %s by signer %s, until %s", c.address, c.signer, until)}
	if c.signer == SelfSigned {
		is = virtualnode.Serving{Reason: v1beta1.ReasonSelfSigned, Message: fmt.Sprintf("the kubelet API is served with a certificate of the operator's own (--kubelet-serving-signer=%s), until %s: "+
			"kubectl logs, exec and the like work only where the API server runs without --kubelet-certificate-authority, and it cannot tell then whom it talks to; metrics-server needs --kubelet-insecure-tls", SelfSigned, until)}
	}
	if problem != nil {
		is.Reason = v1beta1.ReasonNotRenewed
		is.Message += fmt.Sprintf("; another could not be had yet: %v", problem)
	}
	return is
}

// renewAt leaves a fifth of the certificate's life for trying.
func renewAt(leaf *x509.Certificate) time.Time {
	return leaf.NotBefore.Add(leaf.NotAfter.Sub(leaf.NotBefore) * 4 / 5)
}

// obtain asks for a certificate as a node, approves that as the operator, and
// waits for the signer.
func (c *servingCertificate) obtain(ctx context.Context) (*tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("making a key: %w", err)
	}
	if c.signer == SelfSigned {
		return selfSign(key, c.address, c.clock.Now())
	}
	node, err := c.nodes.Any(ctx)
	if err != nil {
		return nil, fmt.Errorf("waiting for a node: %w", err)
	}
	asNode, err := c.clients.ForNode(node)
	if err != nil {
		return nil, err
	}
	own := ownRequest{signer: c.signer, node: node, address: c.address, key: &key.PublicKey}
	encoded, err := certutil.MakeCSR(key, own.subject(), nil, []net.IP{c.address.AsSlice()})
	if err != nil {
		return nil, fmt.Errorf("making a signing request: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, signTimeout)
	defer cancel()
	request, err := asNode.CertificatesV1().CertificateSigningRequests().Create(ctx, &certificatesv1.CertificateSigningRequest{
		ObjectMeta: metav1.ObjectMeta{GenerateName: requestPrefix},
		Spec:       certificatesv1.CertificateSigningRequestSpec{Request: encoded, SignerName: c.signer, Usages: servingUsages()},
	}, metav1.CreateOptions{})
	if err != nil {
		return nil, fmt.Errorf("asking for a certificate as node %s: %w", node, err)
	}
	if err := c.approve(ctx, request.Name, own); err != nil {
		return nil, fmt.Errorf("approving CertificateSigningRequest %s: %w", request.Name, err)
	}
	signed, err := c.await(ctx, request)
	if err != nil {
		return nil, fmt.Errorf("waiting for CertificateSigningRequest %s: %w", request.Name, err)
	}
	return assemble(signed, key, c.address)
}

// await waits for the certificate of an approved request, and tells when that
// takes longer than a signer takes that is there.
func (c *servingCertificate) await(ctx context.Context, request *certificatesv1.CertificateSigningRequest) ([]byte, error) {
	answer := make(chan signerAnswer, 1)
	go func() {
		signed, err := csr.WaitForCertificate(ctx, c.kube, request.Name, request.UID)
		answer <- signerAnswer{signed, err}
	}()
	unanswered := fmt.Errorf("CertificateSigningRequest %s is approved, and signer %s does not answer: does this cluster run it? Flag --kubelet-serving-signer chooses another", request.Name, c.signer)
	patience := c.clock.NewTimer(signPatience)
	defer patience.Stop()
	for {
		select {
		case <-patience.C():
			c.tell(c.serving(unanswered))
		case is := <-answer:
			if wait.Interrupted(is.err) {
				return nil, unanswered
			}
			return is.certificate, is.err
		}
	}
}

type signerAnswer struct {
	certificate []byte
	err         error
}

// assemble makes sure that what was signed can be served with.
func assemble(signed []byte, key *ecdsa.PrivateKey, address netip.Addr) (*tls.Certificate, error) {
	chain, err := certutil.ParseCertsPEM(signed)
	if err != nil {
		return nil, fmt.Errorf("decoding the signed certificate: %w", err)
	}
	if !key.PublicKey.Equal(chain[0].PublicKey) {
		return nil, errors.New("the signed certificate is for another key")
	}
	if err := chain[0].VerifyHostname(address.String()); err != nil {
		return nil, fmt.Errorf("the signed certificate: %w", err)
	}
	certificate := &tls.Certificate{PrivateKey: key, Leaf: chain[0]}
	for _, c := range chain {
		certificate.Certificate = append(certificate.Certificate, c.Raw)
	}
	return certificate, nil
}
