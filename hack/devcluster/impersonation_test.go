package devcluster

import (
	"context"
	"path/filepath"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
)

// testConstrainedImpersonation shows what the operator builds on: a ServiceAccount that may impersonate one node, to get Secrets only, reads
// those that pods on that node refer to, and no others.
func testConstrainedImpersonation(t *testing.T, c *Cluster) {
	client := admin(t, c)
	const node, other = "n-impersonated", "n-other"
	for _, name := range []string{node, other} {
		addNode(t, client, name, "127.0.0.1", 1)
		createSecret(t, client, "of-"+name)
		p := pod("secret-user-"+name, name, true)
		p.Spec.Containers[0].EnvFrom = []corev1.EnvFromSource{{SecretRef: &corev1.SecretEnvSource{
			LocalObjectReference: corev1.LocalObjectReference{Name: "of-" + name},
		}}}
		must[*corev1.Pod](t)(client.CoreV1().Pods(namespace).Create(t.Context(), p, metav1.CreateOptions{}))
	}
	createSecret(t, client, "unrelated")
	allow(t, client, "impersonator", []rbacv1.PolicyRule{
		{APIGroups: []string{"authentication.k8s.io"}, Resources: []string{"nodes"}, ResourceNames: []string{node}, Verbs: []string{"impersonate:arbitrary-node"}},
		{APIGroups: []string{""}, Resources: []string{"secrets"}, Verbs: []string{"impersonate-on:arbitrary-node:get"}},
	})
	self, asNode, asOther := impersonators(t, c, node, other)

	eventually(t, "the node's Secret is readable", func(ctx context.Context) error {
		_, err := asNode.CoreV1().Secrets(namespace).Get(ctx, "of-"+node, metav1.GetOptions{})
		return err
	})
	tests := []struct {
		name string
		call func(ctx context.Context) error
	}{
		{"Secret of another node's pod", get(asNode, "of-"+other)},
		{"Secret that no pod refers to", get(asNode, "unrelated")},
		{"its own node's Secret as another node", get(asOther, "of-"+other)},
		{"Secret without impersonation", get(self, "of-"+node)},
		{"an action that is not granted, though the node may do it", func(ctx context.Context) error {
			_, err := asNode.CoreV1().Nodes().Get(ctx, node, metav1.GetOptions{})
			return err
		}},
	}
	for _, tt := range tests {
		if err := tt.call(t.Context()); !apierrors.IsForbidden(err) {
			t.Errorf("%s: %v, want Forbidden", tt.name, err)
		}
	}
}

func createSecret(t *testing.T, client kubernetes.Interface, name string) {
	t.Helper()
	secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: name}, StringData: map[string]string{"key": "value"}}
	must[*corev1.Secret](t)(client.CoreV1().Secrets(namespace).Create(t.Context(), secret, metav1.CreateOptions{}))
}

// impersonators are clients of the ServiceAccount: as itself, and as each of two nodes, by user name only.
func impersonators(t *testing.T, c *Cluster, node, other string) (self, asNode, asOther kubernetes.Interface) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "kubeconfig")
	if err := c.KubeconfigForServiceAccount(t.Context(), namespace, "impersonator", path, time.Hour); err != nil {
		t.Fatal(err)
	}
	as := func(user string) kubernetes.Interface {
		config := must[*rest.Config](t)(clientcmd.BuildConfigFromFlags("", path))
		config.Impersonate.UserName = user
		return clientFor(t, config)
	}
	return as(""), as("system:node:" + node), as("system:node:" + other)
}

func get(client kubernetes.Interface, secret string) func(context.Context) error {
	return func(ctx context.Context) error {
		_, err := client.CoreV1().Secrets(namespace).Get(ctx, secret, metav1.GetOptions{})
		return err
	}
}
