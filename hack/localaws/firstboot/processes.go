package firstboot

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// processes starts children and collects all that end, those too that others
// left behind, as the first process must. Nothing else may wait for children.
type processes struct {
	mu      sync.Mutex // held over fork and over wait, so no exit goes astray
	waiting map[int]chan<- unix.WaitStatus
	env     []string
}

func newProcesses(env []string) *processes {
	return &processes{waiting: map[int]chan<- unix.WaitStatus{}, env: env}
}

// command is a program to start. The first word is looked up in the PATH.
type command struct {
	argv   []string
	env    []string // besides the common one
	output *os.File // standard output and error
}

// start runs a program in a session of its own. Its status is sent once.
func (p *processes) start(c command) (pid int, ended <-chan unix.WaitStatus, err error) {
	path, err := exec.LookPath(c.argv[0])
	if err != nil {
		return 0, nil, err
	}
	input, err := os.Open(os.DevNull)
	if err != nil {
		return 0, nil, err
	}
	defer input.Close()
	p.mu.Lock()
	defer p.mu.Unlock()
	pid, err = syscall.ForkExec(path, c.argv, &syscall.ProcAttr{
		Dir: "/", Env: append(append([]string{}, p.env...), c.env...),
		Files: []uintptr{input.Fd(), c.output.Fd(), c.output.Fd()},
		Sys:   &syscall.SysProcAttr{Setsid: true},
	})
	if err != nil {
		return 0, nil, fmt.Errorf("starting %s: %w", c.argv[0], err)
	}
	status := make(chan unix.WaitStatus, 1)
	p.waiting[pid] = status
	return pid, status, nil
}

// run starts a program and waits for it, or for the end of the context: the
// program is left to the shutdown then.
func (p *processes) run(ctx context.Context, c command) error {
	_, ended, err := p.start(c)
	if err != nil {
		return err
	}
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case status := <-ended:
		return statusError(status)
	}
}

func statusError(status unix.WaitStatus) error {
	switch {
	case status.Signaled():
		return fmt.Errorf("ended by %s", unix.SignalName(status.Signal()))
	case status.ExitStatus() != 0:
		return fmt.Errorf("exit status %d", status.ExitStatus())
	}
	return nil
}

// reap collects every child that has ended and says whether any is left.
func (p *processes) reap() (left bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for {
		var status unix.WaitStatus
		pid, err := unix.Wait4(-1, &status, unix.WNOHANG, nil)
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case err != nil:
			return false
		case pid == 0:
			return true
		}
		if ended, ok := p.waiting[pid]; ok {
			ended <- status
			delete(p.waiting, pid)
		}
	}
}
