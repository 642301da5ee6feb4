// Package firstboot is the first process of a local cell. It does what an AMI
// does with systemd and cloud-init: starts containerd, reads user data from
// the metadata service and applies it, collects orphans, powers off.
package firstboot

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"kip.elotl.co/hack/localaws/boot/sandbox/cgroups"
	"kip.elotl.co/hack/localaws/firstboot/userdata"
)

// MetadataURL is where an instance finds its metadata service.
const MetadataURL = "http://169.254.169.254"

// OutputLog is where the output of user data's scripts goes, besides the console.
const OutputLog = "/var/log/cloud-init-output.log"

// FinishedFile is there when all that user data asks for has been done.
const FinishedFile = "/var/lib/cloud/instance/boot-finished"

// environment is what programs of a cell are started with.
func environment() []string {
	return []string{
		"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root", "LANG=C.UTF-8", "TERM=linux",
	}
}

// imageEnvironment is what the image adds: lines of NAME=VALUE. A file that is
// not there adds nothing.
func imageEnvironment(path string) []string {
	content, err := os.ReadFile(path)
	if err != nil {
		return nil
	}
	var out []string
	for line := range strings.Lines(string(content)) {
		if name, _, ok := strings.Cut(line, "="); ok && name != "" && !strings.HasPrefix(line, "#") {
			out = append(out, strings.TrimSpace(line))
		}
	}
	return out
}

// Main is the life of a cell. It returns when the cell powers off; the
// process must end then.
func Main() error {
	c := newConsole(os.Stdout)
	err := run(c)
	if err != nil {
		c.printf("%v", err)
	}
	return err
}

func run(c *console) error {
	_ = os.WriteFile("/proc/self/comm", []byte("cellinit"), 0o644) // else it is that of the link that was executed
	variables := append(environment(), imageEnvironment("/etc/environment")...)
	for _, kv := range variables {
		if name, value, ok := strings.Cut(kv, "="); ok {
			_ = os.Setenv(name, value)
		}
	}
	children := make(chan os.Signal, 1)
	signal.Notify(children, unix.SIGCHLD)
	power := make(chan os.Signal, 1)
	signal.Notify(power, powerSignals()...)
	procs := newProcesses(variables)
	if err := leaveRootGroup(); err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(OutputLog), 0o755); err != nil {
		return err
	}
	go readConsoleDevice(c)

	ctx, cancel := context.WithCancelCause(context.Background())
	services := newServices(procs, c)
	services.startAll(ctx)
	go boot(ctx, procs, c)
	for {
		select {
		case <-children:
			procs.reap()
		case sig := <-power:
			cancel(errPowerOff)
			c.printf("powering off (%s)", sig)
			powerOff(procs, children, shutdownGrace)
			return nil
		}
	}
}

// leaveRootGroup makes room on version 2 hosts: a group with processes cannot
// give controllers to the containers' groups.
func leaveRootGroup() error {
	const root = "/sys/fs/cgroup"
	if _, err := os.Stat(filepath.Join(root, "cgroup.controllers")); errors.Is(err, os.ErrNotExist) {
		return nil
	}
	leaf := filepath.Join(root, "init")
	if err := os.MkdirAll(leaf, 0o755); err != nil {
		return fmt.Errorf("making the init cgroup: %w", err)
	}
	if err := os.WriteFile(filepath.Join(leaf, "cgroup.procs"), []byte("1"), 0o644); err != nil {
		return fmt.Errorf("moving into the init cgroup: %w", err)
	}
	return cgroups.Enable(root)
}

// readConsoleDevice copies what programs write to /dev/console. It is open for
// writing too, so that it does not end with the last writer.
func readConsoleDevice(c *console) {
	f, err := os.OpenFile("/dev/console", os.O_RDWR, 0)
	if err != nil {
		c.printf("no console device: %v", err)
		return
	}
	_, _ = io.Copy(c, f)
}

var errPowerOff = errors.New("the cell powers off")

// boot is what cloud-init does.
func boot(ctx context.Context, procs *processes, c *console) {
	log, err := os.OpenFile(OutputLog, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o640)
	if err != nil {
		c.printf("opening the log: %v", err)
		return
	}
	out, err := logPipe(log, c)
	if err != nil {
		c.printf("making a pipe for output: %v", err)
		return
	}
	data, err := newMetadata(MetadataURL).userData(ctx)
	if err != nil {
		c.printf("no user data: %v", err)
	}
	cfg, err := userdata.Parse(data)
	if err != nil {
		c.printf("user data: %v", err)
	}
	c.printf("user data read: %d files, %d users, %d scripts", len(cfg.Files), len(cfg.Users), len(cfg.Scripts))
	hang(ctx, c)
	s := newSystem(procs, out, c.printf)
	s.apply(ctx, cfg)
	if ctx.Err() != nil {
		return
	}
	s.step("boot-finished", s.writeFile(userdata.File{
		Path: FinishedFile, Content: fmt.Appendf(nil, "%.3f\n", time.Since(c.started).Seconds()), Mode: 0o644,
	}))
	c.printf("first boot finished")
}

// found says whether the image has a program.
func found(program string) bool {
	_, err := exec.LookPath(program)
	return err == nil
}
