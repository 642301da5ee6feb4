// Package castore keeps the cells' certificate authority in a Secret.
package castore

import (
	"context"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"kip.elotl.co/api/v1beta1"
	"kip.elotl.co/internal/pki"
)

// SecretName is the Secret, of type kubernetes.io/tls, in the operator's namespace.
const SecretName = "kip-ca"

// +kubebuilder:rbac:groups="",namespace=kip-system,resources=secrets,verbs=create
// +kubebuilder:rbac:groups="",namespace=kip-system,resources=secrets,resourceNames=kip-ca,verbs=get

// Load reads the authority, and makes it where there has never been one. Where
// Cells have instances but the Secret is gone, it refuses: with a new
// authority nobody could talk to them any more.
func Load(ctx context.Context, c client.Client, namespace string, now time.Time) (*pki.CA, error) {
	secret := &corev1.Secret{}
	err := c.Get(ctx, client.ObjectKey{Namespace: namespace, Name: SecretName}, secret)
	if apierrors.IsNotFound(err) {
		secret, err = create(ctx, c, namespace, now)
	}
	if err != nil {
		return nil, fmt.Errorf("reading Secret %s/%s: %w", namespace, SecretName, err)
	}
	ca, err := pki.ParseCA(secret.Data[corev1.TLSCertKey], secret.Data[corev1.TLSPrivateKeyKey])
	if err != nil {
		return nil, fmt.Errorf("secret %s/%s: %w", namespace, SecretName, err)
	}
	return ca, nil
}

func create(ctx context.Context, c client.Client, namespace string, now time.Time) (*corev1.Secret, error) {
	var cells v1beta1.CellList
	if err := c.List(ctx, &cells); err != nil {
		return nil, fmt.Errorf("listing Cells: %w", err)
	}
	for i := range cells.Items {
		if what := trusting(&cells.Items[i]); what != "" {
			return nil, fmt.Errorf("it does not exist, but Cell %s has %s, which trusts it: restore the Secret, or delete all Cells",
				cells.Items[i].Name, what)
		}
	}
	ca, err := pki.NewCA(now, "Kip cells")
	if err != nil {
		return nil, err
	}
	key, err := ca.KeyPEM()
	if err != nil {
		return nil, err
	}
	secret := &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: SecretName},
		Type:       corev1.SecretTypeTLS,
		Data:       map[string][]byte{corev1.TLSCertKey: ca.CertificatePEM(), corev1.TLSPrivateKeyKey: key},
	}
	err = c.Create(ctx, secret)
	if apierrors.IsAlreadyExists(err) {
		err = c.Get(ctx, client.ObjectKeyFromObject(secret), secret)
	}
	return secret, err
}

// trusting names the instance that a Cell has, or may have because it was
// being launched when the last operator ended; empty when there is none.
func trusting(cell *v1beta1.Cell) string {
	attempts := cell.Status.Attempts
	switch {
	case cell.Status.InstanceID != "":
		return "instance " + cell.Status.InstanceID
	case len(attempts) > 0 && attempts[len(attempts)-1].EndTime == nil:
		return "an instance that is being launched"
	}
	return ""
}
