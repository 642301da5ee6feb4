package pki

import (
	"bytes"
	"crypto/x509"
)

// Authorities are those that are trusted: one, or two while one takes the
// place of the other. A value does not change.
type Authorities struct {
	// Current issues.
	Current *CA
	// Previous is nil but for the time in which some cells still depend on it.
	Previous *CA
}

// Source gives the authorities as they are now. It may be asked by several
// goroutines at once.
type Source interface {
	Authorities() Authorities
}

// all are the authorities, the current one first.
func (a Authorities) all() []*CA {
	if a.Previous == nil {
		return []*CA{a.Current}
	}
	return []*CA{a.Current, a.Previous}
}

// IDs are the authorities' IDs, the current one's first.
func (a Authorities) IDs() []string {
	var ids []string
	for _, ca := range a.all() {
		ids = append(ids, ca.ID())
	}
	return ids
}

// ByID finds an authority. The empty ID stands for the one from the time
// before IDs were recorded, which is the older one. Nil: it is neither.
func (a Authorities) ByID(id string) *CA {
	all := a.all()
	if id == "" {
		return all[len(all)-1]
	}
	for _, ca := range all {
		if ca.ID() == id {
			return ca
		}
	}
	return nil
}

// CertificatePEM is the certificates of all, the current one's first.
func (a Authorities) CertificatePEM() []byte {
	var out []byte
	for _, ca := range a.all() {
		out = append(out, ca.CertificatePEM()...)
	}
	return out
}

// Pool holds the certificates of all.
func (a Authorities) Pool() *x509.CertPool {
	pool := x509.NewCertPool()
	for _, ca := range a.all() {
		pool.AddCert(ca.cert)
	}
	return pool
}

// ForPeer is the authority whose client certificate a cell accepts, by what
// it says in the handshake: the DER names of the authorities that it trusts
// (tls.CertificateRequestInfo.AcceptableCAs). The current one where it says
// nothing, or knows both or neither.
func (a Authorities) ForPeer(acceptable [][]byte) *CA {
	for _, ca := range a.all() {
		for _, name := range acceptable {
			if bytes.Equal(name, ca.cert.RawSubject) {
				return ca
			}
		}
	}
	return a.Current
}
