package dev

import (
	"bytes"
	"context"
	"debug/elf"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"

	"kip.elotl.co/hack/proc/progress"
)

// pkg is a Debian package that real cells need on this machine, whose system they share.
type pkg struct {
	name, purpose string
	there         func() bool
}

func packages() []pkg {
	return []pkg{
		{"containerd", "the cells' container runtime", program("containerd")},
		{"runc", "runs containers", program("runc")},
		{"containernetworking-plugins", "the pods' network (ptp)", anyFile("/usr/lib/cni/ptp", "/opt/cni/bin/ptp")},
		{"busybox-static", "the busybox image in the registry", static(busyboxPath)},
		{"curl", "cells download their agent with it", func() bool { return program("curl")() || program("wget")() }},
		{"iproute2", "tests look at networks with it", program("ip")},
	}
}

// busyboxPath is where Debian's busybox-static is.
const busyboxPath = "/bin/busybox"

func program(name string) func() bool {
	return func() bool {
		_, err := exec.LookPath(name)
		return err == nil
	}
}

func anyFile(paths ...string) func() bool {
	return func() bool {
		return slices.ContainsFunc(paths, func(path string) bool {
			_, err := os.Stat(path)
			return err == nil
		})
	}
}

// static tells whether there is an executable that needs no shared libraries.
func static(path string) func() bool {
	return func() bool {
		f, err := elf.Open(path)
		if err != nil {
			return false
		}
		defer f.Close()
		return !slices.ContainsFunc(f.Progs, func(p *elf.Prog) bool { return p.Type == elf.PT_INTERP })
	}
}

// InstallPackages installs the Debian packages that real cells need and that are missing. Where that cannot be done, for want of root or
// of apt-get, the error says which are missing and how to get them.
func InstallPackages(ctx context.Context, w io.Writer) error {
	missing := missingPackages(packages())
	if len(missing) == 0 {
		return nil
	}
	var names, reasons []string
	for _, p := range missing {
		names = append(names, p.name)
		reasons = append(reasons, fmt.Sprintf("  %s: %s", p.name, p.purpose))
	}
	if os.Getuid() != 0 || !program("apt-get")() {
		return fmt.Errorf("real cells need what this machine lacks (names are those of Debian packages):\n%s\n"+
			"On Debian or Ubuntu, as root: apt-get install %s", strings.Join(reasons, "\n"), strings.Join(names, " "))
	}
	fmt.Fprintf(w, "installing %s\n", strings.Join(names, ", "))
	defer progress.Watch(w, "installing packages", every, every)()
	if err := aptGet(ctx, append([]string{"install", "--yes", "--no-install-recommends"}, names...)...); err != nil {
		// Perhaps the lists are missing or old.
		if err := aptGet(ctx, "update"); err != nil {
			return err
		}
		if err := aptGet(ctx, append([]string{"install", "--yes", "--no-install-recommends"}, names...)...); err != nil {
			return err
		}
	}
	if still := missingPackages(packages()); len(still) > 0 {
		return fmt.Errorf("%s is installed, yet does not have what is expected of it: %s", still[0].name, still[0].purpose)
	}
	return nil
}

func missingPackages(all []pkg) []pkg {
	return slices.DeleteFunc(all, func(p pkg) bool { return p.there() })
}

func aptGet(ctx context.Context, args ...string) error {
	var out bytes.Buffer
	cmd := exec.CommandContext(ctx, "apt-get", args...)
	cmd.Env = append(os.Environ(), "DEBIAN_FRONTEND=noninteractive")
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Run(); err != nil {
		return errors.Join(fmt.Errorf("apt-get %s: %w", args[0], err), errors.New(strings.TrimSpace(out.String())))
	}
	return nil
}
