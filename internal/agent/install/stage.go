package install

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"kip.elotl.co/internal/agent/host"
)

// stageFile, in the state directory, holds how far the work on the runtime has
// come: a try that fails, and an agent that is killed, is followed by one that
// goes on from there.
const stageFile = "installing"

// stage is a step that was begun and is not known to have succeeded.
type stage string

const (
	// idle: nothing was begun, or all is done.
	idle stage = ""
	// installing: parts of a runtime may be there.
	installing stage = "installing"
	// starting: it is installed, and may not have been started, or not with the
	// configuration that it has now.
	starting stage = "starting"
	// restarting is for a runtime that the agent did not install.
	restarting stage = "restarting"
)

func (i *Installer) stagePath() string { return filepath.Join(i.config.StateDir, stageFile) }

func (i *Installer) stage() (stage, error) {
	content, err := os.ReadFile(i.stagePath())
	if errors.Is(err, fs.ErrNotExist) {
		return idle, nil
	}
	if err != nil {
		return idle, fmt.Errorf("reading how far the installation of the container runtime is: %w", err)
	}
	switch s := stage(content); s {
	case starting, restarting:
		return s, nil
	}
	return installing, nil
}

// enter notes that a step begins; idle: that nothing is left to do.
func (i *Installer) enter(s stage) error {
	var err error
	if s == idle {
		if err = os.Remove(i.stagePath()); errors.Is(err, fs.ErrNotExist) {
			err = nil
		}
	} else {
		err = host.WriteFile(i.stagePath(), []byte(s), 0o600)
	}
	if err != nil {
		return fmt.Errorf("noting how far the installation of the container runtime is: %w", err)
	}
	return nil
}
