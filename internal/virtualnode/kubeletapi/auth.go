package kubeletapi

import (
	"context"
	"fmt"
	stdlog "log"
	"net/http"
	"strings"
	"time"

	"github.com/go-logr/logr"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/apiserver/pkg/apis/apiserver"
	"k8s.io/apiserver/pkg/authentication/authenticator"
	"k8s.io/apiserver/pkg/authentication/authenticatorfactory"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/apiserver/pkg/authorization/authorizer"
	"k8s.io/apiserver/pkg/authorization/authorizerfactory"
	"k8s.io/apiserver/pkg/endpoints/request"
	"k8s.io/apiserver/pkg/server/dynamiccertificates"
	"k8s.io/client-go/kubernetes"
	"sigs.k8s.io/controller-runtime/pkg/log"
)

// The cluster publishes here by which authority its clients' certificates are
// signed. Role extension-apiserver-authentication-reader lets us read it.
const (
	authenticationConfigMap = "extension-apiserver-authentication"
	clientCAKey             = "client-ca-file"
)

// How long what the API server said of a token or a right is believed, and how
// long it is waited for. The figures are the kubelet's.
const (
	tokenTTL      = 2 * time.Minute
	allowTTL      = 5 * time.Minute
	denyTTL       = 30 * time.Second
	reviewTimeout = 10 * time.Second
)

// +kubebuilder:rbac:groups=authentication.k8s.io,resources=tokenreviews,verbs=create
// +kubebuilder:rbac:groups=authorization.k8s.io,resources=subjectaccessreviews,verbs=create

// gate knows who asks and what they may do.
type gate struct {
	authority     *dynamiccertificates.ConfigMapCAController
	authenticator authenticator.Request
	authorizer    authorizer.Authorizer
}

func newGate(kube kubernetes.Interface) (*gate, error) {
	authority, err := dynamiccertificates.NewDynamicCAFromConfigMapController(
		"client-ca", metav1.NamespaceSystem, authenticationConfigMap, clientCAKey, kube)
	if err != nil {
		return nil, fmt.Errorf("preparing to read the cluster's client authority: %w", err)
	}
	retry := &wait.Backoff{Duration: 500 * time.Millisecond, Factor: 1.5, Jitter: 0.2, Steps: 5}
	authenticator, _, err := authenticatorfactory.DelegatingAuthenticatorConfig{
		Anonymous:                          &apiserver.AnonymousAuthConfig{Enabled: false},
		ClientCertificateCAContentProvider: authority,
		TokenAccessReviewClient:            kube.AuthenticationV1(),
		TokenAccessReviewTimeout:           reviewTimeout,
		CacheTTL:                           tokenTTL,
		WebhookRetryBackoff:                retry,
	}.New()
	if err != nil {
		return nil, fmt.Errorf("preparing to authenticate clients: %w", err)
	}
	authorizer, err := authorizerfactory.DelegatingAuthorizerConfig{
		SubjectAccessReviewClient: kube.AuthorizationV1(),
		AllowCacheTTL:             allowTTL,
		DenyCacheTTL:              denyTTL,
		WebhookRetryBackoff:       retry,
	}.New()
	if err != nil {
		return nil, fmt.Errorf("preparing to authorize clients: %w", err)
	}
	return &gate{authority: authority, authenticator: authenticator, authorizer: authorizer}, nil
}

// run keeps the cluster's client authority up to date.
func (g *gate) run(ctx context.Context) { g.authority.Run(ctx, 1) }

// authenticated lets nobody pass who is not known.
func (g *gate) authenticated(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		known, ok, err := g.authenticator.AuthenticateRequest(r)
		if err != nil || !ok {
			log.FromContext(r.Context()).V(1).Info("Not authenticated", "path", r.URL.Path, "remote", r.RemoteAddr, "cause", err)
			http.Error(w, "Unauthorized", http.StatusUnauthorized)
			return
		}
		next.ServeHTTP(w, r.WithContext(request.WithUser(r.Context(), known.User)))
	})
}

// authorize refuses whom the API server does not give the right to do this
// with the node; an empty name stands for all nodes.
func (g *gate) authorize(r *http.Request, node string) error {
	who, ok := request.UserFrom(r.Context())
	if !ok {
		return refuse(http.StatusUnauthorized, "Unauthorized")
	}
	subresources := subresourcesOf(r.URL.Path)
	for _, subresource := range subresources {
		decision, _, err := g.authorizer.Authorize(r.Context(), attributes(who, r, node, subresource))
		if err != nil {
			return fmt.Errorf("Authorization error (user=%s, verb=%s, resource=nodes, subresource=%s): %w", //nolint:staticcheck // the kubelet's text
				who.GetName(), verb(r.Method), subresource, err)
		}
		if decision == authorizer.DecisionAllow {
			return nil
		}
	}
	return refuse(http.StatusForbidden, "Forbidden (user=%s, verb=%s, resource=nodes, subresource(s)=%v)", who.GetName(), verb(r.Method), subresources)
}

func attributes(who user.Info, r *http.Request, node, subresource string) authorizer.Attributes {
	return authorizer.AttributesRecord{
		User: who, Verb: verb(r.Method), APIVersion: "v1", Resource: "nodes", Subresource: subresource, Name: node,
		ResourceRequest: true, Path: r.URL.Path,
	}
}

// subresourcesOf are the subresources of nodes of which the right to one is
// enough for the path, as a kubelet has it: first the one for this path alone,
// then what it had before there was that.
func subresourcesOf(path string) []string {
	if path == "/healthz" || strings.HasPrefix(path, "/healthz/") {
		return []string{"healthz", "proxy"}
	}
	return []string{"proxy"}
}

// verb is the API's verb for an HTTP method, empty if there is none.
func verb(method string) string {
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
