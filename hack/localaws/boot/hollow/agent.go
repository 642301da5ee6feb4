package hollow

import (
	"context"
	"errors"
	"net"

	"github.com/go-logr/logr"

	"kip.elotl.co/hack/localaws/boot"
	"kip.elotl.co/internal/agent"
)

var _ boot.AgentKiller = (*machine)(nil)

// KillAgent implements boot.AgentKiller: containers and files stay.
func (m *machine) KillAgent(context.Context) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.kill == nil {
		return errors.New("no agent runs")
	}
	m.kill()
	m.kill = nil
	return nil
}

// serve runs agents, one after the other: where one was killed another is
// started. It closes the listener.
func (m *machine) serve(ctx context.Context, spec boot.Spec, l net.Listener, config agent.Config, credentials agent.Credentials) error {
	for {
		a, err := agent.New(config)
		if err != nil {
			return errors.Join(err, l.Close())
		}
		alive, kill := context.WithCancel(ctx)
		m.mu.Lock()
		m.kill = kill
		m.mu.Unlock()
		logr.FromContextOrDiscard(ctx).Info("agent serves", "version", version)
		err = a.Serve(alive, l, credentials)
		killed := alive.Err() != nil
		kill()
		if !killed || ctx.Err() != nil {
			return err
		}
		if l, err = listen(ctx, spec); err != nil {
			return err
		}
	}
}
