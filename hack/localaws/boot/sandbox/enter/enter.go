// Package enter is the first thing that runs in a new cell: it turns a process
// that was started in fresh namespaces, but still sees the host's files, into
// the cell's first process with a root file system of its own.
package enter

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"runtime"

	"golang.org/x/sys/unix"

	"kip.elotl.co/hack/localaws/boot/sandbox/cgroups"
)

// The descriptors that the parent hands over: what to do, as JSON, and where
// to say what went wrong. The second one closes without a word when the
// cell's own program takes over.
const (
	ConfigFD = 3
	ErrorFD  = 4
)

// Config is what the parent decides. Paths are the host's and absolute, but
// for Bind.Target.
type Config struct {
	// Root is an empty directory to mount the overlay on; Upper and Work are
	// its writable layer, on a file system that overlays accept. The lower
	// layer is the host's root file system.
	Root, Upper, Work string
	Binds             []Bind
	Hostname          string
	Unified           bool
	Hierarchies       []cgroups.Hierarchy
	// Devices are names below /dev of devices that are there and do nothing.
	Devices []string
	// Args and Env are what the process becomes: this same executable.
	Args, Env []string
}

// Bind makes a directory of the host visible in the cell, where the overlay
// already has one.
type Bind struct {
	Source, Target string
	ReadOnly       bool
}

// Main does it. It returns only when it fails; the parent has been told then.
// It must be called from the main goroutine of a process that does nothing else.
func Main() error {
	runtime.LockOSThread()
	unix.CloseOnExec(ConfigFD)
	unix.CloseOnExec(ErrorFD)
	err := enter()
	report := os.NewFile(ErrorFD, "report")
	_, _ = io.WriteString(report, err.Error())
	return err
}

func enter() error {
	in := os.NewFile(ConfigFD, "config")
	var cfg Config
	// The end of the parent ends the input: a cell that is not fully set up
	// does not outlive whoever was setting it up.
	if err := json.NewDecoder(in).Decode(&cfg); err != nil {
		return fmt.Errorf("reading what to do: %w", err)
	}
	in.Close()
	// Only now: the root of the cgroup namespace is the group that the parent
	// has put this process in.
	if err := unix.Unshare(unix.CLONE_NEWCGROUP); err != nil {
		return fmt.Errorf("making a cgroup namespace: %w", err)
	}
	if err := unix.Sethostname([]byte(cfg.Hostname)); err != nil {
		return fmt.Errorf("setting the host name: %w", err)
	}
	if err := mountAll(cfg); err != nil {
		return err
	}
	if err := pivot(cfg.Root); err != nil {
		return err
	}
	unix.Umask(0o022)
	// The executable is not visible any more, but the new /proc still leads to it.
	err := unix.Exec("/proc/self/exe", cfg.Args, cfg.Env)
	return fmt.Errorf("starting the cell's first process: %w", err)
}

// pivot makes root the only file system there is.
func pivot(root string) error {
	if err := unix.Chdir(root); err != nil {
		return fmt.Errorf("entering the new root: %w", err)
	}
	// The old root comes to lie on top of the new one.
	if err := unix.PivotRoot(".", "."); err != nil {
		return fmt.Errorf("changing the root: %w", err)
	}
	if err := unix.Unmount(".", unix.MNT_DETACH); err != nil {
		return fmt.Errorf("letting go of the host's root: %w", err)
	}
	if err := unix.Chdir("/"); err != nil {
		return fmt.Errorf("entering the root: %w", err)
	}
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_SHARED, ""); err != nil {
		return fmt.Errorf("making the root's mounts shared: %w", err)
	}
	return nil
}
