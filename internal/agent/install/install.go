// Package install gives a cell what its image lacks: a container runtime where
// there is none, and the program of a pod's sandbox.
package install

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/go-logr/logr"
)

const (
	containerd = "containerd"
	// keptFile is there where containerd was installed and nothing but the agent
	// starts it.
	keptFile = "keeps-containerd"

	// firstWait and mostWait are between two tries to install.
	firstWait = 5 * time.Second
	mostWait  = 2 * time.Minute
	// startTimeout is how long containerd may take to listen.
	startTimeout = time.Minute
)

// Config says where things are.
type Config struct {
	// Endpoint of the runtime, unix:///….
	Endpoint string
	// Parameters is the directory with itzo_url, itzo_version, sha256sums and
	// snapshotter, each of which may be missing.
	Parameters string
	// StateDir is for what is to survive a reboot.
	StateDir string
	// Root is before all paths of the machine; empty but in tests.
	Root string
}

// Installer prepares the container runtime.
type Installer struct {
	config Config
	// done is closed when the runtime is there.
	done chan struct{}

	mu      sync.Mutex
	problem string
}

// New makes an Installer; Run does the work.
func New(config Config) *Installer {
	return &Installer{config: config, done: make(chan struct{}), problem: "the container runtime is being looked for"}
}

// Needed says whether Run has anything to do.
func (i *Installer) Needed() bool {
	reached, err := i.stage()
	return err != nil || reached != idle || !i.present() || i.keeps() || i.snapshotterWanted()
}

// Run installs, configures and starts the runtime, and tries again for as long
// as that fails. Where nothing else would, it keeps the runtime running until
// ctx ends; the runtime then goes on alone.
func (i *Installer) Run(ctx context.Context) {
	log := logr.FromContextOrDiscard(ctx)
	for wait, last := firstWait, ""; ; wait = min(2*wait, mostWait) {
		err := i.ensure(ctx)
		if err == nil {
			break
		}
		if ctx.Err() != nil {
			return
		}
		i.note(err.Error())
		if err.Error() != last {
			log.Error(err, "Cannot prepare the container runtime; trying again")
			last = err.Error()
		}
		if sleep(ctx, wait) != nil {
			return
		}
	}
	close(i.done)
	if i.keeps() {
		i.keep(ctx)
	}
}

// ensure does what is left to do, from the stage that an earlier try came to.
func (i *Installer) ensure(ctx context.Context) error {
	reached, err := i.stage()
	if err != nil {
		return err
	}
	again := reached != idle
	if reached == installing && i.answers() && i.complete() == nil {
		// Somebody else has completed it.
		if err := i.enter(idle); err != nil {
			return err
		}
		reached = idle
	}
	if !i.installed(reached) {
		logr.FromContextOrDiscard(ctx).Info("The cell has no container runtime: installing one", "again", again)
		i.note("the container runtime is being installed")
		if err := i.install(ctx); err != nil {
			return err
		}
	}
	changed, err := i.useSnapshotter(ctx)
	if err != nil {
		return err
	}
	if reached, err = i.stage(); err != nil {
		return err
	}
	switch {
	case reached == starting || i.keeps():
		// What runs already may have begun with an older configuration.
		err = i.start(ctx, changed || again)
	case reached == restarting:
		err = i.restart(ctx)
	}
	if err != nil {
		return err
	}
	return i.enter(idle)
}

// installed says whether nothing has to be installed.
func (i *Installer) installed(reached stage) bool {
	switch reached {
	case installing:
		return false
	case starting:
		return i.complete() == nil
	}
	return i.present()
}

// present says whether there is a runtime, be it one that was not started yet.
func (i *Installer) present() bool {
	return i.answers() || found(containerd)
}

func (i *Installer) answers() bool {
	dialer := net.Dialer{Timeout: time.Second}
	connection, err := dialer.Dial("unix", strings.TrimPrefix(i.config.Endpoint, "unix://"))
	if err != nil {
		return false
	}
	connection.Close()
	return true
}

// waitForAnswer waits until the runtime listens.
func (i *Installer) waitForAnswer(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	for !i.answers() {
		if sleep(ctx, 50*time.Millisecond) != nil {
			return fmt.Errorf("containerd was started and does not listen on %s: see its log", i.config.Endpoint)
		}
	}
	return nil
}

func (i *Installer) note(problem string) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.problem = problem
}

// path is where the machine has a file.
func (i *Installer) path(elements ...string) string {
	return filepath.Join(append([]string{i.config.Root, "/"}, elements...)...)
}

func (i *Installer) exists(path string) bool {
	_, err := os.Stat(i.path(path))
	return err == nil
}

// parameter reads one of the cell's parameters, without white space around it;
// empty when it is not there.
func (i *Installer) parameter(name string) (string, error) {
	content, err := os.ReadFile(filepath.Join(i.config.Parameters, name))
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("reading the cell's parameter %s: %w", name, err)
	}
	return strings.TrimSpace(string(content)), nil
}

func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}
