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

	"kip.elotl.co/api/v1beta1"
	"kip.elotl.co/internal/itzo"
	"kip.elotl.co/internal/pki"
)

// Agents makes and keeps clients. It may be used by several goroutines.
type Agents struct {
	roots *x509.CertPool
	issue func(now time.Time) (tls.Certificate, error)
	now   func() time.Time

	mu          sync.Mutex
	certificate tls.Certificate
	renewAt     time.Time
	clients     map[string]entry
}

type entry struct {
	id     pki.CellID
	client *itzo.Client
}

// clientCertificateLife is how long a client certificate of the operator is
// valid; it is renewed at half of that.
const clientCertificateLife = 24 * time.Hour

// New makes Agents whose clients trust the CA's cells and show a certificate
// of its own.
func New(ca *pki.CA, now func() time.Time) *Agents {
	return &Agents{
		roots:   ca.Pool(),
		now:     now,
		issue:   func(at time.Time) (tls.Certificate, error) { return ca.ClientCertificate(at, clientCertificateLife) },
		clients: map[string]entry{},
	}
}

// Client gives the client of the agent at address (host:port), which accepts
// no answer but from the cell with that identity.
func (a *Agents) Client(address string, id pki.CellID) (*itzo.Client, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if known, ok := a.clients[address]; ok {
		if known.id == id {
			return known.client, nil
		}
		known.client.Close()
		delete(a.clients, address)
	}
	client, err := itzo.NewClient(itzo.Config{
		Address:    address,
		ServerName: id.DNSName(),
		RootCAs:    a.roots,
		GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			return a.clientCertificate()
		},
	})
	if err != nil {
		return nil, fmt.Errorf("making the client of agent %s: %w", address, err)
	}
	a.clients[address] = entry{id: id, client: client}
	return client, nil
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

// Forget drops the client of an address and its connections.
func (a *Agents) Forget(address string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if known, ok := a.clients[address]; ok {
		known.client.Close()
		delete(a.clients, address)
	}
}

func (a *Agents) clientCertificate() (*tls.Certificate, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if now := a.now(); now.After(a.renewAt) {
		certificate, err := a.issue(now)
		if err != nil {
			return nil, fmt.Errorf("issuing the operator's client certificate: %w", err)
		}
		a.certificate, a.renewAt = certificate, now.Add(clientCertificateLife/2)
	}
	certificate := a.certificate
	return &certificate, nil
}
