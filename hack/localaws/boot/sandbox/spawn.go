package sandbox

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"syscall"

	"golang.org/x/sys/unix"

	"kip.elotl.co/hack/localaws/boot/sandbox/enter"
)

// namespaces are a cell's own; that of cgroups it makes itself when it is in
// its groups.
const namespaces = unix.CLONE_NEWNS | unix.CLONE_NEWUTS | unix.CLONE_NEWIPC | unix.CLONE_NEWPID | unix.CLONE_NEWNET

// parent is our side of a first process that waits to be told what to do. If
// we end before telling it, it ends too.
type parent struct {
	pid     int
	config  *os.File // for writing
	reports *os.File // for reading
}

// spawn starts the first process in its namespaces. Its console is a file, so
// that it outlives us.
func spawn(init, consolePath string) (*parent, error) {
	console, err := os.OpenFile(consolePath, os.O_CREATE|os.O_RDWR|os.O_APPEND, 0o600)
	if err != nil {
		return nil, fmt.Errorf("making the console: %w", err)
	}
	defer console.Close()
	configRead, configWrite, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("making a pipe: %w", err)
	}
	defer configRead.Close()
	reportRead, reportWrite, err := os.Pipe()
	if err != nil {
		configWrite.Close()
		return nil, fmt.Errorf("making a pipe: %w", err)
	}
	defer reportWrite.Close()
	cmd := &exec.Cmd{
		Path: init, Args: []string{"cellinit", "enter"}, Dir: "/", Env: []string{},
		Stdout: console, Stderr: console,
		ExtraFiles:  []*os.File{configRead, reportWrite}, // enter.ConfigFD, enter.ErrorFD
		SysProcAttr: &syscall.SysProcAttr{Cloneflags: namespaces, Setsid: true},
	}
	p := &parent{config: configWrite, reports: reportRead}
	if err := cmd.Start(); err != nil {
		p.close()
		return nil, fmt.Errorf("starting the first process: %w", err)
	}
	p.pid = cmd.Process.Pid
	go func() { _ = cmd.Wait() }() // it must not stay as a zombie
	return p, nil
}

// release tells the process what to do and returns when the cell's own
// program has taken over.
func (p *parent) release(cfg enter.Config) error {
	if err := json.NewEncoder(p.config).Encode(cfg); err != nil {
		return fmt.Errorf("telling the first process what to do: %w", err)
	}
	report, err := io.ReadAll(p.reports)
	if err != nil {
		return fmt.Errorf("waiting for the first process: %w", err)
	}
	if len(report) > 0 {
		return fmt.Errorf("in the first process: %s", report)
	}
	return nil
}

func (p *parent) close() {
	p.config.Close()
	p.reports.Close()
}
