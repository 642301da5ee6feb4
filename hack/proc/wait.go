package proc

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// ErrEnded is in the chain of WaitReady's error when the process ended while it was waited for.
var ErrEnded = errors.New("the process has ended")

const (
	pollInterval = 50 * time.Millisecond
	tailLines    = 20
)

// WaitReady calls check, again and again, until it returns nil. It gives up when the process has ended or ctx is done; the error then holds
// what check said last and the end of the process's log. check should return soon after its context is done.
func WaitReady(ctx context.Context, dir, name string, check func(context.Context) error) error {
	tick := time.NewTicker(pollInterval)
	defer tick.Stop()
	for {
		_, alive, err := Alive(dir, name)
		if err != nil {
			return err
		}
		if !alive {
			return withLog(dir, name, fmt.Errorf("waiting for %s: %w", name, ErrEnded))
		}
		checkErr := check(ctx)
		if checkErr == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return withLog(dir, name, fmt.Errorf("waiting for %s: %w; last answer: %w", name, context.Cause(ctx), checkErr))
		case <-tick.C:
		}
	}
}

func withLog(dir, name string, err error) error {
	tail, logErr := LogTail(dir, name, tailLines)
	if logErr != nil {
		return errors.Join(err, logErr)
	}
	return fmt.Errorf("%w; the end of %s:\n%s", err, LogPath(dir, name), tail)
}
