package devcluster

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"testing"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
)

// TestCluster looks at one running cluster from several sides.
func TestCluster(t *testing.T) {
	c := startCluster(t, Config{BindAddresses: []net.IP{net.IPv4(127, 0, 0, 2), net.IPv4(192, 0, 2, 1)}})
	for _, tt := range []struct {
		name string
		test func(*testing.T, *Cluster)
	}{
		{"ready on every address that the machine has", testReady},
		{"anonymous", testAnonymous},
		{"node authorizer", testNodeAuthorizer},
		{"scheduling", testScheduling},
		{"kubernetes service", testKubernetesService},
		{"kubelet serving certificate", testKubeletServing},
		{"constrained impersonation", testConstrainedImpersonation},
		{"service account kubeconfig", testServiceAccountKubeconfig},
	} {
		t.Run(tt.name, func(t *testing.T) { tt.test(t, c) })
	}
}

func testReady(t *testing.T, c *Cluster) {
	for _, address := range c.URLs()[:2] {
		config := must[*rest.Config](t)(c.RESTConfig())
		config.Host = address
		client := clientFor(t, config)
		body, err := client.Discovery().RESTClient().Get().AbsPath("/readyz").DoRaw(t.Context())
		if err != nil || string(body) != "ok" {
			t.Errorf("%s: %q, %v", address, body, err)
		}
		version, err := client.Discovery().ServerVersion()
		if err != nil {
			t.Fatal(err)
		}
		if version.GitVersion != "v1.36.3" || version.Minor != "36" {
			t.Errorf("%s: version %+v", address, version)
		}
	}
	if last := must[*url.URL](t)(url.Parse(c.URLs()[2])); last.Hostname() != "192.0.2.1" {
		t.Errorf("last URL = %v", last)
	}
}

func testAnonymous(t *testing.T, c *Cluster) {
	config := rest.AnonymousClientConfig(must[*rest.Config](t)(c.RESTConfig()))
	_, err := clientFor(t, config).CoreV1().Pods(namespace).List(t.Context(), metav1.ListOptions{})
	if !apierrors.IsForbidden(err) {
		t.Errorf("listing pods as nobody: %v, want Forbidden", err)
	}
}

// testNodeAuthorizer looks at what a node may, asked as the node itself by means of the administrator's unrestricted impersonation.
func testNodeAuthorizer(t *testing.T, c *Cluster) {
	config := must[*rest.Config](t)(c.RESTConfig())
	config.Impersonate = rest.ImpersonationConfig{UserName: "system:node:any", Groups: []string{"system:nodes"}}
	node := clientFor(t, config)
	tests := []struct {
		verb, resource, name string
		want                 bool
	}{
		{"create", "nodes", "", true},
		{"list", "services", "", true},
		{"get", "secrets", "unrelated", false},
		{"list", "secrets", "", false},
		{"delete", "namespaces", "default", false},
	}
	for _, tt := range tests {
		review := &authorizationv1.SelfSubjectAccessReview{Spec: authorizationv1.SelfSubjectAccessReviewSpec{
			ResourceAttributes: &authorizationv1.ResourceAttributes{Namespace: namespace, Verb: tt.verb, Resource: tt.resource, Name: tt.name},
		}}
		got, err := node.AuthorizationV1().SelfSubjectAccessReviews().Create(t.Context(), review, metav1.CreateOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if got.Status.Allowed != tt.want {
			t.Errorf("%s %s %s: allowed = %v (%s), want %v", tt.verb, tt.resource, tt.name, got.Status.Allowed, got.Status.Reason, tt.want)
		}
	}
	// NodeRestriction: the authorizer lets a node create nodes, admission only itself.
	_, err := node.CoreV1().Nodes().Create(t.Context(), &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "other"}}, metav1.CreateOptions{})
	if !apierrors.IsForbidden(err) {
		t.Errorf("a node creating another: %v, want Forbidden", err)
	}
}

func testScheduling(t *testing.T, c *Cluster) {
	client := admin(t, c)
	pods := client.CoreV1().Pods(namespace)
	must[*corev1.Pod](t)(pods.Create(t.Context(), pod("scheduled", "n-scheduling", false), metav1.CreateOptions{}))
	eventually(t, "the pod is found unschedulable", func(ctx context.Context) error {
		p, err := pods.Get(ctx, "scheduled", metav1.GetOptions{})
		if err != nil {
			return err
		}
		for _, cond := range p.Status.Conditions {
			if cond.Type == corev1.PodScheduled && cond.Reason == corev1.PodReasonUnschedulable {
				return nil
			}
		}
		return fmt.Errorf("conditions %v", p.Status.Conditions)
	})
	addNode(t, client, "n-scheduling", "127.0.0.1", 1)
	eventually(t, "the pod is bound", func(ctx context.Context) error {
		p, err := pods.Get(ctx, "scheduled", metav1.GetOptions{})
		if err != nil {
			return err
		}
		if p.Spec.NodeName != "n-scheduling" || p.Status.Phase != corev1.PodPending {
			return fmt.Errorf("node %q, phase %s", p.Spec.NodeName, p.Status.Phase)
		}
		return nil
	})
}

func testKubernetesService(t *testing.T, c *Cluster) {
	client := admin(t, c)
	eventually(t, "the Service leads to the bind address that is not loopback", func(ctx context.Context) error {
		slices, err := client.DiscoveryV1().EndpointSlices(namespace).List(ctx, metav1.ListOptions{
			LabelSelector: discoveryv1.LabelServiceName + "=kubernetes",
		})
		if err != nil {
			return err
		}
		for _, slice := range slices.Items {
			if len(slice.Endpoints) == 1 && slice.Endpoints[0].Addresses[0] == "192.0.2.1" && int(*slice.Ports[0].Port) == c.Ports().APIServer {
				return nil
			}
		}
		return fmt.Errorf("endpoints %+v", slices.Items)
	})
}

func testServiceAccountKubeconfig(t *testing.T, c *Cluster) {
	path := filepath.Join(t.TempDir(), "operator.kubeconfig")
	const name = "operator"
	if err := c.KubeconfigForServiceAccount(t.Context(), namespace, name, path, time.Hour); !apierrors.IsNotFound(err) {
		t.Errorf("for a missing ServiceAccount: %v, want NotFound", err)
	}
	allow(t, admin(t, c), name, nil)
	write := func() (kubeconfig, token string) {
		t.Helper()
		if err := c.KubeconfigForServiceAccount(t.Context(), namespace, name, path, 48*time.Hour); err != nil {
			t.Fatal(err)
		}
		return string(must[[]byte](t)(os.ReadFile(path))), string(must[[]byte](t)(os.ReadFile(path + ".token")))
	}
	kubeconfig, token := write()
	config := must[*rest.Config](t)(clientcmd.BuildConfigFromFlags("", path))
	review, err := clientFor(t, config).AuthenticationV1().SelfSubjectReviews().Create(t.Context(), &authenticationv1.SelfSubjectReview{}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if got := review.Status.UserInfo.Username; got != "system:serviceaccount:default:operator" {
		t.Errorf("user = %s", got)
	}
	eventually(t, "a new token is issued", func(context.Context) error {
		kubeconfig2, token2 := write()
		if kubeconfig2 != kubeconfig {
			t.Error("the kubeconfig changed with the token")
		}
		if token2 == token {
			return errors.New("same token")
		}
		return nil
	})
}
