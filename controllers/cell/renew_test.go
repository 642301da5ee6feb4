package cell

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"kip.elotl.co/api/v1beta1"
	"kip.elotl.co/internal/cellagent"
	"kip.elotl.co/internal/itzo"
	"kip.elotl.co/internal/pki"
	"kip.elotl.co/test/fixture"
)

// authorities are those of a bench whose authority is replaced.
type authorities struct {
	atomic.Pointer[pki.Authorities]
}

func (a *authorities) Authorities() pki.Authorities { return *a.Load() }

// changing lets the operators of the bench have authorities that can be replaced.
func (b *bench) changing() *authorities {
	a := &authorities{}
	a.Store(&pki.Authorities{Current: b.ca})
	b.wrap = func(o *Options) { o.Authority, o.Agents = a, cellagent.New(a, b.clock.Now) }
	return a
}

// nextCA is an authority that takes the place of the bench's.
func (b *bench) nextCA() *pki.CA {
	b.Helper()
	next, err := pki.NewCA(time.Now(), "next")
	if err != nil {
		b.Fatal(err)
	}
	return next
}

// served is the certificate of a cell as who trusts an authority, and shows a
// client certificate of another, sees it.
func served(t testing.TB, cell *v1beta1.Cell, trusts, shows *pki.CA) (*x509.Certificate, error) {
	t.Helper()
	certificate, err := shows.ClientCertificate(time.Now(), time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	c, err := itzo.NewClient(itzo.Config{
		Address: cellagent.Address(cell), ServerName: cellagent.ID(cell, openAttempt(cell)).DNSName(), RootCAs: trusts.Pool(),
		// Whatever the cell says that it accepts.
		GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &certificate, nil },
	})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	return c.Handshake(t.Context())
}

// wantServed checks that a cell serves with just that certificate.
func wantServed(t testing.TB, cell *v1beta1.Cell, of *pki.CA, renewal pki.Renewal) {
	t.Helper()
	want, _, err := of.RenewedCertificate(cellagent.ID(cell, openAttempt(cell)), renewal)
	if err != nil {
		t.Fatal(err)
	}
	block, _ := pem.Decode(want)
	if is, err := served(t, cell, of, of); err != nil || !bytes.Equal(is.Raw, block.Bytes) {
		t.Errorf("the cell serves with another certificate than renewal %d of %s, error %v", renewal.Number, renewal.Start, err)
	}
}

// age makes the cell's certificate older in the eyes of the operator.
func (b *bench) age(cell *v1beta1.Cell, by time.Duration) {
	b.Helper()
	b.editStatus(cell, func(status *v1beta1.CellStatus) {
		status.Identity.StartTime.Time = status.Identity.StartTime.Add(-by)
		status.Identity.EndTime.Time = status.Identity.EndTime.Add(-by)
	})
}

func (b *bench) editStatus(cell *v1beta1.Cell, change func(*v1beta1.CellStatus)) {
	b.Helper()
	fixture.Eventually(b, "edited the status", func(ctx context.Context) error {
		is, err := fixture.Get(ctx, b, cell)
		if err != nil {
			return err
		}
		change(&is.Status)
		return b.Status().Update(ctx, is)
	})
}

// renewed waits until the cell has certificate number n, and no other planned.
func (b *bench) renewed(cell *v1beta1.Cell, n int32) *v1beta1.Cell {
	b.Helper()
	return b.wait(cell, fmt.Sprintf("certificate %d", n), func(is *v1beta1.Cell) error {
		if id := is.Status.Identity; id == nil || id.Number != n || id.Next != nil {
			return fmt.Errorf("identity %+v, conditions %+v", id, is.Status.Conditions)
		}
		return nil
	})
}

