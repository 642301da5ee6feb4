package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/go-logr/logr"
	"golang.org/x/sys/unix"
)

const (
	lockFile = "agent.lock"
	// waitVariable, when set, lets an agent wait for another one's end instead of
	// ending itself, as who starts agents over and over wants it. It is not a
	// flag, which older agents would not know.
	waitVariable = "ITZO_WAIT_FOR_OTHER"
	// waitLook is how often it looks.
	waitLook = time.Second
)

// otherAgentError says that another agent has the state directory.
type otherAgentError struct{ pid string }

func (e *otherAgentError) Error() string { return "another agent runs, process " + e.pid }

// lockState makes this process the one agent of a state directory, until it ends
// or closes the lock. The error is an *otherAgentError where there is another.
func lockState(ctx context.Context, dir string, wait bool) (io.Closer, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("making state directory: %w", err)
	}
	lock, err := os.OpenFile(filepath.Join(dir, lockFile), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("opening the lock of the state directory: %w", err)
	}
	if err := takeLock(ctx, lock, wait); err != nil {
		lock.Close()
		return nil, err
	}
	if err := errors.Join(lock.Truncate(0), writePID(lock)); err != nil {
		lock.Close()
		return nil, fmt.Errorf("writing to the lock of the state directory: %w", err)
	}
	return lock, nil
}

func takeLock(ctx context.Context, lock *os.File, wait bool) error {
	for told := false; ; told = true {
		err := unix.Flock(int(lock.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		switch {
		case err == nil:
			return nil
		case !errors.Is(err, unix.EWOULDBLOCK):
			return fmt.Errorf("locking the state directory: %w", err)
		case !wait:
			pid, _ := io.ReadAll(io.LimitReader(lock, 32))
			return &otherAgentError{strings.TrimSpace(string(pid))}
		}
		if !told {
			logr.FromContextOrDiscard(ctx).Info("Another agent runs on this cell: waiting for its end")
		}
		timer := time.NewTimer(waitLook)
		select {
		case <-ctx.Done():
			timer.Stop()
			return fmt.Errorf("waiting for another agent's end: %w", ctx.Err())
		case <-timer.C:
		}
	}
}

func writePID(lock *os.File) error {
	_, err := fmt.Fprintln(lock, os.Getpid())
	return err
}
