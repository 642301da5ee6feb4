package pod

import (
	"context"
	"fmt"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/kubernetes"

	"kip.elotl.co/internal/podspec"
)

// nodeObjects reads what a pod's volumes refer to, as the pod's node.
type nodeObjects struct {
	ctx    context.Context // of one dispatch
	client kubernetes.Interface
	pod    *corev1.Pod
	last   reference
}

// reference is an object that was read.
type reference struct {
	name   string
	secret bool // else a ConfigMap
	// version is the resource version; empty: it did not exist.
	version string
}

func (o *nodeObjects) ConfigMap(name string) (*corev1.ConfigMap, error) {
	o.last = reference{name: name}
	object, err := o.client.CoreV1().ConfigMaps(o.pod.Namespace).Get(o.ctx, name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	o.last.version = object.ResourceVersion
	return object, nil
}

func (o *nodeObjects) Secret(name string) (*corev1.Secret, error) {
	o.last = reference{name: name, secret: true}
	object, err := o.client.CoreV1().Secrets(o.pod.Namespace).Get(o.ctx, name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	o.last.version = object.ResourceVersion
	return object, nil
}

func (o *nodeObjects) Token(source *corev1.ServiceAccountTokenProjection) (string, error) {
	request := &authenticationv1.TokenRequest{Spec: authenticationv1.TokenRequestSpec{
		ExpirationSeconds: source.ExpirationSeconds,
		BoundObjectRef: &authenticationv1.BoundObjectReference{
			APIVersion: "v1", Kind: "Pod", Name: o.pod.Name, UID: o.pod.UID,
		},
	}}
	if source.Audience != "" {
		request.Spec.Audiences = []string{source.Audience}
	}
	account := o.pod.Spec.ServiceAccountName
	token, err := o.client.CoreV1().ServiceAccounts(o.pod.Namespace).CreateToken(o.ctx, account, request, metav1.CreateOptions{})
	if err != nil {
		return "", err
	}
	return token.Status.Token, nil
}

// awaitTimeout is when a volume that lacks an object is tried again at the latest.
const awaitTimeout = time.Minute

// missingObject is a MissingError, and the object that would mend it.
type missingObject struct {
	*podspec.MissingError
	objects *nodeObjects
	last    reference
}

// Unwrap gives the MissingError.
func (m *missingObject) Unwrap() error { return m.MissingError }

// await returns nil as soon as the object has come to exist, or has changed.
func (m *missingObject) await(ctx context.Context) error {
	events, err := m.watch(ctx)
	if err != nil {
		return fmt.Errorf("waiting for %s: %w", m.Object, err)
	}
	defer events.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case e, open := <-events.ResultChan():
			if !open || e.Type == watch.Error {
				return nil // to read it again is right in any case
			}
			object, err := meta.Accessor(e.Object)
			if err == nil && e.Type != watch.Deleted && object.GetResourceVersion() != m.last.version {
				return nil
			}
		}
	}
}

func (m *missingObject) watch(ctx context.Context) (watch.Interface, error) {
	core, namespace := m.objects.client.CoreV1(), m.objects.pod.Namespace
	options := metav1.ListOptions{FieldSelector: fields.OneTermEqualSelector(metav1.ObjectNameField, m.last.name).String()}
	if m.last.secret {
		return core.Secrets(namespace).Watch(ctx, options)
	}
	return core.ConfigMaps(namespace).Watch(ctx, options)
}
