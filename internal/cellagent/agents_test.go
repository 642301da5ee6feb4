package cellagent

import (
	"crypto/tls"
	"crypto/x509"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"kip.elotl.co/api/v1beta1"
	"kip.elotl.co/internal/itzo"
	"kip.elotl.co/internal/pki"
	"kip.elotl.co/test/fixture"
)

// agent is a cell's end: it asks for the client's certificate as a real one does.
type agent struct {
	address string
	closed  chan struct{} // at the end of the first connection

	mu      sync.Mutex
	serials map[string]bool // of the clients' certificates
}

func (a *agent) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	a.mu.Lock()
	a.serials[r.TLS.PeerCertificates[0].SerialNumber.String()] = true
	a.mu.Unlock()
	_, _ = w.Write([]byte("pong"))
}

func (a *agent) clients() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return len(a.serials)
}

// start serves with the certificate of a cell.
func start(t *testing.T, ca *pki.CA, id pki.CellID) *agent {
	t.Helper()
	certificate, key, err := ca.CellCertificate(id)
	if err != nil {
		t.Fatal(err)
	}
	pair, err := tls.X509KeyPair(certificate, key)
	if err != nil {
		t.Fatal(err)
	}
	a := &agent{serials: map[string]bool{}, closed: make(chan struct{})}
	server := httptest.NewUnstartedServer(a)
	ended := sync.OnceFunc(func() { close(a.closed) })
	server.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateClosed {
			ended()
		}
	}
	server.EnableHTTP2 = true
	server.TLS = &tls.Config{Certificates: []tls.Certificate{pair}, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: ca.Pool()}
	server.StartTLS()
	t.Cleanup(server.Close)
	a.address = server.Listener.Addr().String()
	return a
}

func newCA(t *testing.T) *pki.CA {
	t.Helper()
	ca, err := pki.NewCA(time.Now(), "test")
	if err != nil {
		t.Fatal(err)
	}
	return ca
}

