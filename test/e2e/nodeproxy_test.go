package e2e

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/transport/spdy"

	"kip.elotl.co/api/v1beta1"
	"kip.elotl.co/test/testenv"
)

// TestProxyOfANode: who may use the API server's proxy of one node reaches no pods of another by it, although all virtual nodes are one
// program at one address.
func TestProxyOfANode(t *testing.T) {
	t.Parallel()
	env := environment(t)
	class, ns := readyClass(t, env, "proxied"), namespace(t, env)
	pod := newPod(env, ns, "web", class, "sleep 1000000")
	create(t, env, pod)
	waitForPhase(t, env, pod, corev1.PodRunning)
	own, other := v1beta1.NodeName(class.Name), v1beta1.NodeName(readyClass(t, env, "proxied-too").Name)
	// With a port the API server's proxy goes there, if that is a right of its own to whom it was given, and shows no certificate.
	withPort := "https:" + other + ":" + (&kubectl{env: env, namespace: ns}).run(t, "get", "node", own, "--output=jsonpath={.status.daemonEndpoints.kubeletEndpoint.Port}")
	for node, want := range map[string]string{own: "", other: `pod "web" does not exist on node "` + other, withPort: "Unauthorized"} {
		t.Run(node, func(t *testing.T) {
			who := userOfProxy(t, env, node)
			path := "/api/v1/nodes/" + node + "/proxy/portForward/" + ns + "/web"
			testenv.Eventually(t, soon, "the right to the node's proxy is known", func(context.Context) error {
				if err := beginStream(t, who, path); (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
					return fmt.Errorf("got %w, want %q", err, want)
				}
				return nil
			})
			if err := beginStream(t, who, strings.Replace(path, node, "kip-default", 1)); err == nil || !strings.Contains(err.Error(), "forbidden") {
				t.Errorf("by a node without rights: got %v", err)
			}
		})
	}
}

// userOfProxy is a user who may use the API server's proxy of one node.
func userOfProxy(t *testing.T, env *testenv.Env, node string) *rest.Config {
	t.Helper()
	name := "proxy-of-" + strings.ReplaceAll(node, ":", "-")
	create(t, env, &rbacv1.ClusterRole{ObjectMeta: metav1.ObjectMeta{Name: name}, Rules: []rbacv1.PolicyRule{
		{APIGroups: []string{""}, Resources: []string{"nodes/proxy"}, ResourceNames: []string{node}, Verbs: []string{"get", "create"}},
	}})
	create(t, env, &rbacv1.ClusterRoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: name}, Subjects: []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: rbacv1.UserKind, Name: name}},
		RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: name},
	})
	config := rest.CopyConfig(env.Config)
	config.Impersonate = rest.ImpersonationConfig{UserName: name}
	return config
}

func beginStream(t *testing.T, who *rest.Config, path string) error {
	t.Helper()
	transport, upgrader, err := spdy.RoundTripperFor(who)
	if err != nil {
		t.Fatal(err)
	}
	at, err := url.Parse(who.Host + path)
	if err != nil {
		t.Fatal(err)
	}
	conn, _, err := spdy.NewDialer(upgrader, &http.Client{Transport: transport}, http.MethodPost, at).Dial("portforward.k8s.io")
	if err == nil {
		conn.Close()
	}
	return err
}
