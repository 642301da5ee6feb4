package proc

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// parentDir makes the test binary play a parent process: it starts a process under this directory and waits to be killed.
const parentDir = "PROC_TEST_PARENT_DIR"

func TestMain(m *testing.M) {
	if dir := os.Getenv(parentDir); dir != "" {
		playParent(dir)
	}
	os.Exit(m.Run())
}

func playParent(dir string) {
	for name, dies := range map[string]bool{"bound": true, "free": false} {
		spec := sleeper(dir)
		spec.Name, spec.DieWithParent = name, dies
		if _, err := Start(context.Background(), spec); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
	fmt.Println("started")
	select {}
}

func sleeper(dir string) Spec {
	return Spec{Name: "sleeper", Dir: dir, Path: "/bin/sleep", Args: []string{"1000"}}
}

func script(dir, text string) Spec {
	return Spec{Name: "script", Dir: dir, Path: "/bin/sh", Args: []string{"-c", text}, Env: []string{"PATH=/usr/bin:/bin"}}
}

// start starts the process and has the test end it.
func start(t *testing.T, spec Spec) Process {
	t.Helper()
	p, err := Start(t.Context(), spec)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := Stop(context.Background(), spec.Dir, spec.Name, time.Second); err != nil {
			t.Error(err)
		}
	})
	return p
}

func eventually(t *testing.T, what string, cond func() bool) {
	t.Helper()
	deadline := time.After(20 * time.Second)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !cond() {
		select {
		case <-deadline:
			t.Fatalf("not within the deadline: %s", what)
		case <-tick.C:
		}
	}
}

func isRunning(t *testing.T, dir, name string) bool {
	t.Helper()
	_, alive, err := Alive(dir, name)
	if err != nil {
		t.Fatal(err)
	}
	return alive
}

func TestStartLeavesAloneWhatRuns(t *testing.T) {
	spec := sleeper(t.TempDir())
	first := start(t, spec)
	if !first.Started {
		t.Error("first Start says it found the process running")
	}
	second := start(t, spec)
	if second.Started || second.PID != first.PID {
		t.Errorf("second Start = %+v, want process %d found running", second, first.PID)
	}
	pidFile, err := os.ReadFile(filepath.Join(spec.Dir, "pid", "sleeper"))
	if err != nil {
		t.Fatal(err)
	}
	if got := strings.TrimSpace(string(pidFile)); got != strconv.Itoa(first.PID) {
		t.Errorf("pid file holds %q, want %d", got, first.PID)
	}
}

func TestStartReplacesWhatChanged(t *testing.T) {
	tests := []struct {
		name   string
		change func(t *testing.T, s *Spec)
		keeps  bool
	}{
		{name: "nothing", change: func(*testing.T, *Spec) {}, keeps: true},
		{name: "arguments", change: func(_ *testing.T, s *Spec) { s.Args = []string{"1001"} }},
		{name: "environment", change: func(_ *testing.T, s *Spec) { s.Env = []string{"A=b"} }},
		{name: "working directory", change: func(_ *testing.T, s *Spec) { s.WorkDir = "/" }},
		{name: "grace only", change: func(_ *testing.T, s *Spec) { s.Grace = time.Minute }, keeps: true},
		{name: "content of the executable", change: func(t *testing.T, s *Spec) {
			replace(t, s.Path, append(read(t, s.Path), 0))
		}},
		{name: "executable rewritten with the same content", change: func(t *testing.T, s *Spec) {
			replace(t, s.Path, read(t, s.Path))
		}, keeps: true},
		{name: "content of a file", change: func(t *testing.T, s *Spec) { replace(t, s.Files[0], []byte("new")) }},
		{name: "file rewritten with the same content", change: func(t *testing.T, s *Spec) {
			replace(t, s.Files[0], read(t, s.Files[0]))
		}, keeps: true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			spec := sleeper(dir)
			spec.Path = filepath.Join(dir, "sleep")
			replace(t, spec.Path, read(t, "/bin/sleep"))
			spec.Files = []string{filepath.Join(dir, "config")}
			replace(t, spec.Files[0], []byte("old"))
			first := start(t, spec)

			tt.change(t, &spec)
			second := start(t, spec)
			if kept := second.PID == first.PID; kept != tt.keeps {
				t.Errorf("process kept = %v, want %v", kept, tt.keeps)
			}
			if second.Started == tt.keeps {
				t.Errorf("Started = %v, want %v", second.Started, !tt.keeps)
			}
			// It may not be collected yet.
			if st, err := readStat(first.PID); !tt.keeps && err == nil && st.phase() != ended {
				t.Error("the replaced process still runs")
			}
		})
	}
}

// replace puts a new file in place of path, as a build does, so that a running executable can be replaced.
func replace(t *testing.T, path string, data []byte) {
	t.Helper()
	if err := os.WriteFile(path+".new", data, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		t.Fatal(err)
	}
}

