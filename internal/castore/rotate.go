package castore

import (
	"context"
	"crypto/rand"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	ctrl "sigs.k8s.io/controller-runtime"

	"kip.elotl.co/api/v1beta1"
	"kip.elotl.co/internal/pki"
)

const (
	// rotateBefore is how long before its end an authority is replaced, so that
	// what it signs lasts its full time, and old cells have time to end; one that
	// lives for less than three times as long is replaced after two thirds.
	rotateBefore = 365 * 24 * time.Hour
	// ageLook is when the age is looked at again at the latest.
	ageLook = 24 * time.Hour
	// settleTime is how long an authority is kept at the least after another has
	// taken its place: a launch attempt that was decided on before may be written
	// after that.
	settleTime = time.Minute
	// dependantsLook is how often it is looked whether a Cell still depends on the
	// one that goes out.
	dependantsLook = 15 * time.Second
	// unusableRetry is how often a Secret that cannot be followed is looked at
	// without a change of it.
	unusableRetry = time.Minute
)

// rotationDue is when an authority is to be replaced by its age.
func rotationDue(ca *pki.CA) time.Time {
	life := ca.NotAfter().Sub(ca.NotBefore())
	return ca.NotAfter().Add(-min(rotateBefore, life/3))
}

// begin makes another authority and stores it in the place of the present one,
// which stays beside it, in one step. Whoever reads the Secret from then on
// trusts both and issues by the new one.
func (k *Keeper) begin(ctx context.Context, secret *corev1.Secret, held pki.Authorities) (ctrl.Result, error) {
	now := k.Clock.Now()
	// Cells name the authorities that they trust by their subjects.
	next, err := pki.NewCA(now, "Kip cells "+rand.Text()[:8])
	if err != nil {
		return ctrl.Result{}, err
	}
	both := pki.Authorities{Current: next, Previous: held.Current}
	if err := fill(secret, both); err != nil {
		return ctrl.Result{}, err
	}
	delete(secret.Annotations, v1beta1.AnnotationRotate)
	secret.Annotations[v1beta1.AnnotationRotated] = now.UTC().Format(time.RFC3339)
	if err := k.Client.Update(ctx, secret); err != nil {
		return ctrl.Result{}, fmt.Errorf("storing a new authority: %w", err)
	}
	k.hold(both)
	k.note(ctx, secret, v1beta1.ReasonAuthorityReplaced, "authority %s takes the place of %s, which is trusted until no Cell depends on it",
		next.ID(), held.Current.ID())
	return ctrl.Result{RequeueAfter: settleTime}, nil
}

// finish drops the authority that goes out as soon as no Cell depends on it.
func (k *Keeper) finish(ctx context.Context, secret *corev1.Secret, held pki.Authorities) (ctrl.Result, error) {
	if wait := k.settling(secret); wait > 0 {
		return ctrl.Result{RequeueAfter: wait}, nil
	}
	previous := held.Previous.ID()
	cell, err := k.dependant(ctx, previous)
	if err != nil {
		return ctrl.Result{}, err
	}
	if cell != "" {
		return ctrl.Result{RequeueAfter: dependantsLook}, nil
	}
	alone := held.Current.Authorities()
	if err := fill(secret, alone); err != nil {
		return ctrl.Result{}, err
	}
	if err := k.Client.Update(ctx, secret); err != nil {
		return ctrl.Result{}, fmt.Errorf("dropping authority %s: %w", previous, err)
	}
	k.hold(alone)
	k.note(ctx, secret, v1beta1.ReasonAuthorityDropped, "no Cell depends on authority %s any more; it is trusted no longer", previous)
	return ctrl.Result{RequeueAfter: ageLook}, nil
}

// settling is how long the authority that goes out is kept whatever the Cells.
func (k *Keeper) settling(secret *corev1.Secret) time.Duration {
	rotated, err := time.Parse(time.RFC3339, secret.Annotations[v1beta1.AnnotationRotated])
	if err != nil { // somebody edited it
		return 0
	}
	return min(settleTime, settleTime-k.Clock.Since(rotated))
}
