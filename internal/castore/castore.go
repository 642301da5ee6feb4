// Package castore keeps the cells' certificate authority in a Secret, and
// replaces it while cells run.
package castore

import (
	"context"
	"errors"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"kip.elotl.co/api/v1beta1"
	"kip.elotl.co/internal/pki"
)

// SecretName is the Secret, of type kubernetes.io/tls, in the operator's
// namespace. tls.crt and tls.key are the authority that issues.
const SecretName = "kip-ca"

// The keys of the authority that goes out: it is there as long as a Cell
// depends on it.
const (
	PreviousCertKey       = "previous.crt"
	PreviousPrivateKeyKey = "previous.key"
)

// AnnotationProblem says on the Secret why the operator does not follow it, for
// those who may not read its keys.
const AnnotationProblem = "kip.elotl.co/authority-unusable"

// +kubebuilder:rbac:groups="",namespace=kip-system,resources=secrets,verbs=create
// +kubebuilder:rbac:groups="",namespace=kip-system,resources=secrets,resourceNames=kip-ca,verbs=get;list;watch;update

// LostError says that the Secret is gone, and a Cell depends on what it held.
type LostError struct {
	// Cell names the Cell, What the instance that it has or may have.
	Cell, What string
}

func (e *LostError) Error() string {
	return fmt.Sprintf("it does not exist, but Cell %s has %s, which trusts it: restore the Secret, or delete all Cells, which the next operator ends", e.Cell, e.What)
}

// Load reads the authorities, and makes one where there has never been any.
// Where Cells have instances and are to stay, but the Secret is gone, it refuses
// (LostError, and a Warning event): with a new authority nobody could talk to them any more.
func Load(ctx context.Context, c client.Client, namespace string, now time.Time) (pki.Authorities, error) {
	secret := &corev1.Secret{}
	err := c.Get(ctx, client.ObjectKey{Namespace: namespace, Name: SecretName}, secret)
	if apierrors.IsNotFound(err) {
		secret, err = makeFirst(ctx, c, namespace, now)
	}
	if lost := (*LostError)(nil); errors.As(err, &lost) {
		err = errors.Join(err, reportLost(ctx, c, namespace, lost, now))
	}
	if err != nil {
		return pki.Authorities{}, fmt.Errorf("reading Secret %s/%s: %w", namespace, SecretName, err)
	}
	authorities, err := parse(secret.Data)
	if err != nil {
		return pki.Authorities{}, fmt.Errorf("secret %s/%s: %w", namespace, SecretName, err)
	}
	return authorities, nil
}

// makeFirst makes the authority where no Cell depends on another. Cells that are
// being deleted do not: nobody has to talk to an agent to end them, and they stay
// until an operator has.
func makeFirst(ctx context.Context, c client.Client, namespace string, now time.Time) (*corev1.Secret, error) {
	var cells v1beta1.CellList
	if err := c.List(ctx, &cells); err != nil {
		return nil, fmt.Errorf("listing Cells: %w", err)
	}
	for i := range cells.Items {
		if what := trusting(&cells.Items[i]); what != "" && cells.Items[i].DeletionTimestamp.IsZero() {
			return nil, &LostError{Cell: cells.Items[i].Name, What: what}
		}
	}
	ca, err := pki.NewCA(now, "Kip cells")
	if err != nil {
		return nil, err
	}
	secret, err := newSecret(namespace, ca.Authorities())
	if err != nil {
		return nil, err
	}
	err = c.Create(ctx, secret)
	if apierrors.IsAlreadyExists(err) {
		err = c.Get(ctx, client.ObjectKeyFromObject(secret), secret)
	}
	return secret, err
}

func newSecret(namespace string, authorities pki.Authorities) (*corev1.Secret, error) {
	secret := &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: SecretName},
		Type:       corev1.SecretTypeTLS,
	}
	return secret, fill(secret, authorities)
}

// fill puts the authorities into a Secret, in place of those in it.
func fill(secret *corev1.Secret, authorities pki.Authorities) error {
	if secret.Data == nil {
		secret.Data = map[string][]byte{}
	}
	if secret.Annotations == nil {
		secret.Annotations = map[string]string{}
	}
	for _, slot := range []struct {
		ca                        *pki.CA
		certKey, keyKey, idString string
	}{
		{authorities.Current, corev1.TLSCertKey, corev1.TLSPrivateKeyKey, v1beta1.AnnotationAuthority},
		{authorities.Previous, PreviousCertKey, PreviousPrivateKeyKey, v1beta1.AnnotationPreviousAuthority},
	} {
		if slot.ca == nil {
			delete(secret.Data, slot.certKey)
			delete(secret.Data, slot.keyKey)
			delete(secret.Annotations, slot.idString)
			continue
		}
		key, err := slot.ca.KeyPEM()
		if err != nil {
			return err
		}
		secret.Data[slot.certKey], secret.Data[slot.keyKey] = slot.ca.CertificatePEM(), key
		secret.Annotations[slot.idString] = slot.ca.ID()
	}
	return nil
}

// parse reads the data of the Secret. Its errors quote no key.
func parse(data map[string][]byte) (pki.Authorities, error) {
	current, err := pki.ParseCA(data[corev1.TLSCertKey], data[corev1.TLSPrivateKeyKey])
	if err != nil {
		return pki.Authorities{}, fmt.Errorf("%s, %s: %w", corev1.TLSCertKey, corev1.TLSPrivateKeyKey, err)
	}
	authorities := pki.Authorities{Current: current}
	if len(data[PreviousCertKey]) == 0 && len(data[PreviousPrivateKeyKey]) == 0 {
		return authorities, nil
	}
	authorities.Previous, err = pki.ParseCA(data[PreviousCertKey], data[PreviousPrivateKeyKey])
	if err != nil {
		return pki.Authorities{}, fmt.Errorf("%s, %s: %w", PreviousCertKey, PreviousPrivateKeyKey, err)
	}
	if authorities.Previous.ID() == current.ID() {
		return pki.Authorities{}, fmt.Errorf("%s: it is the certificate of %s", PreviousCertKey, corev1.TLSCertKey)
	}
	return authorities, nil
}

// reportLost makes an event while there is no recorder yet.
func reportLost(ctx context.Context, c client.Client, namespace string, lost *LostError, now time.Time) error {
	err := c.Create(ctx, &eventsv1.Event{
		ObjectMeta:          metav1.ObjectMeta{GenerateName: SecretName + "-", Namespace: namespace},
		EventTime:           metav1.NewMicroTime(now),
		ReportingController: "kip", ReportingInstance: "kip",
		Action: "Load", Reason: v1beta1.ReasonAuthorityLost, Type: corev1.EventTypeWarning,
		Note:      fmt.Sprintf("Secret %s: %v", SecretName, lost),
		Regarding: corev1.ObjectReference{APIVersion: "v1", Kind: "Secret", Namespace: namespace, Name: SecretName},
	})
	if err != nil {
		return fmt.Errorf("making an event of it: %w", err)
	}
	return nil
}
