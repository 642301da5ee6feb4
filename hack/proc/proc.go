// Package proc keeps long-running processes of the local environment: it starts them detached, so that they outlive the command that
// started them, remembers them under a directory, leaves alone what runs, and ends exactly what it started.
//
// For a process called NAME the directory holds
//
//	pid/NAME        the process ID, for people and scripts
//	proc/NAME.json  what tells this process from a later one with the same ID, and what it was started with
//	log/NAME        its standard output and error; log/NAME.old the part before the last turn of the file
//
// A process is known by its ID, its start time and the boot of the machine, so an ID that the kernel gave to another process is never
// taken for ours.
package proc

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"
)

// DefaultGrace is how long a process may take to end after SIGTERM, before SIGKILL.
const DefaultGrace = 10 * time.Second

// Spec says what to run. All of it but Dir, Name and Grace is part of the process's fingerprint.
type Spec struct {
	// Name is the process's name within Dir: a file name without slashes.
	Name string
	// Dir is the state directory, shared by any number of processes.
	Dir string
	// Path is the executable, absolute or relative to the caller's directory.
	Path string
	// Args are the arguments after the program's name.
	Args []string
	// Env is the whole environment as KEY=value; nothing is inherited.
	Env []string
	// WorkDir is the working directory; empty means Dir.
	WorkDir string
	// Files are read by the process at its start only: when the content of one changes, the process is started anew.
	Files []string
	// DieWithParent has the kernel kill the process when the caller's process ends, however it ends: for tests.
	DieWithParent bool
	// Grace is how long the process may take to end when a change makes Start replace it; 0 means DefaultGrace.
	Grace time.Duration
}

// Process is a process that runs, or ran when it was looked at.
type Process struct {
	PID int
	// Since is when it was started; zero when that is not recorded.
	Since time.Time
	// Started says that this call of Start started it, rather than finding it running.
	Started bool
}

// Start makes the process of the Spec run. One that runs is left alone if it was started with the same fingerprint: path, content of the
// executable, arguments, environment, working directory and content of Files. One started with another is stopped first (SIGTERM, then
// SIGKILL after Grace) and started anew. The new process has its own session, /dev/null as input and the log file as output.
//
// Start returns as soon as the process is started; use WaitReady to learn whether it serves. It can be called by several processes at once:
// Dir is locked meanwhile. ctx limits only the waiting for an old process to end.
func Start(ctx context.Context, spec Spec) (Process, error) {
	spec, err := spec.complete()
	if err != nil {
		return Process{}, fmt.Errorf("starting %s: %w", spec.Name, err)
	}
	unlock, err := lock(spec.Dir)
	if err != nil {
		return Process{}, fmt.Errorf("starting %s: %w", spec.Name, err)
	}
	defer unlock()

	old, err := readRecord(spec.Dir, spec.Name)
	if err != nil {
		return Process{}, fmt.Errorf("starting %s: %w", spec.Name, err)
	}
	sum, exe, err := fingerprint(spec, old.Executable)
	if err != nil {
		return Process{}, fmt.Errorf("starting %s: %w", spec.Name, err)
	}
	if old.phase() == running && old.Fingerprint == sum {
		return Process{PID: old.PID, Since: old.Since}, nil
	}
	if err := end(ctx, old, spec.Grace); err != nil {
		return Process{}, fmt.Errorf("replacing %s: %w", spec.Name, err)
	}
	now := time.Now().UTC().Round(0) // so that it is read back as it was written
	pid, err := spawn(spec, record{Fingerprint: sum, Executable: exe, Since: now})
	if err != nil {
		return Process{}, fmt.Errorf("starting %s: %w", spec.Name, err)
	}
	return Process{PID: pid, Since: now, Started: true}, nil
}

// complete checks the Spec, makes its paths absolute and fills in the defaults.
func (s Spec) complete() (Spec, error) {
	if s.Name == "" || strings.ContainsRune(s.Name, '/') || strings.HasPrefix(s.Name, ".") {
		return s, fmt.Errorf("%q cannot be a process's name", s.Name)
	}
	if s.Dir == "" || s.Path == "" {
		return s, fmt.Errorf("a state directory and an executable are needed")
	}
	if s.WorkDir == "" {
		s.WorkDir = s.Dir
	}
	if s.Grace == 0 {
		s.Grace = DefaultGrace
	}
	for _, p := range []*string{&s.Dir, &s.Path, &s.WorkDir} {
		abs, err := filepath.Abs(*p)
		if err != nil {
			return s, err
		}
		*p = abs
	}
	for _, d := range []string{"pid", "proc", "log"} {
		if err := os.MkdirAll(filepath.Join(s.Dir, d), 0o700); err != nil {
			return s, err
		}
	}
	return s, nil
}

// lock takes an exclusive lock on the records of dir, until unlock is called or this process ends.
func lock(dir string) (unlock func(), err error) {
	f, err := os.Open(filepath.Join(dir, "proc"))
	if err != nil {
		return nil, err
	}
	if err := flock(f); err != nil {
		f.Close()
		return nil, fmt.Errorf("locking %s: %w", f.Name(), err)
	}
	return func() { f.Close() }, nil
}

func flock(f *os.File) error {
	for {
		err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX)
		if err != syscall.EINTR {
			return err
		}
	}
}

// spawn starts the process and writes its record.
func spawn(spec Spec, rec record) (int, error) {
	log, offset, err := openLog(spec.Dir, spec.Name)
	if err != nil {
		return 0, err
	}
	defer log.Close()
	cmd := &exec.Cmd{
		Path: spec.Path, Args: append([]string{spec.Path}, spec.Args...), Dir: spec.WorkDir, Stdout: log, Stderr: log,
		// Not nil, which would mean the caller's environment.
		Env:         append([]string{}, spec.Env...),
		SysProcAttr: &syscall.SysProcAttr{Setsid: true},
	}
	if spec.DieWithParent {
		cmd.SysProcAttr.Pdeathsig = syscall.SIGKILL
	}
	rec.LogOffset = offset
	err = run(cmd, func(pid int) error {
		if err := rec.identify(pid); err != nil {
			return err
		}
		return rec.write(spec.Dir, spec.Name)
	})
	return rec.PID, err
}

// run starts cmd, calls started with its process ID, and collects its exit status when it ends, so that no zombie stays as long as the
// caller lives. When started fails the process is killed: without a record nobody would find it later.
//
// The thread that starts a process must live as long as the process does, because the kernel sends the parent-death signal when that thread
// ends; a goroutine of its own also keeps the caller's namespaces out, should the caller have entered some.
func run(cmd *exec.Cmd, started func(pid int) error) error {
	result := make(chan error)
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		if err := cmd.Start(); err != nil {
			result <- err
			return
		}
		// Before Wait: until then even a process that ended at once can be looked at.
		err := started(cmd.Process.Pid)
		if err != nil {
			err = fmt.Errorf("recording process %d: %w", cmd.Process.Pid, err)
			_ = cmd.Process.Kill()
		}
		result <- err
		_ = cmd.Wait()
	}()
	return <-result
}
