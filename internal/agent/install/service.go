package install

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/go-logr/logr"
)

const (
	// keepPause is before containerd is started again, keepLook how often one
	// that the agent did not start itself is looked at.
	keepPause = time.Second
	keepLook  = 5 * time.Second

	containerdLog = "/var/log/containerd.log"
)

func (i *Installer) systemd() bool { return i.exists("/run/systemd/system") }
func (i *Installer) openRC() bool  { return i.exists("/run/openrc") && found("rc-service") }

// start starts what was installed, and has it started after a reboot.
func (i *Installer) start(ctx context.Context, changed bool) error {
	i.note("the container runtime is being started")
	switch {
	case i.systemd():
		if err := run(ctx, "systemctl", "daemon-reload"); err != nil {
			return err
		}
		if err := run(ctx, "systemctl", "enable", containerd); err != nil {
			return err
		}
		if err := run(ctx, "systemctl", verb(changed), containerd); err != nil {
			return err
		}
	case i.openRC():
		if err := run(ctx, "rc-update", "add", containerd, "default"); err != nil {
			return err
		}
		if err := run(ctx, "rc-service", containerd, verb(changed)); err != nil {
			return err
		}
	default:
		return i.startKept(ctx, changed)
	}
	return i.waitForAnswer(ctx)
}

func verb(changed bool) string {
	if changed {
		return "restart"
	}
	return "start"
}

// restart is for a runtime that the agent did not install.
func (i *Installer) restart(ctx context.Context) error {
	switch {
	case i.systemd():
		return run(ctx, "systemctl", "restart", containerd)
	case i.openRC():
		return run(ctx, "rc-service", containerd, "restart")
	}
	if !i.end(ctx) {
		return nil
	}
	return i.waitForAnswer(ctx) // whoever keeps it starts it again
}

// end ends every containerd, and says whether there was one: nothing may be begun
// with one that is about to end.
func (i *Installer) end(ctx context.Context) (ended bool) {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	processes, err := filepath.Glob(i.path("/proc/[0-9]*"))
	if err != nil {
		return false
	}
	for _, process := range processes {
		pid, err := strconv.Atoi(filepath.Base(process))
		if err != nil || !isContainerd(process) || syscall.Kill(pid, syscall.SIGTERM) != nil {
			continue
		}
		ended = true
		for isContainerd(process) && sleep(ctx, 10*time.Millisecond) == nil {
		}
	}
	return ended
}

// isContainerd looks into a process's directory in /proc.
func isContainerd(process string) bool {
	name, err := os.ReadFile(filepath.Join(process, "comm"))
	return err == nil && strings.TrimSpace(string(name)) == containerd
}

func (i *Installer) keptPath() string { return filepath.Join(i.config.StateDir, keptFile) }

// keeps says whether it is the agent that has to start containerd.
func (i *Installer) keeps() bool {
	_, err := os.Stat(i.keptPath())
	return err == nil
}

// startKept starts containerd without anybody's help.
func (i *Installer) startKept(ctx context.Context, changed bool) error {
	if err := os.WriteFile(i.keptPath(), nil, 0o600); err != nil {
		return fmt.Errorf("noting that containerd is the agent's to start: %w", err)
	}
	if changed {
		i.end(ctx)
	}
	if !i.answers() {
		command, err := i.spawn(ctx)
		if err != nil {
			return err
		}
		go func() { _ = command.Wait() }()
	}
	return i.waitForAnswer(ctx)
}

// keep starts containerd again whenever it does not answer, until ctx ends.
func (i *Installer) keep(ctx context.Context) {
	log := logr.FromContextOrDiscard(ctx)
	for ; ctx.Err() == nil; _ = sleep(ctx, keepPause) {
		if i.answers() {
			_ = sleep(ctx, keepLook)
			continue
		}
		command, err := i.spawn(ctx)
		if err != nil {
			log.Error(err, "Cannot start containerd")
			continue
		}
		log.Info("Started containerd again", "pid", command.Process.Pid)
		ended := make(chan error, 1)
		go func() { ended <- command.Wait() }()
		select {
		case err := <-ended:
			log.Info("containerd ended", "how", fmt.Sprint(err))
		case <-ctx.Done():
		}
	}
}

// spawn starts containerd in a session of its own, which outlives the agent.
func (i *Installer) spawn(ctx context.Context) (*exec.Cmd, error) {
	path := i.path(containerdLog)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return nil, fmt.Errorf("making containerd's log: %w", err)
	}
	log, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o640)
	if err != nil {
		return nil, fmt.Errorf("making containerd's log: %w", err)
	}
	defer log.Close()
	command := exec.CommandContext(context.WithoutCancel(ctx), containerd)
	command.Stdout, command.Stderr = log, log
	command.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := command.Start(); err != nil {
		return nil, fmt.Errorf("starting containerd: %w", err)
	}
	return command, nil
}
