package dev

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"golang.org/x/sys/unix"

	"kip.elotl.co/hack/devcluster"
	"kip.elotl.co/hack/fabric"
	"kip.elotl.co/hack/localaws/boot/sandbox"
	"kip.elotl.co/hack/proc"
)

// Down ends what Up started, whether Up ended well or was killed, and clears the state: the next Up is a fresh cluster. Nothing stays but
// the logs and the executables. Calling it again is harmless.
func (e Environment) Down(ctx context.Context, w io.Writer) error {
	e, err := e.complete()
	if err != nil {
		return err
	}
	if _, err := os.Stat(e.Dir); errors.Is(err, os.ErrNotExist) {
		return nil
	}
	unlock, err := e.lock()
	if err != nil {
		return err
	}
	defer unlock()
	up, ok, err := e.savedMode()
	if err != nil {
		return err
	}
	if ok {
		e.Hollow, e.Subnet, e.Name = up.Hollow, up.Subnet, up.Name
	} else {
		e.Hollow = true // nothing was made; cells and network of the name are somebody else's
	}
	if !e.Hollow && os.Getuid() != 0 {
		return errors.New("ending real cells needs root")
	}
	for _, s := range []step{
		{Operator, func(ctx context.Context) error { return e.stopOperators(ctx, 0) }},
		{AWS, e.stop(AWS)},
		{"cells", e.unlessHollow(func(ctx context.Context) error { return sandbox.Sweep(ctx, e.cellsDir(), e.fabric().Name) })},
		{"network of cells", e.unlessHollow(func(context.Context) error { return fabric.Down(e.fabric()) })},
		{Registry, e.stop(Registry)},
		{"control plane", func(ctx context.Context) error { return devcluster.Stop(ctx, e.Dir) }},
		{"state", func(context.Context) error { return e.clear() }},
	} {
		if s.do == nil {
			continue
		}
		if err := s.run(ctx, w); err != nil {
			return err
		}
	}
	return nil
}

func (e Environment) stop(name string) func(context.Context) error {
	return func(ctx context.Context) error { return proc.Stop(ctx, e.Dir, name, 0) }
}

// clear removes what Up has written, but not the logs, nor what others keep in the directory.
func (e Environment) clear() error {
	var errs []error
	for _, name := range []string{
		"cluster", "kubeconfig", "operator.kubeconfig", "operator.kubeconfig.token", "kubectl", "localaws", "images", agentsDir, ownAgentDir,
		"registry", "aws.env", leaderFile, "proc", "pid", portsFile, modeFile,
	} {
		if err := os.RemoveAll(e.path(name)); err != nil {
			errs = append(errs, fmt.Errorf("clearing the state: %w", err))
		}
	}
	return errors.Join(errs...)
}

// lock keeps others from bringing the same environment up or down at the same time.
func (e Environment) lock() (unlock func(), err error) {
	if err := os.MkdirAll(e.Dir, 0o755); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(e.path("lock"), os.O_RDWR|os.O_CREATE|unix.O_CLOEXEC, 0o644)
	if err != nil {
		return nil, err
	}
	for err = unix.EINTR; errors.Is(err, unix.EINTR); {
		err = unix.Flock(int(f.Fd()), unix.LOCK_EX)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("locking %s: %w", f.Name(), err), f.Close())
	}
	return func() { f.Close() }, nil
}
