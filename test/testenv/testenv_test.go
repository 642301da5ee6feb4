package testenv

import (
	"context"
	"errors"
	"testing"
	"time"
)

func TestNew(t *testing.T) {
	one, err := New("/somewhere/else/../kip", "e2e", true)
	if err != nil {
		t.Fatal(err)
	}
	if one.Root != "/somewhere/kip" || one.Dir != "/somewhere/kip/.dev/e2e" || one.BinDir != "/somewhere/kip/bin" || !one.Hollow {
		t.Errorf("%+v", one)
	}
}

func TestPoll(t *testing.T) {
	looks := 0
	err := Poll(t.Context(), func(context.Context) error {
		if looks++; looks < 3 {
			return errors.New("not yet")
		}
		return nil
	})
	if err != nil || looks != 3 {
		t.Errorf("%d looks, %v", looks, err)
	}
}

// What was seen before the time ran out is told, not that the last look was cut short.
func TestPollInVain(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	seen := errors.New("not there")
	err := Poll(ctx, func(ctx context.Context) error {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		return seen
	})
	if !errors.Is(err, seen) || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}
}
