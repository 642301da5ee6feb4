package virtualnode

import (
	"context"
	"errors"
	"testing"
	"time"

	clocktesting "k8s.io/utils/clock/testing"
)

func TestAnyNode(t *testing.T) {
	l := NewLeases(nil, clocktesting.NewFakeClock(time.Now()))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if name, err := l.Any(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("without nodes: got %q, %v", name, err)
	}
	got := make(chan string)
	go func() {
		name, _ := l.Any(t.Context())
		got <- name
	}()
	l.Keep("kip-b", "1")
	if name := <-got; name != "kip-b" {
		t.Errorf("who waited got %q", name)
	}
	l.Keep("kip-a", "2")
	l.Keep("kip-a", "2")
	if name, err := l.Any(t.Context()); name != "kip-a" || err != nil {
		t.Errorf("of two: got %q, %v", name, err)
	}
	l.Drop("kip-a")
	if name, err := l.Any(t.Context()); name != "kip-b" || err != nil {
		t.Errorf("of those left: got %q, %v", name, err)
	}
}
