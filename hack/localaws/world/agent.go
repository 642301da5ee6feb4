package world

import (
	"context"

	"kip.elotl.co/hack/localaws/awserr"
	"kip.elotl.co/hack/localaws/boot"
)

// KillAgent kills the agent of an instance, which EC2 knows nothing of.
func (w *World) KillAgent(ctx context.Context, id string) error {
	w.mu.RLock()
	var m boot.Machine
	if s := w.slots[id]; s != nil {
		m = s.machine
	}
	w.mu.RUnlock()
	killer, ok := m.(boot.AgentKiller)
	if !ok {
		return awserr.New("IncorrectInstanceState", "The instance ID '%s' has no machine whose agent could be killed", id)
	}
	return killer.KillAgent(ctx)
}
