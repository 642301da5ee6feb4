package cell

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"net/http"
	"net/netip"

	"kip.elotl.co/hack/localaws/boot"
	"kip.elotl.co/hack/localaws/firstboot/userdata"
	"kip.elotl.co/internal/itzo"
	"kip.elotl.co/internal/itzo/itzotest"
)

// oldAgents boots machines with an agent of the first Kip: it knows nothing of
// this one's additions.
type oldAgents struct{}

type oldAgent struct {
	server *http.Server
	done   chan struct{}
}

// Start implements boot.Backend.
func (oldAgents) Start(ctx context.Context, spec boot.Spec) (boot.Machine, error) {
	parsed, err := userdata.Parse(spec.UserData)
	if err != nil {
		return nil, err
	}
	files := map[string][]byte{}
	for _, f := range parsed.Files {
		files[f.Path] = f.Content
	}
	pair, err := tls.X509KeyPair(files["/tmp/itzo/server.crt"], files["/tmp/itzo/server.key"])
	if err != nil {
		return nil, fmt.Errorf("the agent's certificate: %w", err)
	}
	clients := x509.NewCertPool()
	clients.AppendCertsFromPEM(files["/tmp/itzo/ca.crt"])
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp4", netip.AddrPortFrom(spec.PrivateIPs[0], itzo.Port).String())
	if err != nil {
		return nil, err
	}
	agent := itzotest.NewOldAgent(itzo.Generation12, spec.PrivateIPs[0].String())
	m := &oldAgent{done: make(chan struct{}), server: &http.Server{
		Handler: agent.Handler(), TLSConfig: &tls.Config{Certificates: []tls.Certificate{pair}, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: clients},
	}}
	go func() {
		defer close(m.done)
		_ = m.server.ServeTLS(listener, "", "")
	}()
	return m, nil
}

// Recover implements boot.Backend.
func (oldAgents) Recover(context.Context, boot.Spec) (boot.Machine, error) { return nil, boot.ErrGone }

func (m *oldAgent) Done() <-chan struct{} { return m.done }

func (m *oldAgent) Stop(context.Context) error { return m.server.Close() }

func (m *oldAgent) Console() []byte { return nil }
