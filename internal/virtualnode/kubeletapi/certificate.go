package kubeletapi

import (
	"bytes"
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
	"net"
	"net/netip"
	"slices"
	"sync/atomic"
	"time"

	certificatesv1 "k8s.io/api/certificates/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	certutil "k8s.io/client-go/util/cert"
	"k8s.io/client-go/util/certificate/csr"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/log"
)

// As itself the operator approves its own request and waits for the signer:
// +kubebuilder:rbac:groups=certificates.k8s.io,resources=certificatesigningrequests,verbs=get;list;watch
// +kubebuilder:rbac:groups=certificates.k8s.io,resources=certificatesigningrequests/approval,verbs=update
// +kubebuilder:rbac:groups=certificates.k8s.io,resources=signers,resourceNames=kubernetes.io/kubelet-serving,verbs=approve

// As the node it asks (constrained impersonation, Kubernetes 1.36):
// +kubebuilder:rbac:groups=certificates.k8s.io,resources=certificatesigningrequests,verbs="impersonate-on:arbitrary-node:create"

// A certificate that could not be had is asked for again after retryFirst,
// doubling. signTimeout is how long a signer has.
const (
	retryFirst  = time.Second
	retryMost   = 5 * time.Minute
	signTimeout = 15 * time.Minute
)

// servingCertificate keeps a certificate for the nodes' address, in memory
// only. The API server dials that address and goes by nothing else, so the
// certificate of one node serves all.
type servingCertificate struct {
	kube    kubernetes.Interface
	clients NodeClients
	nodes   Nodes
	address netip.Addr
	clock   clock.Clock

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
			log.FromContext(ctx).Info("The kubelet API has a serving certificate", "node", certificate.Leaf.Subject.CommonName, "until", certificate.Leaf.NotAfter)
		} else if ctx.Err() == nil {
			log.FromContext(ctx).Error(err, "The kubelet API has no new serving certificate")
			retry = min(2*retry, retryMost)
		}
		select {
		case <-ctx.Done():
		case <-c.clock.After(max(pause, retryFirst)):
		}
	}
}

// renewAt leaves a fifth of the certificate's life for trying.
func renewAt(leaf *x509.Certificate) time.Time {
	return leaf.NotBefore.Add(leaf.NotAfter.Sub(leaf.NotBefore) * 4 / 5)
}

// obtain asks for a certificate as a node, approves that as the operator, and
// waits for the signer.
func (c *servingCertificate) obtain(ctx context.Context) (*tls.Certificate, error) {
	node, err := c.nodes.Any(ctx)
	if err != nil {
		return nil, fmt.Errorf("waiting for a node: %w", err)
	}
	asNode, err := c.clients.ForNode(node)
	if err != nil {
		return nil, err
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("making a key: %w", err)
	}
	own := ownRequest{node: node, address: c.address, key: &key.PublicKey}
	encoded, err := certutil.MakeCSR(key, own.subject(), nil, []net.IP{c.address.AsSlice()})
	if err != nil {
		return nil, fmt.Errorf("making a signing request: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, signTimeout)
	defer cancel()
	name, uid, err := csr.RequestCertificateWithContext(ctx, asNode, encoded, "", certificatesv1.KubeletServingSignerName, nil, servingUsages(), key)
	if err != nil {
		return nil, fmt.Errorf("asking for a certificate as node %s: %w", node, err)
	}
	if err := c.approve(ctx, name, own); err != nil {
		return nil, fmt.Errorf("approving signing request %s: %w", name, err)
	}
	signed, err := csr.WaitForCertificate(ctx, c.kube, name, uid)
	if err != nil {
		return nil, fmt.Errorf("waiting for signing request %s: %w", name, err)
	}
	return assemble(signed, key, c.address)
}

func (c *servingCertificate) approve(ctx context.Context, name string, own ownRequest) error {
	requests := c.kube.CertificatesV1().CertificateSigningRequests()
	is, err := requests.Get(ctx, name, metav1.GetOptions{})
	if err != nil {
		return fmt.Errorf("reading it: %w", err)
	}
	if err := own.check(is); err != nil {
		return fmt.Errorf("it is not what was asked for: %w", err)
	}
	for _, condition := range is.Status.Conditions {
		if condition.Type == certificatesv1.CertificateApproved {
			return nil
		}
	}
	is.Status.Conditions = append(is.Status.Conditions, certificatesv1.CertificateSigningRequestCondition{
		Type: certificatesv1.CertificateApproved, Status: corev1.ConditionTrue,
		Reason: "KipVirtualNode", Message: "The operator asked for this as its virtual node.",
	})
	if _, err := requests.UpdateApproval(ctx, name, is, metav1.UpdateOptions{}); err != nil {
		return fmt.Errorf("writing the approval: %w", err)
	}
	return nil
}

func servingUsages() []certificatesv1.KeyUsage {
	return []certificatesv1.KeyUsage{certificatesv1.UsageDigitalSignature, certificatesv1.UsageServerAuth}
}

// ownRequest is what the operator has asked for.
type ownRequest struct {
	node    string
	address netip.Addr
	key     *ecdsa.PublicKey
}

func (o ownRequest) user() string { return "system:node:" + o.node }

func (o ownRequest) subject() *pkix.Name {
	return &pkix.Name{CommonName: o.user(), Organization: []string{"system:nodes"}}
}

// check says how a request in the cluster differs from the operator's own.
func (o ownRequest) check(is *certificatesv1.CertificateSigningRequest) error {
	if is.Spec.SignerName != certificatesv1.KubeletServingSignerName {
		return fmt.Errorf("its signer is %q", is.Spec.SignerName)
	}
	if is.Spec.Username != o.user() {
		return fmt.Errorf("%q made it", is.Spec.Username)
	}
	if !slices.Equal(is.Spec.Usages, servingUsages()) {
		return fmt.Errorf("its usages are %q", is.Spec.Usages)
	}
	block, rest := pem.Decode(is.Spec.Request)
	if block == nil || block.Type != certutil.CertificateRequestBlockType || len(bytes.TrimSpace(rest)) > 0 {
		return errors.New("it does not hold one PEM block with a request")
	}
	request, err := x509.ParseCertificateRequest(block.Bytes)
	if err != nil {
		return fmt.Errorf("decoding it: %w", err)
	}
	if err := request.CheckSignature(); err != nil {
		return fmt.Errorf("its signature: %w", err)
	}
	return o.checkContent(request)
}

func (o ownRequest) checkContent(request *x509.CertificateRequest) error {
	if !o.key.Equal(request.PublicKey) {
		return errors.New("it is for another key")
	}
	if want := o.subject(); request.Subject.String() != want.String() {
		return fmt.Errorf("its subject is %q", request.Subject)
	}
	if len(request.DNSNames)+len(request.EmailAddresses)+len(request.URIs) > 0 ||
		len(request.IPAddresses) != 1 || !request.IPAddresses[0].Equal(o.address.AsSlice()) {
		return fmt.Errorf("its names are %q %q %q %v", request.DNSNames, request.EmailAddresses, request.URIs, request.IPAddresses)
	}
	return nil
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
