package cell

import (
	"fmt"
	"hash/fnv"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"kip.elotl.co/api/v1beta1"
	"kip.elotl.co/internal/cellagent"
	"kip.elotl.co/internal/itzo"
	"kip.elotl.co/internal/pki"
)

// introduce notes what the cell of the open attempt proves itself with, now
// that its agent has answered, and when that ends for good.
func (c *Controller) introduce(cell *v1beta1.Cell, info itzo.Info) {
	attempt := openAttempt(cell)
	if attempt == nil {
		return
	}
	held := heldBy(cell, attempt, c.Authority.Authorities())
	if cell.Status.Identity == nil || cell.Status.Identity.Attempt != attempt.Number {
		cell.Status.Identity = &v1beta1.CellIdentity{Attempt: attempt.Number, CellCredentials: held}
	}
	meta.RemoveStatusCondition(&cell.Status.Conditions, v1beta1.ConditionRenewable)
	if !info.Has(itzo.FeatureCredentials) {
		setCondition(cell, v1beta1.ConditionRenewable, metav1.ConditionFalse, v1beta1.ReasonAgentTakesNone, takesNone(info, held))
	}
}

func takesNone(info itzo.Info, held v1beta1.CellCredentials) string {
	name := info.Agent
	if name == "" {
		name = agentName
	}
	return fmt.Sprintf("the agent (%s) takes no new certificate: the cell's ends at %s, and then nobody can talk to it any more; Kip does not replace it: delete its pod before that",
		name, held.EndTime.UTC().Format(time.RFC3339))
}

// heldBy is what the cell of an attempt has, as far as is known. Where nothing
// is recorded it is what it was launched with.
func heldBy(cell *v1beta1.Cell, attempt *v1beta1.LaunchAttempt, authorities pki.Authorities) v1beta1.CellCredentials {
	if is := cell.Status.Identity; is != nil && is.Attempt == attempt.Number {
		return is.CellCredentials
	}
	held := v1beta1.CellCredentials{Authority: attempt.Authority, StartTime: attempt.StartTime}
	end := attempt.StartTime.Add(pki.CellLifetime)
	if ca := authorities.ByID(attempt.Authority); ca != nil {
		held.Authority, end = ca.ID(), ca.CellNotAfter(attempt.StartTime.Time)
	}
	held.EndTime, held.Trusts = metav1.NewTime(end), []string{held.Authority}
	return held
}

// plan is what a cell is to have instead of what it holds, nil when that is as
// it should be until the time that is given.
func (c *Controller) plan(cell *v1beta1.Cell, held v1beta1.CellCredentials, authorities pki.Authorities) (*v1beta1.CellCredentials, time.Duration) {
	now, current := c.Clock.Now().UTC().Truncate(time.Second), authorities.Current
	wait := renewAt(cell.UID, held).Sub(now)
	next := held
	switch {
	case held.Authority != current.ID() || wait <= 0:
		next.Number, next.Authority = held.Number+1, current.ID()
		next.StartTime, next.EndTime = metav1.NewTime(now), metav1.NewTime(current.CellNotAfter(now))
	case slices.ContainsFunc(held.Trusts, func(id string) bool { return authorities.ByID(id) == nil }):
	default:
		return nil, wait
	}
	next.Trusts = authorities.IDs()
	if planned := cell.Status.Identity; planned != nil && planned.Next != nil && stillGood(*planned.Next, next) {
		return planned.Next, 0
	}
	return &next, 0
}

// stillGood says whether what was written down may be given instead of what
// would be decided on now.
func stillGood(planned, next v1beta1.CellCredentials) bool {
	return planned.Number == next.Number && planned.Authority == next.Authority && slices.Equal(planned.Trusts, next.Trusts) &&
		next.StartTime.Sub(planned.StartTime.Time) < plannedFor
}

// renewAt is when a certificate is to have a successor.
func renewAt(uid types.UID, held v1beta1.CellCredentials) time.Time {
	life := held.EndTime.Sub(held.StartTime.Time)
	hash := fnv.New32a()
	_, _ = hash.Write([]byte(uid))
	spread := time.Duration(float64(life/12) * float64(hash.Sum32()) / (1 << 32))
	return held.StartTime.Add(life*2/3 + spread)
}

// credentialsRequest renders credentials: always the same bytes for the same.
func credentialsRequest(cell *v1beta1.Cell, attempt *v1beta1.LaunchAttempt, next v1beta1.CellCredentials, authorities pki.Authorities) (itzo.CredentialsRequest, error) {
	ca := authorities.ByID(next.Authority)
	if ca == nil {
		return itzo.CredentialsRequest{}, fmt.Errorf("certificate authority %s is trusted no longer", next.Authority)
	}
	renewal := pki.Renewal{Number: next.Number}
	if next.Number > 0 {
		renewal.Start = next.StartTime.Time
	}
	certificate, key, err := ca.RenewedCertificate(cellagent.ID(cell, attempt), renewal)
	if err != nil {
		return itzo.CredentialsRequest{}, err
	}
	return itzo.CredentialsRequest{
		CACertificates: string(authorities.CertificatePEM()), Certificate: string(certificate), Key: string(key),
	}, nil
}
