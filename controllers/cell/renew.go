package cell

import (
	"bytes"
	"context"
	"encoding/pem"
	"fmt"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"

	"kip.elotl.co/api/v1beta1"
	"kip.elotl.co/internal/cellagent"
	"kip.elotl.co/internal/crashpoint"
	"kip.elotl.co/internal/errtext"
	"kip.elotl.co/internal/itzo"
	"kip.elotl.co/internal/pki"
)

// renew gives the agent of a ready cell another certificate in time, when
// another authority has taken the place of its own, and when it trusts one
// that is trusted no longer.
func (c *Controller) renew(ctx context.Context, s *scope) (outcome, error) {
	cell, attempt := s.cell, openAttempt(s.cell)
	if attempt == nil || !isReady(cell) {
		return proceed(), nil
	}
	authorities := c.Authority.Authorities()
	held := heldBy(cell, attempt, authorities)
	next, wait := c.plan(cell, held, authorities)
	if next == nil {
		return outcome{after: wait}, nil
	}
	if wait := c.renewals.due(cell.UID); wait > 0 {
		return outcome{after: wait}, nil
	}
	ctx, cancel := context.WithTimeout(ctx, renewTimeout)
	defer cancel()
	agent, err := c.Agents.Client(cellagent.Address(cell), cellagent.ID(cell, attempt))
	if err != nil {
		return outcome{}, err
	}
	info, err := agent.Info(ctx)
	if err != nil && !itzo.IsCode(err, 404) {
		return c.notRenewed(cell, v1beta1.ReasonRenewalFailed, failure(held, err), renewRetry), nil
	}
	if !info.Has(itzo.FeatureCredentials) {
		return c.notRenewed(cell, v1beta1.ReasonAgentTakesNone, takesNone(info, held), takesNoneRetry), nil
	}
	// Nothing is given that is not written down, so that whoever goes on after us
	// gives the same.
	cell.Status.Identity = &v1beta1.CellIdentity{Attempt: attempt.Number, CellCredentials: held, Next: next}
	if err := c.writeStatus(ctx, s); err != nil {
		return outcome{}, err
	}
	attempt, planned := openAttempt(cell), *cell.Status.Identity.Next
	if err := give(ctx, agent, cell, attempt, planned, authorities); err != nil {
		return c.notRenewed(cell, v1beta1.ReasonRenewalFailed, failure(held, err), renewRetry), nil
	}
	return c.renewed(cell, attempt, planned), nil
}

// give hands credentials to an agent, and checks that it serves with them.
func give(ctx context.Context, agent *itzo.Client, cell *v1beta1.Cell, attempt *v1beta1.LaunchAttempt, next v1beta1.CellCredentials, authorities pki.Authorities) error {
	request, err := credentialsRequest(cell, attempt, next, authorities)
	if err != nil {
		return err
	}
	crashpoint.Reach(ctx, crashpoint.CredentialsBefore, cell)
	err = agent.SetCredentials(ctx, request)
	crashpoint.Reach(ctx, crashpoint.CredentialsAfter, cell)
	if err != nil {
		return err
	}
	served, err := agent.Handshake(ctx)
	if err != nil {
		return err
	}
	if want, _ := pem.Decode([]byte(request.Certificate)); want == nil || !bytes.Equal(want.Bytes, served.Raw) {
		return fmt.Errorf("it has taken a new certificate, and serves with another (serial number %x)", served.SerialNumber)
	}
	return nil
}

func failure(held v1beta1.CellCredentials, err error) string {
	return fmt.Sprintf("the agent has not taken a new certificate: %s; it is tried again each minute, and the present one ends at %s",
		errtext.Of(err), held.EndTime.UTC().Format(time.RFC3339))
}

func (c *Controller) renewed(cell *v1beta1.Cell, attempt *v1beta1.LaunchAttempt, next v1beta1.CellCredentials) outcome {
	cell.Status.Identity = &v1beta1.CellIdentity{Attempt: attempt.Number, CellCredentials: next}
	message := fmt.Sprintf("the agent serves with certificate %d of authority %s, which ends at %s",
		next.Number, next.Authority, next.EndTime.UTC().Format(time.RFC3339))
	setCondition(cell, v1beta1.ConditionRenewable, metav1.ConditionTrue, v1beta1.ReasonCredentialsTaken, message)
	c.Events.Eventf(cell, nil, corev1.EventTypeNormal, v1beta1.ReasonCredentialsTaken, "Renew", "%s", message)
	c.renewals.forget(cell.UID)
	return outcome{after: renewAt(cell.UID, next).Sub(c.Clock.Now())}
}

// notRenewed says why not on the Cell, and in an event when that is new.
func (c *Controller) notRenewed(cell *v1beta1.Cell, reason, message string, retry time.Duration) outcome {
	is := meta.FindStatusCondition(cell.Status.Conditions, v1beta1.ConditionRenewable)
	if is == nil || is.Reason != reason {
		c.Events.Eventf(cell, nil, corev1.EventTypeWarning, reason, "Renew", "%s", message)
	}
	setCondition(cell, v1beta1.ConditionRenewable, metav1.ConditionFalse, reason, message)
	return outcome{after: c.renewals.later(cell.UID, retry)}
}

// renewals remembers which Cells' agents are not to be asked before a time.
type renewals struct {
	clock clock.PassiveClock
	mu    sync.Mutex
	next  map[types.UID]time.Time
}

func newRenewals(c clock.PassiveClock) *renewals {
	return &renewals{clock: c, next: map[types.UID]time.Time{}}
}

// due is how long the next try has time; zero: it is due.
func (r *renewals) due(uid types.UID) time.Duration {
	r.mu.Lock()
	defer r.mu.Unlock()
	return max(0, r.next[uid].Sub(r.clock.Now()))
}

func (r *renewals) later(uid types.UID, wait time.Duration) time.Duration {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.next[uid] = r.clock.Now().Add(wait)
	return wait
}

func (r *renewals) forget(uid types.UID) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.next, uid)
}
