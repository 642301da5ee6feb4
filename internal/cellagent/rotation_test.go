package cellagent

import (
	"sync/atomic"
	"testing"
	"time"

	"kip.elotl.co/internal/itzo"
	"kip.elotl.co/internal/pki"
)

// changing are authorities that a test replaces.
type changing struct {
	atomic.Pointer[pki.Authorities]
}

func (c *changing) Authorities() pki.Authorities { return *c.Load() }

// TestTwoAuthorities: while one takes the place of the other, the agents of
// both are reached by the same clients; afterwards those of the former are not.
func TestTwoAuthorities(t *testing.T) {
	last := newCA(t)
	next, err := pki.NewCA(time.Now(), "next")
	if err != nil {
		t.Fatal(err)
	}
	a := pki.CellID{UID: "cell-a", Attempt: 1, Start: time.Now()}
	b := pki.CellID{UID: "cell-b", Attempt: 1, Start: time.Now()}
	ofLast, ofNext := start(t, last, a), start(t, next, b)
	var source changing
	source.Store(&pki.Authorities{Current: last})
	agents := New(&source, time.Now)
	toLast, toNext := clientOf(t, agents, ofLast.address, a), clientOf(t, agents, ofNext.address, b)
	if err := toLast.Ping(t.Context()); err != nil {
		t.Error(err)
	}
	if err := toNext.Ping(t.Context()); !itzo.IsWrongIdentity(err) {
		t.Errorf("a cell of an authority that is not known yet: %v", err)
	}

	source.Store(&pki.Authorities{Current: next, Previous: last})
	for name, client := range map[string]*itzo.Client{"last": toLast, "next": toNext} {
		if _, err := client.Handshake(t.Context()); err != nil {
			t.Errorf("a cell of the %s authority: %v", name, err)
		}
		if err := client.Ping(t.Context()); err != nil {
			t.Errorf("a cell of the %s authority: %v", name, err)
		}
	}

	source.Store(&pki.Authorities{Current: next})
	if _, err := toLast.Handshake(t.Context()); !itzo.IsWrongIdentity(err) {
		t.Errorf("a cell of the authority that is gone: %v", err)
	}
	if leaf, err := toNext.Handshake(t.Context()); err != nil || leaf.VerifyHostname(b.DNSName()) != nil {
		t.Errorf("a cell of the only authority: %v", err)
	}
}

// TestCertificatesOfGoneAuthoritiesAreDropped: keys are not kept for nothing.
func TestCertificatesOfGoneAuthoritiesAreDropped(t *testing.T) {
	agents := New(newCA(t), time.Now)
	for range 3 {
		if _, err := agents.clientCertificate(newCA(t).Authorities(), nil); err != nil {
			t.Fatal(err)
		}
	}
	if n := len(agents.certificates); n != 1 {
		t.Errorf("%d certificates are kept of one authority", n)
	}
}
