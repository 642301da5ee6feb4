// Package cloudinit finds the cloud-init document of a class: in the class, or
// in a ConfigMap or Secret of the operator's namespace.
package cloudinit

import (
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"unicode/utf8"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"kip.elotl.co/api/v1beta1"
)

// SourceError says why there is no document where a class says that it is. It
// may come to be there.
type SourceError struct{ Field, Problem string }

// Error names the field of the class.
func (e *SourceError) Error() string { return e.Field + ": " + e.Problem }

// maxInflated bounds what a compressed document may hold, in bytes.
const maxInflated = 1 << 20

// Read gives the document, which may be empty. The error is a *SourceError
// where the object or the key is not there, or not text.
func Read(ctx context.Context, objects client.Reader, namespace string, class *v1beta1.CellClass) (string, error) {
	from, secret, config := sourceOf(namespace, class), &corev1.Secret{}, &corev1.ConfigMap{}
	switch from.kind {
	case kindSecret:
		return read(ctx, objects, from, secret,
			func(key string) ([]byte, bool) { value, found := secret.Data[key]; return value, found })
	case kindConfigMap:
		return read(ctx, objects, from, config, func(key string) ([]byte, bool) {
			if text, found := config.Data[key]; found {
				return []byte(text), true
			}
			value, found := config.BinaryData[key]
			return value, found
		})
	}
	return class.Spec.CloudInit, nil
}

// Field names the field of a class that holds its document, or refers to it:
// then with kind, name and key of the object.
func Field(namespace string, class *v1beta1.CellClass) string {
	from := sourceOf(namespace, class)
	if from.kind == "" {
		return from.field
	}
	return fmt.Sprintf("%s: %s %s/%s key %q", from.field, from.kind, from.namespace, from.ref.Name, from.ref.Key)
}

const (
	kindSecret    = "Secret"
	kindConfigMap = "ConfigMap"
)

func sourceOf(namespace string, class *v1beta1.CellClass) source {
	from := class.Spec.CloudInitFrom
	switch {
	case from == nil:
		return source{field: "spec.cloudInit"}
	case from.SecretKeyRef != nil:
		return source{"spec.cloudInitFrom.secretKeyRef", kindSecret, namespace, *from.SecretKeyRef}
	}
	return source{"spec.cloudInitFrom.configMapKeyRef", kindConfigMap, namespace, *from.ConfigMapKeyRef}
}

// source is where a document is said to be; without a kind in the class itself.
type source struct {
	field, kind, namespace string
	ref                    v1beta1.KeyReference
}

func (s source) problem(format string, args ...any) error {
	return &SourceError{s.field, fmt.Sprintf("%s %s/%s ", s.kind, s.namespace, s.ref.Name) + fmt.Sprintf(format, args...)}
}

func read(ctx context.Context, objects client.Reader, s source, into client.Object, value func(string) ([]byte, bool)) (string, error) {
	err := objects.Get(ctx, client.ObjectKey{Namespace: s.namespace, Name: s.ref.Name}, into)
	if apierrors.IsNotFound(err) {
		return "", s.problem("does not exist")
	}
	if err != nil {
		return "", fmt.Errorf("%s: reading %s %s/%s: %w", s.field, s.kind, s.namespace, s.ref.Name, err)
	}
	content, found := value(s.ref.Key)
	if !found {
		return "", s.problem("has no key %q", s.ref.Key)
	}
	if content, err = inflate(content); err != nil {
		return "", s.problem("key %q: %v", s.ref.Key, err)
	}
	if !utf8.Valid(content) {
		return "", s.problem("key %q: it is neither UTF-8 text nor gzip of such", s.ref.Key)
	}
	return string(content), nil
}

// inflate undoes the compression that cloud-init undoes.
func inflate(content []byte) ([]byte, error) {
	if !bytes.HasPrefix(content, []byte{0x1f, 0x8b}) {
		return content, nil
	}
	reader, err := gzip.NewReader(bytes.NewReader(content))
	if err != nil {
		return nil, fmt.Errorf("decompressing it: %w", err)
	}
	content, err = io.ReadAll(io.LimitReader(reader, maxInflated+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("decompressing it: %w", err)
	case len(content) > maxInflated:
		return nil, fmt.Errorf("it holds over %d bytes", maxInflated)
	}
	return content, nil
}

// Uses says whether a class reads its document from an object.
func Uses(class *v1beta1.CellClass, object client.Object) bool {
	from := class.Spec.CloudInitFrom
	if from == nil {
		return false
	}
	switch object.(type) {
	case *corev1.ConfigMap:
		return from.ConfigMapKeyRef != nil && from.ConfigMapKeyRef.Name == object.GetName()
	case *corev1.Secret:
		return from.SecretKeyRef != nil && from.SecretKeyRef.Name == object.GetName()
	}
	return false
}