// TestRenewedInTime: a ready cell says when its certificate ends; after two
// thirds of that time it has another, and nothing else has happened to it.
func TestRenewedInTime(t *testing.T) {
	b := newBench(t).start()
	b.readyClass()
	cell := b.ready(b.cell(withPod))
	id, attempt := cell.Status.Identity, openAttempt(cell)
	want := &v1beta1.CellIdentity{Attempt: 1, CellCredentials: v1beta1.CellCredentials{
		Authority: b.ca.ID(), StartTime: attempt.StartTime, EndTime: metav1.NewTime(attempt.StartTime.Add(pki.CellLifetime)), Trusts: []string{b.ca.ID()},
	}}
	if diff := cmp.Diff(want, id); diff != "" {
		t.Errorf("identity (-want +got):\n%s", diff)
	}
	wantServed(t, cell, b.ca, pki.Renewal{})
	b.age(cell, pki.CellLifetime*2/3-time.Hour)
	b.pokeAndWait(cell)
	wantServed(t, b.renewed(cell, 0), b.ca, pki.Renewal{})

	b.age(cell, pki.CellLifetime/12+2*time.Hour)
	is := b.renewed(cell, 1)
	b.event(cell, v1beta1.ReasonCredentialsTaken)
	if err := wantCondition(is, v1beta1.ConditionRenewable, metav1.ConditionTrue, v1beta1.ReasonCredentialsTaken, "certificate 1"); err != nil {
		t.Error(err)
	}
	wantServed(t, is, b.ca, pki.Renewal{Number: 1, Start: is.Status.Identity.StartTime.Time})
	if left := time.Until(is.Status.Identity.EndTime.Time); left < pki.CellLifetime-time.Hour {
		t.Errorf("the new certificate ends in %s", left)
	}
	b.wantOneLaunch(b.ready(cell))
	if diff := cmp.Diff(cell.Status.Attempts, is.Status.Attempts); diff != "" {
		t.Errorf("attempts (-before +after):\n%s", diff)
	}
}

// TestRenewalsAreSpread: cells that were launched together are not renewed
// together, and all in good time.
func TestRenewalsAreSpread(t *testing.T) {
	start := metav1.Now()
	held := v1beta1.CellCredentials{StartTime: start, EndTime: metav1.NewTime(start.Add(pki.CellLifetime))}
	days := map[int]int{}
	for i := range 1000 {
		at := renewAt(types.UID(fmt.Sprintf("uid-%d", i)), held)
		if after := at.Sub(start.Time); after < 60*24*time.Hour || after > 68*24*time.Hour {
			t.Errorf("renewed after %s", after)
		}
		days[int(at.Sub(start.Time).Hours()/24)]++
	}
	for day, n := range days {
		if n > 250 {
			t.Errorf("%d of 1000 on day %d", n, day)
		}
	}
}

// deadlyStatus is an API server whose answer to one write the operator does not
// survive: the call hangs before it takes effect.
type deadlyStatus struct {
	client.Client
	deadly  func(*v1beta1.Cell) bool
	once    sync.Once
	reached chan struct{}
}

func (d *deadlyStatus) Status() client.SubResourceWriter { return deadlyWriter{d.Client.Status(), d} }

type deadlyWriter struct {
	client.SubResourceWriter
	of *deadlyStatus
}

func (w deadlyWriter) Update(ctx context.Context, o client.Object, options ...client.SubResourceUpdateOption) error {
	if cell, ok := o.(*v1beta1.Cell); ok && w.of.deadly(cell) {
		w.of.once.Do(func() { close(w.of.reached) })
		<-ctx.Done()
		return ctx.Err()
	}
	return w.SubResourceWriter.Update(ctx, o, options...)
}

// TestKilledWhileRenewing: before anything was written down, after that but
// before the agent knew, and after the agent has taken it.
func TestKilledWhileRenewing(t *testing.T) {
	for name, deadly := range map[string]func(*v1beta1.Cell) bool{
		"before it is written down": func(c *v1beta1.Cell) bool { return c.Status.Identity != nil && c.Status.Identity.Next != nil },
		"after the agent has it":    func(c *v1beta1.Cell) bool { return c.Status.Identity != nil && c.Status.Identity.Number == 1 },
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			end := &deadlyStatus{deadly: deadly, reached: make(chan struct{})}
			b.wrap = func(o *Options) { end.Client, o.Client = o.Client, end }
			b.start().readyClass()
			cell := b.ready(b.cell())
			b.age(cell, pki.CellLifetime*3/4)
			select {
			case <-end.reached:
			case <-time.After(time.Minute):
				t.Fatal("no renewal")
			}
			b.stop()
			b.wrap = nil
			left, err := fixture.Get(t.Context(), b, cell)
			if err != nil {
				t.Fatal(err)
			}
			b.start()
			is := b.renewed(cell, 1)
			if planned := left.Status.Identity.Next; planned != nil && !cmp.Equal(*planned, is.Status.Identity.CellCredentials) {
				t.Errorf("got %+v, written down was %+v", is.Status.Identity.CellCredentials, planned)
			}
			wantServed(t, is, b.ca, pki.Renewal{Number: 1, Start: is.Status.Identity.StartTime.Time})
		})
	}
}

