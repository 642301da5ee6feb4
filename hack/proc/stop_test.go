package proc

import (
	"context"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestStop(t *testing.T) {
	// What is ignored stays ignored across exec.
	const deaf = "trap '' TERM; touch deaf; exec sleep 1000"
	tests := []struct {
		name  string
		text  string
		ready string // a file whose existence says that the script is where the test wants it
		ctx   func(context.Context) context.Context
		grace time.Duration
		left  string // a file that the script leaves when it ends by SIGTERM
	}{
		{name: "ends by SIGTERM", text: "trap 'touch bye; exit' TERM; touch ready; while :; do sleep 0.01; done", ready: "ready", left: "bye"},
		{name: "killed after the grace", text: deaf, ready: "deaf", grace: time.Millisecond},
		{name: "killed when the context ends", text: deaf, ready: "deaf", grace: time.Hour, ctx: cancelled},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			p := start(t, script(dir, tt.text))
			eventually(t, "the script is ready", func() bool { return exists(dir, tt.ready) })
			ctx := t.Context()
			if tt.ctx != nil {
				ctx = tt.ctx(ctx)
			}
			if err := Stop(ctx, dir, "script", tt.grace); err != nil {
				t.Fatal(err)
			}
			if st, err := readStat(p.PID); err == nil && st.state != 'Z' {
				t.Errorf("the process is in state %c", st.state)
			}
			if tt.left != "" && !exists(dir, tt.left) {
				t.Error("the script was not asked to end")
			}
			assertForgotten(t, dir)
		})
	}
}

func cancelled(ctx context.Context) context.Context {
	ctx, cancel := context.WithCancel(ctx)
	cancel()
	return ctx
}

func exists(dir, name string) bool {
	_, err := os.Stat(filepath.Join(dir, name))
	return err == nil
}

func assertForgotten(t *testing.T, dir string) {
	t.Helper()
	names, err := Names(dir)
	if err != nil {
		t.Fatal(err)
	}
	if len(names) > 0 || exists(dir, "pid/script") {
		t.Errorf("still recorded: %v", names)
	}
	if !exists(dir, "log/script") {
		t.Error("the log is gone")
	}
}

func TestStopOfNothing(t *testing.T) {
	t.Run("no directory", func(t *testing.T) {
		dir := filepath.Join(t.TempDir(), "missing")
		if err := Stop(t.Context(), dir, "a", 0); err != nil {
			t.Error(err)
		}
		if exists(dir, "") {
			t.Error("a directory was made")
		}
	})
	t.Run("unknown name", func(t *testing.T) {
		spec := sleeper(t.TempDir())
		start(t, spec)
		if err := Stop(t.Context(), spec.Dir, "other", 0); err != nil {
			t.Error(err)
		}
		if !isRunning(t, spec.Dir, spec.Name) {
			t.Error("another process was ended")
		}
	})
	t.Run("ended by itself", func(t *testing.T) {
		dir := t.TempDir()
		p := start(t, script(dir, "exec sleep 1000"))
		if err := syscall.Kill(p.PID, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		eventually(t, "the process ends", func() bool { return !isRunning(t, dir, "script") })
		if err := Stop(t.Context(), dir, "script", 0); err != nil {
			t.Error(err)
		}
		assertForgotten(t, dir)
	})
	t.Run("damaged record", func(t *testing.T) {
		dir := t.TempDir()
		if err := os.MkdirAll(filepath.Join(dir, "proc"), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(recordPath(dir, "a"), []byte("{"), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := Stop(t.Context(), dir, "a", 0); err == nil {
			t.Error("no error")
		}
	})
}

func TestNames(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"b", "a"} {
		spec := sleeper(dir)
		spec.Name = name
		start(t, spec)
	}
	got, err := Names(dir)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"a", "b"}, got); diff != "" {
		t.Error(diff)
	}
}
