package cri

import (
	"context"
	"fmt"
	"os/exec"
	"testing"
	"time"
)

// TestEndBeforeItsContainerIsNoted: a process may be gone before the look that
// found its container running is over, when nothing is noted of the container
// yet. Another look has to be asked for all the same.
func TestEndBeforeItsContainerIsNoted(t *testing.T) {
	ended := exec.CommandContext(t.Context(), "true")
	if err := ended.Run(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	told := make(chan struct{}, 100)
	e, done := newExits(), make(chan struct{})
	go func() {
		defer close(done)
		_ = e.watch(ctx, func() { told <- struct{}{} })
	}()
	<-told // that somebody watches
	e.follow("id", fmt.Sprintf(`{"pid":%d}`, ended.Process.Pid), func() bool { return true })
	select {
	case <-told:
	case <-time.After(10 * time.Second):
		t.Error("nobody looks again")
	}
	cancel()
	<-done
}
