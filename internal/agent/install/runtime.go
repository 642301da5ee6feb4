package install

import (
	"context"
	"errors"
	"time"

	"kip.elotl.co/internal/agent"
	"kip.elotl.co/internal/itzo"
)

// shortly is how long Info waits for what may be done at once.
const shortly = 2 * time.Second

// Runtime answers what r does, and what it is only once the installer has it
// ready: until then Info's error says what is being done.
func (i *Installer) Runtime(r agent.Runtime) agent.Runtime {
	return &awaited{Runtime: r, installer: i}
}

type awaited struct {
	agent.Runtime
	installer *Installer
}

// Info implements agent.Runtime.
func (a *awaited) Info(ctx context.Context) (itzo.RuntimeInfo, error) {
	timer := time.NewTimer(shortly)
	defer timer.Stop()
	select {
	case <-a.installer.done:
		return a.Runtime.Info(ctx)
	case <-ctx.Done():
		return itzo.RuntimeInfo{}, ctx.Err()
	case <-timer.C:
		a.installer.mu.Lock()
		defer a.installer.mu.Unlock()
		return itzo.RuntimeInfo{}, errors.New(a.installer.problem)
	}
}
