package proc

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Stop ends the process that Start recorded under name, and forgets it: SIGTERM, then SIGKILL when it still runs after grace (0 means
// DefaultGrace) or when ctx ends. Nothing recorded, or a recorded process that has ended, is no error. The log stays. Children of the process are its own
// affair: it is expected to end them on SIGTERM.
func Stop(ctx context.Context, dir, name string, grace time.Duration) error {
	if _, err := os.Stat(filepath.Join(dir, "proc")); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if grace == 0 {
		grace = DefaultGrace
	}
	unlock, err := lock(dir)
	if err != nil {
		return fmt.Errorf("stopping %s: %w", name, err)
	}
	rec, err := readRecord(dir, name)
	unlock()
	if err != nil {
		return fmt.Errorf("stopping %s: %w", name, err)
	}
	// Without the lock: several processes may be stopped side by side.
	if err := end(ctx, rec, grace); err != nil {
		return fmt.Errorf("stopping %s: %w", name, err)
	}
	return forget(dir, name, rec)
}

// forget removes the record of a process that has ended, unless another has been started meanwhile.
func forget(dir, name string, old record) error {
	unlock, err := lock(dir)
	if err != nil {
		return fmt.Errorf("forgetting %s: %w", name, err)
	}
	defer unlock()
	now, err := readRecord(dir, name)
	if err != nil || now != old {
		return err
	}
	if err := removeRecord(dir, name); err != nil {
		return fmt.Errorf("forgetting %s: %w", name, err)
	}
	return nil
}

// Alive returns the process recorded under name, and whether it runs. One that was just killed may hold its ports a moment longer: Start
// and Stop wait for that.
func Alive(dir, name string) (Process, bool, error) {
	rec, err := readRecord(dir, name)
	return Process{PID: rec.PID, Since: rec.Since}, rec.phase() == running, err
}

// Names lists the processes recorded in dir, running or not, in alphabetical order.
func Names(dir string) ([]string, error) {
	entries, err := os.ReadDir(filepath.Join(dir, "proc"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	var names []string
	for _, e := range entries {
		if name, ok := strings.CutSuffix(e.Name(), ".json"); ok && !strings.HasPrefix(name, ".") {
			names = append(names, name)
		}
	}
	return names, nil
}

// end returns when the recorded process has ended, and without doing anything when it has. Signals go through a descriptor of the
// process, taken before its identity is checked, so that none can reach another process that got its ID.
func end(ctx context.Context, rec record, grace time.Duration) error {
	if rec.phase() == ended {
		return nil
	}
	fd, err := unix.PidfdOpen(rec.PID, 0)
	if errors.Is(err, unix.ESRCH) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("opening process %d: %w", rec.PID, err)
	}
	defer unix.Close(fd)
	if rec.phase() == ended {
		return nil
	}
	termCtx, cancel := context.WithTimeout(ctx, grace)
	defer cancel()
	if gone, err := signalAndWait(termCtx, fd, unix.SIGTERM); gone || err != nil {
		return err
	}
	// Not bound to ctx: a killed process ends soon, or never (stuck in the kernel).
	killCtx, cancelKill := context.WithTimeout(context.WithoutCancel(ctx), DefaultGrace)
	defer cancelKill()
	gone, err := signalAndWait(killCtx, fd, unix.SIGKILL)
	if err == nil && !gone {
		err = fmt.Errorf("process %d does not end after SIGKILL", rec.PID)
	}
	return err
}

// signalAndWait signals the process behind a pidfd and waits until it has ended or ctx is done.
func signalAndWait(ctx context.Context, fd int, sig unix.Signal) (gone bool, err error) {
	if err := unix.PidfdSendSignal(fd, sig, nil, 0); errors.Is(err, unix.ESRCH) {
		return true, nil
	} else if err != nil {
		return false, fmt.Errorf("sending %s: %w", unix.SignalName(sig), err)
	}
	const sliceMillis = 50 // how late the end of ctx may be noticed
	for {
		n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, sliceMillis)
		switch {
		case n > 0:
			return true, nil
		case err != nil && !errors.Is(err, unix.EINTR):
			return false, fmt.Errorf("waiting for the end: %w", err)
		case ctx.Err() != nil:
			return false, nil //nolint:nilerr // an interrupted wait is no error, and neither is an ended one
		}
	}
}