// TestKilledBeforeAgentIsGiven: what was written down by another operator is
// given as it is, unless it has become old.
func TestKilledBeforeAgentIsGiven(t *testing.T) {
	for name, c := range map[string]struct {
		ago  time.Duration
		same bool
	}{"just now": {time.Minute, true}, "long ago": {2 * plannedFor, false}} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t).start()
			b.readyClass()
			cell := b.ready(b.cell())
			b.stop()
			start := metav1.NewTime(time.Now().Add(-c.ago).UTC().Truncate(time.Second))
			b.age(cell, pki.CellLifetime*3/4)
			b.editStatus(cell, func(status *v1beta1.CellStatus) {
				status.Identity.Next = &v1beta1.CellCredentials{
					Number: 1, Authority: b.ca.ID(), StartTime: start, EndTime: metav1.NewTime(b.ca.CellNotAfter(start.Time)), Trusts: []string{b.ca.ID()},
				}
			})
			b.start()
			is := b.renewed(cell, 1)
			if same := is.Status.Identity.StartTime.Equal(&start); same != c.same {
				t.Errorf("it begins at %s, written down was %s", is.Status.Identity.StartTime, start)
			}
			wantServed(t, is, b.ca, pki.Renewal{Number: 1, Start: is.Status.Identity.StartTime.Time})
		})
	}
}

// TestSilentAgentIsRenewedLater: why not is said on the Cell.
func TestSilentAgentIsRenewedLater(t *testing.T) {
	b := newBench(t)
	agents := b.mutable()
	b.start().readyClass()
	cell := b.ready(b.cell())
	agents.muted.Store(true)
	b.age(cell, pki.CellLifetime*3/4)
	b.wait(cell, "says that it is not renewed", func(is *v1beta1.Cell) error {
		return wantCondition(is, v1beta1.ConditionRenewable, metav1.ConditionFalse, v1beta1.ReasonRenewalFailed, "no route to the agent",
			is.Status.Identity.EndTime.UTC().Format(time.RFC3339))
	})
	b.event(cell, v1beta1.ReasonRenewalFailed)
	agents.muted.Store(false)
	b.clock.Advance(renewRetry)
	b.poke(cell)
	is := b.renewed(cell, 1)
	if err := wantCondition(is, v1beta1.ConditionRenewable, metav1.ConditionTrue, v1beta1.ReasonCredentialsTaken); err != nil {
		t.Error(err)
	}
}

// TestAuthorityReplaced: a running cell is moved to the new authority and
// trusts both; when the former is gone it trusts the new one alone, by the
// same certificate. A cell that is launched meanwhile never sees the former.
func TestAuthorityReplaced(t *testing.T) {
	b := newBench(t)
	source, next := b.changing(), b.nextCA()
	b.start().readyClass()
	cell := b.ready(b.cell())

	source.Store(&pki.Authorities{Current: next, Previous: b.ca})
	b.poke(cell)
	is := b.renewed(cell, 1)
	if id := is.Status.Identity; id.Authority != next.ID() || !slices.Equal(id.Trusts, []string{next.ID(), b.ca.ID()}) {
		t.Errorf("identity %+v", id)
	}
	renewal := pki.Renewal{Number: 1, Start: is.Status.Identity.StartTime.Time}
	wantServed(t, is, next, renewal)
	if _, err := served(t, is, next, b.ca); err != nil {
		t.Errorf("a client of the former authority: %v", err)
	}
	if _, err := served(t, is, b.ca, next); !itzo.IsWrongIdentity(err) {
		t.Errorf("who trusts the former authority alone: %v", err)
	}
	young := b.ready(b.cell(func(c *v1beta1.Cell) { c.Name += "-young" }))
	if id := young.Status.Identity; id.Authority != next.ID() || !slices.Equal(id.Trusts, []string{next.ID()}) || openAttempt(young).Authority != next.ID() {
		t.Errorf("identity of the young cell %+v", id)
	}

	source.Store(&pki.Authorities{Current: next})
	b.poke(cell)
	is = b.wait(cell, "trusts the new authority alone", func(is *v1beta1.Cell) error {
		if id := is.Status.Identity; !slices.Equal(id.Trusts, []string{next.ID()}) || id.Next != nil {
			return fmt.Errorf("identity %+v", id)
		}
		return nil
	})
	wantServed(t, is, next, renewal)
	if _, err := served(t, is, next, b.ca); !itzo.IsRefused(err) {
		t.Errorf("a client of the former authority: %v", err)
	}
	b.pokeAndWait(young)
	if was, is := young.Status.Identity, b.renewed(young, 0).Status.Identity; !cmp.Equal(was, is) {
		t.Errorf("identity of the young cell %+v, before %+v", is, was)
	}
	b.wantOneLaunch(b.ready(cell))
}

