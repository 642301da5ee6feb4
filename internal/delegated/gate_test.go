package delegated_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-logr/logr"
	authenticationv1 "k8s.io/api/authentication/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	clocktesting "k8s.io/utils/clock/testing"

	"kip.elotl.co/internal/delegated"
	"kip.elotl.co/test/fixture"
)

var server fixture.APIServer

func TestMain(m *testing.M) { os.Exit(server.Run(m)) }

const namespace = metav1.NamespaceDefault

// cluster is the API server, and what stands between it and the gate: it
// counts reviews, and answers the next of them with failures.
type cluster struct {
	t        *testing.T
	admin    kubernetes.Interface
	kube     kubernetes.Interface
	config   *rest.Config
	reviews  atomic.Int64
	failures atomic.Int64
	code     int // of the failures
}

func newCluster(t *testing.T, code int) *cluster {
	t.Helper()
	config := server.Config(t)
	c := &cluster{t: t, admin: clientFor(t, config), code: code}
	transport, err := rest.TransportFor(config)
	if err != nil {
		t.Fatal(err)
	}
	target, _, err := rest.DefaultServerUrlFor(config)
	if err != nil {
		t.Fatal(err)
	}
	between := httptest.NewServer(c.between(target, transport))
	t.Cleanup(between.Close)
	c.config = &rest.Config{Host: between.URL, QPS: -1}
	c.kube = clientFor(t, c.config)
	return c
}

func (c *cluster) between(target *url.URL, transport http.RoundTripper) http.Handler {
	proxy := &httputil.ReverseProxy{Transport: transport, Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(target) }}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "reviews") {
			c.reviews.Add(1)
			if c.failures.Add(-1) >= 0 {
				http.Error(w, "not now", c.code)
				return
			}
		}
		proxy.ServeHTTP(w, r)
	})
}

func clientFor(t *testing.T, config *rest.Config) kubernetes.Interface {
	t.Helper()
	kube, err := kubernetes.NewForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	return kube
}

// account makes a ServiceAccount, and gives a token of it.
func (c *cluster) account(name string) string {
	c.t.Helper()
	accounts := c.admin.CoreV1().ServiceAccounts(namespace)
	if _, err := accounts.Create(c.t.Context(), &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: name}}, metav1.CreateOptions{}); err != nil {
		c.t.Fatal(err)
	}
	token, err := accounts.CreateToken(c.t.Context(), name, &authenticationv1.TokenRequest{}, metav1.CreateOptions{})
	if err != nil {
		c.t.Fatal(err)
	}
	return token.Status.Token
}

// allow gives the ServiceAccount the right to what the rule says, and waits
// until the API server knows.
func (c *cluster) allow(name string, rule rbacv1.PolicyRule, known authorizationv1.SubjectAccessReviewSpec) {
	c.t.Helper()
	ctx, meta := c.t.Context(), metav1.ObjectMeta{Name: name}
	if _, err := c.admin.RbacV1().ClusterRoles().Create(ctx, &rbacv1.ClusterRole{ObjectMeta: meta, Rules: []rbacv1.PolicyRule{rule}}, metav1.CreateOptions{}); err != nil {
		c.t.Fatal(err)
	}
	binding := &rbacv1.ClusterRoleBinding{
		ObjectMeta: meta, RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: name},
		Subjects: []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Namespace: namespace, Name: name}},
	}
	if _, err := c.admin.RbacV1().ClusterRoleBindings().Create(ctx, binding, metav1.CreateOptions{}); err != nil {
		c.t.Fatal(err)
	}
	c.waitFor(name, known, true)
}

// disallow takes the right back.
func (c *cluster) disallow(name string, known authorizationv1.SubjectAccessReviewSpec) {
	c.t.Helper()
	if err := c.admin.RbacV1().ClusterRoleBindings().Delete(c.t.Context(), name, metav1.DeleteOptions{}); err != nil {
		c.t.Fatal(err)
	}
	c.waitFor(name, known, false)
}

func (c *cluster) waitFor(name string, known authorizationv1.SubjectAccessReviewSpec, want bool) {
	c.t.Helper()
	known.User = "system:serviceaccount:" + namespace + ":" + name
	fixture.Eventually(c.t, "the right is known", func(ctx context.Context) error {
		review, err := c.admin.AuthorizationV1().SubjectAccessReviews().Create(ctx, &authorizationv1.SubjectAccessReview{Spec: known}, metav1.CreateOptions{})
		if err == nil && review.Status.Allowed != want {
			err = fmt.Errorf("allowed: %v", review.Status.Allowed)
		}
		return err
	})
}

var (
	nodeProxy = authorizationv1.ResourceAttributes{Verb: "get", Version: "v1", Resource: "nodes", Subresource: "proxy", Name: "kip-a"}
	proxyRule = rbacv1.PolicyRule{APIGroups: []string{""}, Resources: []string{"nodes/proxy"}, Verbs: []string{"get"}, ResourceNames: []string{"kip-a"}}
	proxySpec = authorizationv1.SubjectAccessReviewSpec{ResourceAttributes: &nodeProxy}
)

// may asks the gate over HTTP with a token: the answer is 200 when what is
// allowed, 403 when not, 500 when nobody knows.
func may(t *testing.T, gate *delegated.Gate, token string, what authorizationv1.ResourceAttributes) int {
	t.Helper()
	return get(t, gate.Authenticated(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch allowed, err := gate.May(r.Context(), what); {
		case err != nil:
			http.Error(w, err.Error(), http.StatusInternalServerError)
		case !allowed:
			http.Error(w, "no", http.StatusForbidden)
		}
	})), token)
}

func get(t *testing.T, handler http.Handler, token string) int {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/metrics", http.NoBody)
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	w := httptest.NewRecorder()
	handler.ServeHTTP(w, r)
	return w.Code
}

