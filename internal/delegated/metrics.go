package delegated

import (
	"fmt"
	"net/http"
	"strings"

	"github.com/go-logr/logr"
	authorizationv1 "k8s.io/api/authorization/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/utils/clock"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"
)

// MetricsFilter lets those read metrics whom the cluster gives the right to
// get their path: nonResourceURLs /metrics, verb get. It is the FilterProvider
// of the metrics server's options.
func MetricsFilter(config *rest.Config, client *http.Client) (metricsserver.Filter, error) {
	kube, err := kubernetes.NewForConfigAndClient(config, client)
	if err != nil {
		return nil, fmt.Errorf("making a client to protect metrics: %w", err)
	}
	gate := New(kube, clock.RealClock{})
	return func(log logr.Logger, next http.Handler) (http.Handler, error) {
		return gate.Authenticated(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			allowed, err := gate.MayPath(r.Context(), authorizationv1.NonResourceAttributes{Path: r.URL.Path, Verb: strings.ToLower(r.Method)})
			switch {
			case err != nil:
				log.Error(err, "cannot tell who may read metrics")
				http.Error(w, "Authorization failed", http.StatusInternalServerError)
			case !allowed:
				http.Error(w, "Forbidden", http.StatusForbidden)
			default:
				next.ServeHTTP(w, r)
			}
		})), nil
	}, nil
}
