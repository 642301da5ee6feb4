package kubeletapi

import (
	"context"
	"fmt"
	stdlog "log"
	"net/http"
	"strings"

	"github.com/go-logr/logr"
	authorizationv1 "k8s.io/api/authorization/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apiserver/pkg/authentication/request/x509"
	"k8s.io/apiserver/pkg/server/dynamiccertificates"
	"k8s.io/client-go/kubernetes"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"kip.elotl.co/internal/delegated"
)

// The cluster publishes here by which authority its clients' certificates are
// signed. Role extension-apiserver-authentication-reader lets us read it.
const (
	authenticationConfigMap = "extension-apiserver-authentication"
	clientCAKey             = "client-ca-file"
)

// gate knows who asks and what they may do.
type gate struct {
	*delegated.Gate
	authority *dynamiccertificates.ConfigMapCAController
}

func newGate(kube kubernetes.Interface, wall clock.PassiveClock) (*gate, error) {
	authority, err := dynamiccertificates.NewDynamicCAFromConfigMapController(
		"client-ca", metav1.NamespaceSystem, authenticationConfigMap, clientCAKey, kube)
	if err != nil {
		return nil, fmt.Errorf("preparing to read the cluster's client authority: %w", err)
	}
	certificates := x509.NewDynamic(authority.VerifyOptions, x509.CommonNameUserConversion)
	return &gate{Gate: delegated.New(kube, wall, certificates), authority: authority}, nil
}

// run keeps the cluster's client authority up to date.
func (g *gate) run(ctx context.Context) { g.authority.Run(ctx, 1) }

// authorize refuses whom the API server does not give the right to do this
// with the node.
func (g *gate) authorize(r *http.Request, node string) error {
	who, ok := delegated.Asker(r.Context())
	if !ok {
		return refuse(http.StatusUnauthorized, "Unauthorized")
	}
	subresources, verb := subresourcesOf(r.URL.Path), verbOf(r.Method, r.URL.Path)
	for _, subresource := range subresources {
		allowed, err := g.May(r.Context(), authorizationv1.ResourceAttributes{
			Verb: verb, Version: "v1", Resource: "nodes", Subresource: subresource, Name: node,
		})
		if err != nil {
			return fmt.Errorf("Authorization error (user=%s, verb=%s, resource=nodes, subresource=%s): %w", //nolint:staticcheck // the kubelet's text
				who.GetName(), verb, subresource, err)
		}
		if allowed {
			return nil
		}
	}
	return refuse(http.StatusForbidden, "Forbidden (user=%s, verb=%s, resource=nodes, subresource(s)=%v)", who.GetName(), verb, subresources)
}

// subresourcesOf are the subresources of nodes of which the right to one is
// enough for the path, as a kubelet has it: where there came one for this path
// alone, what it had before is enough too.
func subresourcesOf(path string) []string {
	switch firstOf(path) {
	case "healthz":
		return []string{"healthz", "proxy"}
	case "pods", "runningpods":
		return []string{"pods", "proxy"}
	case "stats", "metrics":
		return []string{firstOf(path)}
	}
	return []string{"proxy"}
}

func firstOf(path string) string {
	first, _, _ := strings.Cut(strings.TrimPrefix(path, "/"), "/")
	return first
}

// verbOf is the API's verb for an HTTP method, empty if there is none. Streams
// are created, also those that begin with GET, as WebSockets do: to a kubelet
// that is a right to get, by which who may only look could run commands.
func verbOf(method, path string) string {
	switch firstOf(path) {
	case "exec", "attach", "portForward":
		return "create"
	}
	switch method {
	case http.MethodPost:
		return "create"
	case http.MethodGet:
		return "get"
	case http.MethodPut:
		return "update"
	case http.MethodPatch:
		return "patch"
	case http.MethodDelete:
		return "delete"
	}
	return ""
}

// quiet logs what http.Server complains about, such as clients that break off
// a handshake, for those who look closely.
func quiet(ctx context.Context) *stdlog.Logger {
	return stdlog.New(logWriter{log.FromContext(ctx)}, "", 0)
}

type logWriter struct{ log logr.Logger }

func (l logWriter) Write(text []byte) (int, error) {
	l.log.V(1).Info("Kubelet API", "message", strings.TrimSpace(string(text)))
	return len(text), nil
}