func TestGate(t *testing.T) {
	c := newCluster(t, http.StatusInternalServerError)
	gate := delegated.New(c.kube, clocktesting.NewFakePassiveClock(time.Now()))
	able, unable := c.account("gate-able"), c.account("gate-unable")
	c.allow("gate-able", proxyRule, proxySpec)
	other := nodeProxy
	other.Name = "kip-b"
	write := nodeProxy
	write.Verb = "create"
	for _, test := range []struct {
		name, token string
		what        authorizationv1.ResourceAttributes
		want        int
	}{
		{"nobody", "", nodeProxy, http.StatusUnauthorized},
		{"a token of nobody", "abc", nodeProxy, http.StatusUnauthorized},
		{"the right", able, nodeProxy, http.StatusOK},
		{"the right to another node", able, other, http.StatusForbidden},
		{"the right to another verb", able, write, http.StatusForbidden},
		{"no rights", unable, nodeProxy, http.StatusForbidden},
		{"the right, again", able, nodeProxy, http.StatusOK},
	} {
		t.Run(test.name, func(t *testing.T) {
			if got := may(t, gate, test.token, test.what); got != test.want {
				t.Errorf("got %d, want %d", got, test.want)
			}
		})
	}
	// One for each of three tokens, one for each of four questions.
	if got := c.reviews.Load(); got != 7 {
		t.Errorf("%d reviews", got)
	}
	if _, err := gate.May(t.Context(), nodeProxy); err == nil {
		t.Error("an answer for nobody")
	}
}

// What the API server said holds for a while, and no longer.
func TestAnswersExpire(t *testing.T) {
	c := newCluster(t, http.StatusInternalServerError)
	clock := clocktesting.NewFakePassiveClock(time.Now())
	gate := delegated.New(c.kube, clock)
	token := c.account("expire")
	expect := func(after time.Duration, want int) {
		t.Helper()
		clock.SetTime(clock.Now().Add(after))
		if got := may(t, gate, token, nodeProxy); got != want {
			t.Errorf("got %d, want %d", got, want)
		}
	}
	expect(0, http.StatusForbidden)
	c.allow("expire", proxyRule, proxySpec)
	expect(delegated.DenyTTL-time.Second, http.StatusForbidden)
	expect(2*time.Second, http.StatusOK)
	c.disallow("expire", proxySpec)
	expect(delegated.AllowTTL-time.Second, http.StatusOK)
	expect(2*time.Second, http.StatusForbidden)
}

// A review that fails is repeated as it was, or nobody gets in.
func TestReviewFails(t *testing.T) {
	for _, test := range []struct {
		name           string
		code, failures int
		want           int
		reviews        int64
	}{
		{"once", http.StatusInternalServerError, 1, http.StatusOK, 3},
		{"too many requests", http.StatusTooManyRequests, 1, http.StatusOK, 3},
		{"always", http.StatusInternalServerError, 1000, http.StatusUnauthorized, 5},
		{"for good", http.StatusForbidden, 1000, http.StatusUnauthorized, 1},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := newCluster(t, test.code)
			name := "fails-" + strings.ReplaceAll(test.name, " ", "-")
			token := c.account(name)
			c.allow(name, proxyRule, proxySpec)
			c.failures.Store(int64(test.failures))
			gate := delegated.New(c.kube, clocktesting.NewFakePassiveClock(time.Now()))
			if got := may(t, gate, token, nodeProxy); got != test.want {
				t.Errorf("got %d, want %d", got, test.want)
			}
			if got := c.reviews.Load(); got != test.reviews {
				t.Errorf("%d reviews, want %d", got, test.reviews)
			}
		})
	}
	t.Run("of the right", func(t *testing.T) {
		c := newCluster(t, http.StatusForbidden)
		token := c.account("fails-right")
		gate := delegated.New(c.kube, clocktesting.NewFakePassiveClock(time.Now()))
		code := get(t, gate.Authenticated(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			c.failures.Store(1)
			if allowed, err := gate.May(r.Context(), nodeProxy); err == nil || allowed {
				http.Error(w, fmt.Sprint(allowed, err), http.StatusTeapot)
			}
			// A failure is no answer to remember.
			if allowed, err := gate.May(r.Context(), nodeProxy); err != nil || allowed {
				http.Error(w, fmt.Sprint(allowed, err), http.StatusTeapot)
			}
		})), token)
		if code != http.StatusOK {
			t.Errorf("got %d", code)
		}
	})
}

func TestMetricsFilter(t *testing.T) {
	c := newCluster(t, http.StatusForbidden)
	filter, err := delegated.MetricsFilter(c.config, http.DefaultClient)
	if err != nil {
		t.Fatal(err)
	}
	handler, err := filter(logr.Discard(), http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	if err != nil {
		t.Fatal(err)
	}
	able, unable := c.account("metrics-able"), c.account("metrics-unable")
	c.allow("metrics-able", rbacv1.PolicyRule{NonResourceURLs: []string{"/metrics"}, Verbs: []string{"get"}}, authorizationv1.SubjectAccessReviewSpec{
		NonResourceAttributes: &authorizationv1.NonResourceAttributes{Path: "/metrics", Verb: "get"},
	})
	for token, want := range map[string]int{"": http.StatusUnauthorized, "abc": http.StatusUnauthorized, unable: http.StatusForbidden, able: http.StatusOK} {
		if got := get(t, handler, token); got != want {
			t.Errorf("token %.8s…: got %d, want %d", token, got, want)
		}
	}
	if _, err := delegated.MetricsFilter(&rest.Config{Host: "127.0.0.1:1:1"}, http.DefaultClient); err == nil {
		t.Error("a filter without a cluster")
	}
}
