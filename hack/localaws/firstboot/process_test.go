package firstboot

import (
	"context"
	"errors"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func ownerOf(info os.FileInfo) (uid, gid int) {
	st := info.Sys().(*syscall.Stat_t)
	return int(st.Uid), int(st.Gid)
}

// reaped collects children for as long as the test lasts, as Main does.
func reaped(t *testing.T) *processes {
	t.Helper()
	p := newProcesses(environment())
	children := make(chan os.Signal, 1)
	signal.Notify(children, unix.SIGCHLD)
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		for {
			select {
			case <-children:
				p.reap()
			case <-stop:
				return
			}
		}
	}()
	t.Cleanup(func() { close(stop); <-stopped; signal.Stop(children) })
	return p
}

func output(t *testing.T) (*os.File, func() string) {
	t.Helper()
	f, err := os.Create(filepath.Join(t.TempDir(), "out"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f, func() string {
		data, err := os.ReadFile(f.Name())
		if err != nil {
			t.Fatal(err)
		}
		return string(data)
	}
}

func TestRun(t *testing.T) {
	p := reaped(t)
	tests := []struct {
		script, want string
	}{
		{"exit 0", ""},
		{"exit 3", "exit status 3"},
		{"kill -9 $$", "ended by SIGKILL"},
	}
	for _, tt := range tests {
		out, _ := output(t)
		err := p.run(t.Context(), command{argv: []string{"sh", "-c", tt.script}, output: out})
		if (tt.want == "") != (err == nil) || err != nil && err.Error() != tt.want {
			t.Errorf("%s: %v", tt.script, err)
		}
	}
	out, said := output(t)
	err := p.run(t.Context(), command{argv: []string{"sh", "-c", "echo $A $HOME; pwd; cat; echo err >&2"}, env: []string{"A=b"}, output: out})
	if err != nil || said() != "b /root\n/\nerr\n" {
		t.Errorf("%q, %v", said(), err)
	}
}

func TestRunRefuses(t *testing.T) {
	p := reaped(t)
	out, _ := output(t)
	script := filepath.Join(t.TempDir(), "script")
	if err := os.WriteFile(script, []byte("no interpreter line"), 0o700); err != nil {
		t.Fatal(err)
	}
	for _, program := range []string{"/nonexistent", "surely-not-a-program", script} {
		if err := p.run(t.Context(), command{argv: []string{program}, output: out}); err == nil {
			t.Errorf("%s ran", program)
		}
	}
}

func TestRunEndsWithTheContext(t *testing.T) {
	p := reaped(t)
	out, _ := output(t)
	ctx, cancel := context.WithCancelCause(t.Context())
	pid, ended, err := p.start(command{argv: []string{"sleep", "1000"}, output: out})
	if err != nil {
		t.Fatal(err)
	}
	cancel(errPowerOff)
	if err := p.run(ctx, command{argv: []string{"sh", "-c", "exec sleep 2"}, output: out}); !errors.Is(err, errPowerOff) {
		t.Errorf("%v", err)
	}
	if err := unix.Kill(pid, unix.SIGKILL); err != nil {
		t.Fatal(err)
	}
	if status := <-ended; status.Signal() != unix.SIGKILL {
		t.Errorf("%v", status)
	}
}

func openConsole(t *testing.T) (*console, func() string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "console")
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR|os.O_APPEND, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return newConsole(f), func() string {
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		return string(data)
	}
}

func TestConsoleKeepsItsEnd(t *testing.T) {
	c, read := openConsole(t)
	c.printf("the start")
	line := strings.Repeat("x", 1023) + "\n"
	for range consoleMax / len(line) {
		if n, err := c.Write([]byte(line)); n != len(line) || err != nil {
			t.Fatal(n, err)
		}
	}
	c.printf("the end %d", 7)
	got := read()
	if len(got) > consoleKeep+1024 || !strings.HasSuffix(got, "cellinit: the end 7\n") || strings.Contains(got, "the start") {
		t.Errorf("%d bytes, ending %q", len(got), got[max(0, len(got)-60):])
	}
}

func TestLogPipe(t *testing.T) {
	c, read := openConsole(t)
	var log strings.Builder
	w, err := logPipe(&log, c)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(w, "output\n"); err != nil {
		t.Fatal(err)
	}
	w.Close()
	deadline := time.After(10 * time.Second)
	for read() != "output\n" {
		select {
		case <-deadline:
			t.Fatalf("the console holds %q", read())
		case <-time.After(time.Millisecond):
		}
	}
}

func TestBackoff(t *testing.T) {
	var total time.Duration
	for n := 1; n < metadataTries; n++ {
		d := backoff(n)
		if d <= 0 || d > 2*time.Second {
			t.Fatalf("%d: %v", n, d)
		}
		total += d
	}
	if total < 4*time.Minute || total > 6*time.Minute {
		t.Errorf("gives up after %v", total)
	}
}