func read(t *testing.T, path string) []byte {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func TestStartRevivesAKilledProcess(t *testing.T) {
	spec := sleeper(t.TempDir())
	first := start(t, spec)
	if err := syscall.Kill(first.PID, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the process ends", func() bool { return !isRunning(t, spec.Dir, spec.Name) })
	second := start(t, spec)
	if !second.Started || second.PID == first.PID {
		t.Errorf("Start = %+v after process %d was killed", second, first.PID)
	}
}

func TestAReusedPIDIsNotOurs(t *testing.T) {
	spec := sleeper(t.TempDir())
	bystander := start(t, spec)
	rec, err := readRecord(spec.Dir, spec.Name)
	if err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(*record){
		"started at another time": func(r *record) { r.StartTime++ },
		"in another boot":         func(r *record) { r.BootID = "another" },
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			forged := rec
			change(&forged)
			if err := forged.write(dir, "forged"); err != nil {
				t.Fatal(err)
			}
			if isRunning(t, dir, "forged") {
				t.Error("Alive takes it for ours")
			}
			if err := Stop(t.Context(), dir, "forged", time.Second); err != nil {
				t.Fatal(err)
			}
			if err := syscall.Kill(bystander.PID, 0); err != nil {
				t.Errorf("the bystander was ended: %v", err)
			}
		})
	}
}

func TestStartedProcessIsDetached(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("INHERITED", "yes")
	p := start(t, script(dir, `echo "[$INHERITED] $(pwd) $(readlink /proc/$$/fd/0)"; exec sleep 1000`))
	sid, err := unix.Getsid(p.PID)
	if err != nil {
		t.Fatal(err)
	}
	if sid != p.PID {
		t.Errorf("session %d, want its own, %d", sid, p.PID)
	}
	want := fmt.Sprintf("[] %s /dev/null", dir)
	eventually(t, "the log holds "+want, func() bool {
		tail, err := LogTail(dir, "script", 5)
		return err == nil && tail == want
	})
}

func TestDeathOfTheParent(t *testing.T) {
	dir := t.TempDir()
	parent := exec.Command(os.Args[0])
	parent.Env = append(os.Environ(), parentDir+"="+dir)
	out, err := parent.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := parent.Start(); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, len("started"))
	if _, err := out.Read(buf); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := Stop(context.Background(), dir, "free", time.Second); err != nil {
			t.Error(err)
		}
	})
	if !isRunning(t, dir, "bound") || !isRunning(t, dir, "free") {
		t.Fatal("the processes do not run")
	}
	if err := parent.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = parent.Wait()
	eventually(t, "the bound process ends", func() bool { return !isRunning(t, dir, "bound") })
	if !isRunning(t, dir, "free") {
		t.Error("the process that was to outlive its parent has ended")
	}
}

func TestStartRefuses(t *testing.T) {
	dir := t.TempDir()
	tests := []struct {
		name string
		spec Spec
	}{
		{"no name", Spec{Dir: dir, Path: "/bin/true"}},
		{"name with a slash", Spec{Name: "a/b", Dir: dir, Path: "/bin/true"}},
		{"hidden name", Spec{Name: ".a", Dir: dir, Path: "/bin/true"}},
		{"no directory", Spec{Name: "a", Path: "/bin/true"}},
		{"no executable", Spec{Name: "a", Dir: dir}},
		{"missing executable", Spec{Name: "a", Dir: dir, Path: filepath.Join(dir, "missing")}},
		{"not executable", Spec{Name: "a", Dir: dir, Path: "/etc/passwd"}},
		{"missing file", Spec{Name: "a", Dir: dir, Path: "/bin/true", Files: []string{filepath.Join(dir, "missing")}}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if p, err := Start(t.Context(), tt.spec); err == nil {
				t.Errorf("started process %d", p.PID)
			}
			if tt.spec.Dir != "" && tt.spec.Name != "" && isRunning(t, dir, tt.spec.Name) {
				t.Error("something runs")
			}
		})
	}
}

func TestWaitReady(t *testing.T) {
	t.Run("ready after a while", func(t *testing.T) {
		dir := t.TempDir()
		start(t, script(dir, "touch ready; exec sleep 1000"))
		check := func(context.Context) error {
			_, err := os.Stat(filepath.Join(dir, "ready"))
			return err
		}
		if err := WaitReady(t.Context(), dir, "script", check); err != nil {
			t.Error(err)
		}
	})
	never := func(context.Context) error { return errors.New("not yet") }
	t.Run("ended", func(t *testing.T) {
		dir := t.TempDir()
		start(t, script(dir, "echo an earlier run"))
		eventually(t, "the first run ends", func() bool { return !isRunning(t, dir, "script") })
		start(t, script(dir, "echo unknown flag >&2; exit 1"))
		err := WaitReady(t.Context(), dir, "script", never)
		if !errors.Is(err, ErrEnded) || !strings.Contains(err.Error(), "unknown flag") {
			t.Errorf("error = %v, want the end and the log", err)
		}
		if strings.Contains(err.Error(), "earlier") {
			t.Errorf("error = %v, holds the log of an earlier run", err)
		}
	})
	t.Run("out of time", func(t *testing.T) {
		dir := t.TempDir()
		start(t, script(dir, "echo still loading; exec sleep 1000"))
		ctx, cancel := context.WithCancel(t.Context())
		check := func(context.Context) error {
			if tail, _ := LogTail(dir, "script", 1); tail != "" {
				cancel()
			}
			return errors.New("not yet")
		}
		err := WaitReady(ctx, dir, "script", check)
		if !errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), "not yet") || !strings.Contains(err.Error(), "still loading") {
			t.Errorf("error = %v, want cancelled, the last answer and the log", err)
		}
	})
}
