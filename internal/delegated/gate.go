// Package delegated lets the API server say who a client of ours is and what
// it may do, as kubelets and extension API servers do.
//
// It does what authenticatorfactory and authorizerfactory of k8s.io/apiserver
// and the metrics filters of controller-runtime do, from the small packages
// only: those three link text/template (by CEL and by gRPC), which calls
// methods by names that the linker cannot know, so that it keeps every exported
// method of everything, all of EC2's API among them.
package delegated

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/cache"
	"k8s.io/apiserver/pkg/authentication/authenticator"
	"k8s.io/apiserver/pkg/authentication/group"
	"k8s.io/apiserver/pkg/authentication/request/bearertoken"
	"k8s.io/apiserver/pkg/authentication/request/union"
	tokencache "k8s.io/apiserver/pkg/authentication/token/cache"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/apiserver/pkg/endpoints/request"
	"k8s.io/client-go/kubernetes"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/log"
)

// How long what the API server said of a token or a right is believed. The
// figures are the kubelet's.
const (
	TokenTTL = 2 * time.Minute
	AllowTTL = 5 * time.Minute
	DenyTTL  = 30 * time.Second
)

// Gate knows who asks and what they may do. Its identity in the cluster must
// be allowed to create TokenReviews and SubjectAccessReviews.
type Gate struct {
	kube          kubernetes.Interface
	authenticator authenticator.Request
	answers       *cache.LRUExpireCache
}

// New makes a Gate that knows clients by their bearer tokens and by the other
// ways that are given. Nobody is anonymous.
func New(kube kubernetes.Interface, wall clock.PassiveClock, others ...authenticator.Request) *Gate {
	tokens := bearertoken.New(tokencache.New(tokenReviews{kube}, false, TokenTTL, TokenTTL))
	return &Gate{
		kube:          kube,
		authenticator: group.NewAuthenticatedGroupAdder(union.New(append(others, tokens)...)),
		answers:       cache.NewLRUExpireCacheWithClock(maxAnswers, wall),
	}
}

// Authenticated lets nobody pass to next who is not known. There, Asker tells
// who it is.
func (g *Gate) Authenticated(next http.Handler) http.Handler {
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

// Asker is who Authenticated let pass.
func Asker(ctx context.Context) (user.Info, bool) { return request.UserFrom(ctx) }

// tokenReviews asks the API server whose a token is.
type tokenReviews struct{ kube kubernetes.Interface }

// AuthenticateToken is the method of an authenticator.Token.
func (t tokenReviews) AuthenticateToken(ctx context.Context, token string) (*authenticator.Response, bool, error) {
	review := &authenticationv1.TokenReview{Spec: authenticationv1.TokenReviewSpec{Token: token}}
	var answer *authenticationv1.TokenReview
	err := insist(ctx, func(ctx context.Context) (err error) {
		answer, err = t.kube.AuthenticationV1().TokenReviews().Create(ctx, review, metav1.CreateOptions{})
		return err
	})
	if err != nil {
		return nil, false, fmt.Errorf("asking whose a token is: %w", err)
	}
	status := answer.Status
	if !status.Authenticated {
		if status.Error != "" {
			err = errors.New(status.Error)
		}
		return nil, false, err
	}
	extra := make(map[string][]string, len(status.User.Extra))
	for key, values := range status.User.Extra {
		extra[key] = values
	}
	return &authenticator.Response{User: &user.DefaultInfo{
		Name: status.User.Username, UID: status.User.UID, Groups: status.User.Groups, Extra: extra,
	}}, true, nil
}
