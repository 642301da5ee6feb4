// Package cellagent keeps the clients of the cells' agents: one per cell,
// shared by all who talk to it.
package cellagent

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"strconv"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"kip.elotl.co/api/v1beta1"
	"kip.elotl.co/internal/itzo"
	"kip.elotl.co/internal/pki"
)

// Agents makes and keeps clients. It may be used by several goroutines.
type Agents struct {
	authorities pki.Source
	now         func() time.Time

	mu           sync.Mutex
	certificates map[string]issued // the operator's own, by the authority's ID
	clients      map[string]entry  // by the Cell's UID
}

// issued is a certificate of the operator, and when another takes its place.
type issued struct {
	certificate tls.Certificate
	renewAt     time.Time
}

// entry is the one client that a cell has.
type entry struct {
	address string
	id      pki.CellID
	client  *itzo.Client
}

// clientCertificateLife is how long a client certificate of the operator is
// valid; it is renewed at half of that.
const clientCertificateLife = 24 * time.Hour

// New makes Agents whose clients trust the authorities' cells, and show each
// cell a certificate of an authority that the cell trusts. The authorities are
// asked for with every connection.
func New(authorities pki.Source, now func() time.Time) *Agents {
	return &Agents{authorities: authorities, now: now, certificates: map[string]issued{}, clients: map[string]entry{}}
}

// Client gives the client of the agent at address (host:port), which accepts
// no answer but from the cell with that identity. A cell has one client: that
// of a new attempt, or for a new address, takes the place of the last, which is
// closed. To ask for an attempt that another has replaced is an error.
func (a *Agents) Client(address string, id pki.CellID) (*itzo.Client, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	known, exists := a.clients[id.UID]
	switch {
	case exists && known.id == id && known.address == address:
		return known.client, nil
	case exists && older(id, known.id):
		return nil, fmt.Errorf("attempt %d of cell %s is over: attempt %d has taken its place", id.Attempt, id.UID, known.id.Attempt)
	}
	client, err := a.newClient(address, id)
	if err != nil {
		return nil, fmt.Errorf("making the client of agent %s: %w", address, err)
	}
	if exists {
		known.client.Close()
	}
	a.clients[id.UID] = entry{address: address, id: id, client: client}
	return client, nil
}

// older says whether an attempt came before the other. Where the Cell's status
// was lost, numbers begin anew.
func older(id, than pki.CellID) bool { return id.Attempt < than.Attempt && !id.Start.After(than.Start) }

func (a *Agents) newClient(address string, id pki.CellID) (*itzo.Client, error) {
	return itzo.NewClient(itzo.Config{
		Address:    address,
		ServerName: id.DNSName(),
		Roots:      func() *x509.CertPool { return a.authorities.Authorities().Pool() },
		GetClientCertificate: func(info *tls.CertificateRequestInfo) (*tls.Certificate, error) {
			return a.clientCertificate(a.authorities.Authorities(), info.AcceptableCAs)
		},
	})
}

// ForCell gives the client of a Cell whose instance is launched.
func (a *Agents) ForCell(cell *v1beta1.Cell) (*itzo.Client, error) {
	n := len(cell.Status.Attempts)
	if n == 0 || cell.Status.IP == "" {
		return nil, fmt.Errorf("cell %s has no instance", cell.Name)
	}
	return a.Client(Address(cell), ID(cell, &cell.Status.Attempts[n-1]))
}

// ID is the identity that the cell of an attempt proves.
func ID(cell *v1beta1.Cell, attempt *v1beta1.LaunchAttempt) pki.CellID {
	return pki.CellID{UID: string(cell.UID), Attempt: attempt.Number, Start: attempt.StartTime.UTC()}
}

// Address is where the agent of a Cell listens, host:port.
func Address(cell *v1beta1.Cell) string {
	return net.JoinHostPort(cell.Status.IP, strconv.Itoa(itzo.Port))
}

// Forget drops the client of the Cell with this UID, and its connections.
func (a *Agents) Forget(cell types.UID) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if known, ok := a.clients[string(cell)]; ok {
		known.client.Close()
		delete(a.clients, string(cell))
	}
}

// clientCertificate is the one to show to a cell that says that it trusts
// those authorities.
func (a *Agents) clientCertificate(of pki.Authorities, acceptable [][]byte) (*tls.Certificate, error) {
	ca := of.ForPeer(acceptable)
	a.mu.Lock()
	defer a.mu.Unlock()
	now, id := a.now(), ca.ID()
	own, known := a.certificates[id]
	if !known || now.After(own.renewAt) {
		certificate, err := ca.ClientCertificate(now, clientCertificateLife)
		if err != nil {
			return nil, fmt.Errorf("issuing the operator's client certificate: %w", err)
		}
		own = issued{certificate, now.Add(clientCertificateLife / 2)}
		a.certificates[id] = own
		a.dropCertificates(of)
	}
	return &own.certificate, nil
}

// dropCertificates forgets those of authorities that are gone.
func (a *Agents) dropCertificates(of pki.Authorities) {
	for id := range a.certificates {
		if of.ByID(id) == nil {
			delete(a.certificates, id)
		}
	}
}
