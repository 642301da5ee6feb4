package pod

import (
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/utils/ptr"
)

// A token is renewed when this part of its life is over, and after a day at the
// latest, as a kubelet does it.
const (
	renewAfterPercent = 80
	renewAtLatest     = 24 * time.Hour
)

// tokens are the service-account tokens that a pod was given.
type tokens map[tokenKey]heldToken

type tokenKey struct {
	audience string
	seconds  int64
}

type heldToken struct {
	token   string
	renewAt time.Time
}

// String says nothing of the token.
func (heldToken) String() string { return "a token" }

// GoString says nothing of the token.
func (t heldToken) GoString() string { return t.String() }

func keyOfToken(source *corev1.ServiceAccountTokenProjection) tokenKey {
	return tokenKey{audience: source.Audience, seconds: ptr.Deref(source.ExpirationSeconds, 0)}
}

// find gives the token that still does; empty when another has to be made.
func (t *tokens) find(source *corev1.ServiceAccountTokenProjection, now time.Time) string {
	if held, ok := (*t)[keyOfToken(source)]; ok && now.Before(held.renewAt) {
		return held.token
	}
	return ""
}

// keep notes a token that was made at that time.
func (t *tokens) keep(source *corev1.ServiceAccountTokenProjection, made *authenticationv1.TokenRequest, at time.Time) {
	if *t == nil {
		*t = tokens{}
	}
	life := time.Duration(ptr.Deref(made.Spec.ExpirationSeconds, 0)) * time.Second
	(*t)[keyOfToken(source)] = heldToken{token: made.Status.Token, renewAt: at.Add(min(life*renewAfterPercent/100, renewAtLatest))}
}
