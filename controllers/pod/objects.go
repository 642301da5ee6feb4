package pod

import (
	"context"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
)

// nodeObjects reads what a pod's volumes refer to, as the pod's node.
type nodeObjects struct {
	ctx    context.Context // of one dispatch
	client kubernetes.Interface
	pod    *corev1.Pod
}

func (o *nodeObjects) ConfigMap(name string) (*corev1.ConfigMap, error) {
	object, err := o.client.CoreV1().ConfigMaps(o.pod.Namespace).Get(o.ctx, name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return nil, nil
	}
	return object, err
}

func (o *nodeObjects) Secret(name string) (*corev1.Secret, error) {
	object, err := o.client.CoreV1().Secrets(o.pod.Namespace).Get(o.ctx, name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return nil, nil
	}
	return object, err
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