func clientOf(t *testing.T, a *Agents, address string, id pki.CellID) *itzo.Client {
	t.Helper()
	c, err := a.Client(address, id)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

func TestOnlyTheCellItselfIsBelieved(t *testing.T) {
	ca := newCA(t)
	id := pki.CellID{UID: "cell-a", Attempt: 2, Start: time.Now()}
	served := start(t, ca, id)
	agents := New(ca, time.Now)
	if err := clientOf(t, agents, served.address, id).Ping(t.Context()); err != nil {
		t.Errorf("the cell itself: %v", err)
	}
	other, earlier := id, id
	other.UID, earlier.Attempt = "cell-b", 1
	for name, wrong := range map[string]pki.CellID{"another cell": other, "another attempt": earlier} {
		if err := clientOf(t, New(ca, time.Now), served.address, wrong).Ping(t.Context()); !itzo.IsWrongIdentity(err) {
			t.Errorf("taken for %s: %v", name, err)
		}
	}
	if err := clientOf(t, New(newCA(t), time.Now), served.address, id).Ping(t.Context()); !itzo.IsWrongIdentity(err) {
		t.Errorf("with another authority: %v", err)
	}
}

func TestOneClientPerCell(t *testing.T) {
	agents := New(newCA(t), time.Now)
	id := pki.CellID{UID: "cell-a", Attempt: 1, Start: time.Now()}
	first := clientOf(t, agents, "127.0.0.1:1", id)
	if clientOf(t, agents, "127.0.0.1:1", id) != first {
		t.Error("the same cell has two clients")
	}
	moved := clientOf(t, agents, "127.0.0.2:1", id)
	if moved == first {
		t.Error("two addresses share a client")
	}
	next := id
	next.Attempt, next.Start = 2, id.Start.Add(time.Minute)
	replaced := clientOf(t, agents, "127.0.0.2:1", next)
	if replaced == moved {
		t.Error("the next attempt at the address has the client of the last")
	}
	if _, err := agents.Client("127.0.0.1:1", id); err == nil || !strings.Contains(err.Error(), "attempt 1 of cell cell-a is over") {
		t.Errorf("the first attempt has a client again; error %v", err)
	}
	if clientOf(t, agents, "127.0.0.2:1", next) != replaced {
		t.Error("who asked for an attempt that is over has disturbed the next")
	}
	if len(agents.clients) != 1 {
		t.Errorf("%d clients are kept of one cell", len(agents.clients))
	}
	// The Cell's status was lost, and with it the count of attempts.
	anew := pki.CellID{UID: "cell-a", Attempt: 1, Start: next.Start.Add(time.Minute)}
	if clientOf(t, agents, "127.0.0.2:1", anew) == replaced {
		t.Error("an attempt that was counted anew has the client of an earlier one")
	}
	if _, err := agents.Client("no port", anew); err == nil || !strings.Contains(err.Error(), "no port") {
		t.Errorf("error %v", err)
	}
}

// An address is free for the next cell before the last one's Cell is gone.
func TestForgetLeavesOthersAtTheAddress(t *testing.T) {
	agents := New(newCA(t), time.Now)
	last := pki.CellID{UID: "cell-a", Attempt: 1, Start: time.Now()}
	next := pki.CellID{UID: "cell-b", Attempt: 1, Start: time.Now()}
	first := clientOf(t, agents, "127.0.0.1:1", last)
	second := clientOf(t, agents, "127.0.0.1:1", next)
	if first == second {
		t.Error("two cells share a client")
	}
	agents.Forget("cell-a")
	agents.Forget("cell-c")
	if clientOf(t, agents, "127.0.0.1:1", next) != second {
		t.Error("the end of one cell took the client of another")
	}
	if len(agents.clients) != 1 {
		t.Errorf("%d clients are kept", len(agents.clients))
	}
	if clientOf(t, agents, "127.0.0.1:1", last) == first {
		t.Error("a forgotten client is used again")
	}
}

// What takes the place of a client closes its connections.
func TestReplacedClientIsClosed(t *testing.T) {
	ca := newCA(t)
	id := pki.CellID{UID: "cell-a", Attempt: 1, Start: time.Now()}
	for name, replace := range map[string]func(*Agents){
		"next attempt": func(a *Agents) {
			next := id
			next.Attempt, next.Start = 2, id.Start.Add(time.Second)
			clientOf(t, a, "127.0.0.1:1", next)
		},
		"other address": func(a *Agents) { clientOf(t, a, "127.0.0.1:1", id) },
		"forgotten":     func(a *Agents) { a.Forget("cell-a") },
	} {
		served, agents := start(t, ca, id), New(ca, time.Now)
		if err := clientOf(t, agents, served.address, id).Ping(t.Context()); err != nil {
			t.Fatal(err)
		}
		replace(agents)
		select {
		case <-served.closed:
		case <-time.After(30 * time.Second):
			t.Errorf("%s: the connection stays", name)
		}
	}
}

// TestClientCertificateIsRenewed: one serves many connections, until half of
// its life is over.
func TestClientCertificateIsRenewed(t *testing.T) {
	ca, clock := newCA(t), &fixture.Clock{}
	agents := New(ca, clock.Now)
	id := pki.CellID{UID: "cell-a", Attempt: 1, Start: time.Now()}
	served := start(t, ca, id)
	ping := func() {
		t.Helper()
		if err := clientOf(t, agents, served.address, id).Ping(t.Context()); err != nil {
			t.Fatal(err)
		}
		agents.Forget("cell-a")
	}
	ping()
	ping()
	if n := served.clients(); n != 1 {
		t.Errorf("%d certificates were shown at first", n)
	}
	// The server's clock stays behind: what is issued then is not valid for it yet.
	before, err := agents.clientCertificate(ca.Authorities(), nil)
	if err != nil {
		t.Fatal(err)
	}
	clock.Advance(clientCertificateLife/2 - time.Minute)
	if same, err := agents.clientCertificate(ca.Authorities(), nil); err != nil || same.Leaf.SerialNumber.Cmp(before.Leaf.SerialNumber) != 0 {
		t.Errorf("renewed before half of its life; error %v", err)
	}
	clock.Advance(2 * time.Minute)
	after, err := agents.clientCertificate(ca.Authorities(), nil)
	if err != nil {
		t.Fatal(err)
	}
	if after.Leaf.SerialNumber.Cmp(before.Leaf.SerialNumber) == 0 || !after.Leaf.NotAfter.After(before.Leaf.NotAfter) {
		t.Errorf("valid until %s, before until %s", after.Leaf.NotAfter, before.Leaf.NotAfter)
	}
	if _, err := after.Leaf.Verify(x509.VerifyOptions{Roots: ca.Pool(), KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}, CurrentTime: clock.Now()}); err != nil {
		t.Error(err)
	}
}

func TestForCell(t *testing.T) {
	agents := New(newCA(t), time.Now)
	start := metav1.NewTime(time.Date(2026, 1, 2, 3, 4, 5, 0, time.FixedZone("", 3600)))
	cell := &v1beta1.Cell{ObjectMeta: metav1.ObjectMeta{Name: "c", UID: types.UID("uid-1")}}
	for name, status := range map[string]v1beta1.CellStatus{
		"nothing launched": {},
		"no address":       {Attempts: []v1beta1.LaunchAttempt{{Number: 1, StartTime: start}}},
		"no attempt":       {IP: "10.0.0.1"},
	} {
		cell.Status = status
		if _, err := agents.ForCell(cell); err == nil || !strings.Contains(err.Error(), "cell c has no instance") {
			t.Errorf("%s: error %v", name, err)
		}
	}
	cell.Status = v1beta1.CellStatus{IP: "fd00::1", Attempts: []v1beta1.LaunchAttempt{{Number: 1}, {Number: 2, StartTime: start}}}
	got, err := agents.ForCell(cell)
	if err != nil {
		t.Fatal(err)
	}
	id := pki.CellID{UID: "uid-1", Attempt: 2, Start: start.UTC()}
	if want := clientOf(t, agents, "[fd00::1]:6421", id); got != want {
		t.Error("it is not the client of the newest attempt at the Cell's address")
	}
}
