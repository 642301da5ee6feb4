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
	"k8s.io/utils/clock"

	"kip.elotl.co/internal/itzo"
	"kip.elotl.co/internal/podfields"
	"kip.elotl.co/internal/podspec"
)

// nodeObjects reads what a pod refers to, as the pod's node, each object once,
// or takes what another pod's nodeObjects has read since then.
type nodeObjects struct {
	ctx    context.Context // of one dispatch, or refresh
	client kubernetes.Interface
	pod    *corev1.Pod
	agent  *itzo.Client
	tokens *tokens
	clock  clock.PassiveClock
	since  time.Time

	sharedConfigMaps *sharedReads[corev1.ConfigMap]
	sharedSecrets    *sharedReads[corev1.Secret]
	configMaps       map[string]*corev1.ConfigMap // nil: it does not exist
	secrets          map[string]*corev1.Secret
}

func (c *Controller) objectsOf(ctx context.Context, d delivery) *nodeObjects {
	return &nodeObjects{
		ctx: ctx, client: d.node, pod: d.pod, agent: d.agent, tokens: &d.given.tokens, clock: c.Clock, since: d.since,
		sharedConfigMaps: c.configMaps, sharedSecrets: c.secrets,
		configMaps: map[string]*corev1.ConfigMap{}, secrets: map[string]*corev1.Secret{},
	}
}

func (o *nodeObjects) ConfigMap(name string) (*corev1.ConfigMap, error) {
	return readOnce(o, o.configMaps, o.sharedConfigMaps, name, func() (*corev1.ConfigMap, error) {
		return o.client.CoreV1().ConfigMaps(o.pod.Namespace).Get(o.ctx, name, metav1.GetOptions{})
	})
}

func (o *nodeObjects) Secret(name string) (*corev1.Secret, error) {
	return readOnce(o, o.secrets, o.sharedSecrets, name, func() (*corev1.Secret, error) {
		return o.client.CoreV1().Secrets(o.pod.Namespace).Get(o.ctx, name, metav1.GetOptions{})
	})
}

func readOnce[T any](o *nodeObjects, known map[string]*T, shared *sharedReads[T], name string, read func() (*T, error)) (*T, error) {
	if object, read := known[name]; read {
		return object, nil
	}
	key := objectKey{o.pod.Spec.NodeName, o.pod.Namespace, name}
	object, err := shared.get(o.ctx, key, o.since, func() (*T, error) {
		object, err := read()
		if apierrors.IsNotFound(err) {
			return nil, nil
		}
		return object, err
	})
	if err != nil {
		return nil, err
	}
	known[name] = object
	return object, nil
}

func (o *nodeObjects) Cell() (podfields.Cell, error) {
	info, err := o.agent.Info(o.ctx)
	return podfields.Cell{MemoryBytes: info.MemoryBytes, CPUs: info.CPUs, StorageBytes: info.StorageBytes}, err
}

func (o *nodeObjects) Token(source *corev1.ServiceAccountTokenProjection) (string, error) {
	if token := o.tokens.find(source, o.clock.Now()); token != "" {
		return token, nil
	}
	request := &authenticationv1.TokenRequest{Spec: authenticationv1.TokenRequestSpec{
		ExpirationSeconds: source.ExpirationSeconds,
		BoundObjectRef: &authenticationv1.BoundObjectReference{
			APIVersion: "v1", Kind: "Pod", Name: o.pod.Name, UID: o.pod.UID,
		},
	}}
	if source.Audience != "" {
		request.Spec.Audiences = []string{source.Audience}
	}
	asked, account := o.clock.Now(), o.pod.Spec.ServiceAccountName
	token, err := o.client.CoreV1().ServiceAccounts(o.pod.Namespace).CreateToken(o.ctx, account, request, metav1.CreateOptions{})
	if err != nil {
		return "", err
	}
	o.tokens.keep(source, token, asked)
	return token.Status.Token, nil
}

// version is the resource version at which an object was read; empty: it did
// not exist.
func (o *nodeObjects) version(kind podspec.Kind, name string) string {
	if object := o.secrets[name]; kind == podspec.KindSecret && object != nil {
		return object.ResourceVersion
	}
	if object := o.configMaps[name]; kind == podspec.KindConfigMap && object != nil {
		return object.ResourceVersion
	}
	return ""
}

// awaitTimeout is when what a pod lacks is looked for again at the latest.
const awaitTimeout = time.Minute

// missingObject is a MissingError, and what it takes to see it mended.
type missingObject struct {
	*podspec.MissingError
	client    kubernetes.Interface
	namespace string
	version   string
}

// lacking makes a missingObject of what was found to be missing.
func (o *nodeObjects) lacking(missing *podspec.MissingError) *missingObject {
	return &missingObject{MissingError: missing, client: o.client, namespace: o.pod.Namespace, version: o.version(missing.Kind, missing.Name)}
}

// Unwrap gives the MissingError.
func (m *missingObject) Unwrap() error { return m.MissingError }

// await returns nil as soon as the object has come to exist, or has changed.
func (m *missingObject) await(ctx context.Context) error {
	events, err := m.watch(ctx)
	if err != nil {
		return fmt.Errorf("waiting for %s %q: %w", m.Kind, m.Name, err)
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
			if err == nil && e.Type != watch.Deleted && object.GetResourceVersion() != m.version {
				return nil
			}
		}
	}
}

func (m *missingObject) watch(ctx context.Context) (watch.Interface, error) {
	core := m.client.CoreV1()
	options := metav1.ListOptions{FieldSelector: fields.OneTermEqualSelector(metav1.ObjectNameField, m.Name).String()}
	if m.Kind == podspec.KindSecret {
		return core.Secrets(m.namespace).Watch(ctx, options)
	}
	return core.ConfigMaps(m.namespace).Watch(ctx, options)
}
