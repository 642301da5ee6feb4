package delegated

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	authorizationv1 "k8s.io/api/authorization/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	utilnet "k8s.io/apimachinery/pkg/util/net"
	"k8s.io/apimachinery/pkg/util/wait"
)

// maxAnswers is how many answers are remembered. Clients are few: API servers,
// those who read metrics, and administrators.
const maxAnswers = 1024

// May tells whether the API server gives the asker that Authenticated let pass
// the right to what. Without an asker, or without an answer, there is an error.
func (g *Gate) May(ctx context.Context, what authorizationv1.ResourceAttributes) (bool, error) {
	return g.may(ctx, authorizationv1.SubjectAccessReviewSpec{ResourceAttributes: &what})
}

// MayPath is May for a path that is no resource's.
func (g *Gate) MayPath(ctx context.Context, what authorizationv1.NonResourceAttributes) (bool, error) {
	return g.may(ctx, authorizationv1.SubjectAccessReviewSpec{NonResourceAttributes: &what})
}

func (g *Gate) may(ctx context.Context, what authorizationv1.SubjectAccessReviewSpec) (bool, error) {
	who, ok := Asker(ctx)
	if !ok {
		return false, errors.New("nobody is authenticated")
	}
	what.User, what.UID, what.Groups = who.GetName(), who.GetUID(), who.GetGroups()
	what.Extra = make(map[string]authorizationv1.ExtraValue, len(who.GetExtra()))
	for key, values := range who.GetExtra() {
		what.Extra[key] = values
	}
	question, err := json.Marshal(what)
	if err != nil {
		return false, fmt.Errorf("asking what %s may do: %w", who.GetName(), err)
	}
	if allowed, ok := g.answers.Get(string(question)); ok {
		return allowed.(bool), nil
	}
	allowed, err := g.review(ctx, what)
	if err != nil {
		return false, fmt.Errorf("asking what %s may do: %w", who.GetName(), err)
	}
	ttl := DenyTTL
	if allowed {
		ttl = AllowTTL
	}
	g.answers.Add(string(question), allowed, ttl)
	return allowed, nil
}

func (g *Gate) review(ctx context.Context, what authorizationv1.SubjectAccessReviewSpec) (bool, error) {
	var answer *authorizationv1.SubjectAccessReview
	err := insist(ctx, func(ctx context.Context) (err error) {
		answer, err = g.kube.AuthorizationV1().SubjectAccessReviews().Create(ctx, &authorizationv1.SubjectAccessReview{Spec: what}, metav1.CreateOptions{})
		return err
	})
	if err != nil {
		return false, err
	}
	return answer.Status.Allowed && !answer.Status.Denied, nil
}

// reviewTimeout is how long the API server is asked, all attempts together.
const reviewTimeout = 10 * time.Second

// insist asks again when the failure is one that passes by itself.
func insist(ctx context.Context, ask func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, reviewTimeout)
	defer cancel()
	var failure error
	backoff := wait.Backoff{Duration: 100 * time.Millisecond, Factor: 2, Jitter: 0.2, Steps: 5}
	err := wait.ExponentialBackoffWithContext(ctx, backoff, func(ctx context.Context) (bool, error) {
		failure = ask(ctx)
		return !passes(failure), nil
	})
	if failure != nil {
		return failure
	}
	return err
}

func passes(err error) bool {
	_, asksToWait := apierrors.SuggestsClientDelay(err)
	return asksToWait || utilnet.IsConnectionReset(err) || utilnet.IsHTTP2ConnectionLost(err) ||
		apierrors.IsInternalError(err) || apierrors.IsTimeout(err) || apierrors.IsTooManyRequests(err)
}
