package testenv

import (
	"context"
	"fmt"
	"testing"
	"time"
)

// pollInterval is how often a condition that cannot be watched is looked at.
const pollInterval = 20 * time.Millisecond

// Poll looks until check returns nil; when ctx ends first it returns what check said last.
func Poll(ctx context.Context, check func(context.Context) error) error {
	tick := time.NewTicker(pollInterval)
	defer tick.Stop()
	var seen error
	for {
		err := check(ctx)
		if err == nil {
			return nil
		}
		if ctx.Err() == nil || seen == nil {
			seen = err // not that it was cut short
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%w; last seen: %w", context.Cause(ctx), seen)
		case <-tick.C:
		}
	}
}

// Eventually waits until check returns nil, and fails the test when it does not in time.
func Eventually(t *testing.T, within time.Duration, what string, check func(context.Context) error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), within)
	defer cancel()
	if err := Poll(ctx, check); err != nil {
		t.Fatalf("%s: %v", what, err)
	}
}
