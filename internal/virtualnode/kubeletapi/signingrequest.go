package kubeletapi

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"net/netip"
	"slices"

	certificatesv1 "k8s.io/api/certificates/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	certutil "k8s.io/client-go/util/cert"
)

func (c *servingCertificate) approve(ctx context.Context, name string, own ownRequest) error {
	requests := c.kube.CertificatesV1().CertificateSigningRequests()
	is, err := requests.Get(ctx, name, metav1.GetOptions{})
	if err != nil {
		return fmt.Errorf("reading it: %w", err)
	}
	if err := own.check(is); err != nil {
		return fmt.Errorf("it is not what was asked for: %w", err)
	}
	if err := turnedDown(is); err != nil {
		return err
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

// turnedDown says who has denied a request, or why it could not be signed.
func turnedDown(is *certificatesv1.CertificateSigningRequest) error {
	for _, condition := range is.Status.Conditions {
		switch condition.Type {
		case certificatesv1.CertificateDenied:
			return fmt.Errorf("it was denied, reason %q: %s", condition.Reason, condition.Message)
		case certificatesv1.CertificateFailed:
			return fmt.Errorf("signer %s cannot sign it, reason %q: %s", is.Spec.SignerName, condition.Reason, condition.Message)
		}
	}
	return nil
}

func servingUsages() []certificatesv1.KeyUsage {
	return []certificatesv1.KeyUsage{certificatesv1.UsageDigitalSignature, certificatesv1.UsageServerAuth}
}

// ownRequest is what the operator has asked for.
type ownRequest struct {
	signer  string
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
	if is.Spec.SignerName != o.signer {
		return fmt.Errorf("its signer is %q, not %q", is.Spec.SignerName, o.signer)
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