// TestAuthorityReplacedAtLaunch: the operator is killed at the launch call, and
// the next one has another authority. The call is repeated as it was, and the
// cell comes up once.
func TestAuthorityReplacedAtLaunch(t *testing.T) {
	for name, after := range map[string]bool{"before the call": false, "after the call": true} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			b.class()
			left := b.killAtLaunch(after)
			source, next := b.changing(), b.nextCA()
			source.Store(&pki.Authorities{Current: next, Previous: b.ca})
			b.start()
			is := b.renewed(b.ready(left), 1)
			b.wantOneLaunch(is)
			if got := openAttempt(is); got.Number != 1 || got.Authority != b.ca.ID() || is.Status.Identity.Authority != next.ID() {
				t.Errorf("attempt %+v, identity %+v", got, is.Status.Identity)
			}
		})
	}
}

// TestAttemptOfAnAuthorityThatIsGone: nothing came of it, so that another takes
// its place, of the authority of now.
func TestAttemptOfAnAuthorityThatIsGone(t *testing.T) {
	b := newBench(t)
	b.class()
	left := b.killAtLaunch(false)
	source, next := b.changing(), b.nextCA()
	source.Store(&pki.Authorities{Current: next})
	b.start()
	b.pokeAndWait(left)
	b.clock.Advance(launchVisible)
	b.poke(left)
	is := b.ready(left)
	if got := openAttempt(is); got.Number != 2 || got.Authority != next.ID() {
		t.Errorf("attempt %+v", got)
	}
	b.wantOneLaunch(is)
}

// TestAttemptFromBefore: of a release that did not record the authority.
func TestAttemptFromBefore(t *testing.T) {
	b := newBench(t)
	b.start().readyClass()
	cell := b.ready(b.cell())
	b.stop()
	b.editStatus(cell, func(status *v1beta1.CellStatus) {
		status.Identity, status.Attempts[0].Authority = nil, ""
	})
	source, next := b.changing(), b.nextCA()
	source.Store(&pki.Authorities{Current: next, Previous: b.ca})
	b.start()
	is := b.renewed(cell, 1)
	wantServed(t, is, next, pki.Renewal{Number: 1, Start: is.Status.Identity.StartTime.Time})
}

// TestIdentityErased: the status was lost after a renewal; the agent is reached
// all the same, and gets another certificate when that is due.
func TestIdentityErased(t *testing.T) {
	b := newBench(t)
	source, next := b.changing(), b.nextCA()
	b.start().readyClass()
	cell := b.ready(b.cell())
	source.Store(&pki.Authorities{Current: next, Previous: b.ca})
	b.poke(cell)
	b.renewed(cell, 1)
	b.editStatus(cell, func(status *v1beta1.CellStatus) { *status = v1beta1.CellStatus{} })
	is := b.renewed(b.ready(cell), 1)
	b.wantOneLaunch(is)
	if is.Status.Identity.Authority != next.ID() {
		t.Errorf("identity %+v", is.Status.Identity)
	}
}

// TestAgentTakesNone: an agent of the first Kip. When its certificate ends is
// said as soon as it answers, and nothing else changes.
func TestAgentTakesNone(t *testing.T) {
	b := newBench(t)
	b.backend.Replace(oldAgents{})
	source, next := b.changing(), b.nextCA()
	b.start().readyClass()
	cell := b.ready(b.cell())
	told := func(is *v1beta1.Cell) error {
		return errors.Join(
			wantCondition(is, v1beta1.ConditionRenewable, metav1.ConditionFalse, v1beta1.ReasonAgentTakesNone,
				openAttempt(is).StartTime.Add(pki.CellLifetime).UTC().Format(time.RFC3339), "delete its pod"),
			wantCondition(is, v1beta1.ConditionReady, metav1.ConditionTrue, v1beta1.ReasonAgentAnswers))
	}
	if err := told(cell); err != nil {
		t.Error(err)
	}
	if agent := cell.Status.Agent; agent == nil || agent.Name != "itzo" || agent.Version != "1.2" {
		t.Errorf("agent is %+v", agent)
	}
	source.Store(&pki.Authorities{Current: next, Previous: b.ca})
	b.pokeAndWait(cell)
	is := b.wait(cell, "still says so", told)
	if id := is.Status.Identity; id.Authority != b.ca.ID() || id.Number != 0 || id.Next != nil {
		t.Errorf("identity %+v", id)
	}
	wantServed(t, is, b.ca, pki.Renewal{})
}
