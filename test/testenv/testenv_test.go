package testenv

import (
	"context"
	"errors"
	"testing"
	"time"
)

func TestNew(t *testing.T) {
	for _, hollow := range []bool{false, true} {
		one, err := New("/somewhere/kip", "e2e", hollow)
		if err != nil {
			t.Fatal(err)
		}
		again, err := New("/somewhere/else/../kip", "e2e", hollow)
		if err != nil {
			t.Fatal(err)
		}
		other, err := New("/somewhere/else", "e2e", hollow)
		if err != nil {
			t.Fatal(err)
		}
		if one.Name != again.Name || one.Subnet != again.Subnet || one.Name == other.Name || one.Subnet == other.Subnet {
			t.Errorf("%+v, %+v and %+v", one, again, other)
		}
		const longest = 11
		if len(one.Name) > longest || one.Subnet != one.Subnet.Masked() || one.Subnet.Addr().IsLoopback() != hollow {
			t.Errorf("%q in %s", one.Name, one.Subnet)
		}
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
