package install

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"time"
)

// commandTimeout bounds one call of a package manager.
const commandTimeout = 10 * time.Minute

// manager is a distribution's package manager.
type manager struct {
	program string
	// install must succeed; what is in optional may, since distributions name
	// or split those packages in different ways.
	install, optional [][]string
}

// managers are asked in this order.
func managers() []manager {
	redHat := func(program string) manager {
		return manager{program,
			[][]string{{"install", "-y", "containerd"}},
			[][]string{{"install", "-y", "runc"}, {"install", "-y", "containernetworking-plugins"}, {"install", "-y", "cni-plugins"}}}
	}
	return []manager{
		{"apt-get",
			// What cloud-init and unattended upgrades do meanwhile is waited for.
			[][]string{{"-o", "DPkg::Lock::Timeout=300", "install", "-y", "--no-install-recommends", "containerd", "runc", "containernetworking-plugins"}},
			[][]string{{"update"}}},
		redHat("dnf"), redHat("yum"),
		{"apk", [][]string{{"add", "containerd", "runc", "cni-plugins"}}, [][]string{{"add", "containerd-ctr"}}},
	}
}

// install tries the machine's package managers, then the bundle.
func (i *Installer) install(ctx context.Context) error {
	if err := i.enter(installing); err != nil {
		return err
	}
	if err := i.tryAll(ctx); err != nil {
		return err
	}
	return i.enter(starting)
}

func (i *Installer) tryAll(ctx context.Context) error {
	var tried []string
	for _, m := range managers() {
		if !found(m.program) {
			continue
		}
		err := i.fromPackages(ctx, m)
		if err == nil {
			return nil
		}
		tried = append(tried, err.Error())
	}
	err := i.fromBundle(ctx)
	if err == nil {
		return nil
	}
	return fmt.Errorf("no container runtime could be installed (%s): use an image with containerd, runc and the CNI plugins, "+
		"or one that can install their packages, or have the class's itzo.url serve %s", strings.Join(append(tried, err.Error()), "; "), bundleName())
}

func (i *Installer) fromPackages(ctx context.Context, m manager) error {
	i.note("the container runtime is being installed by " + m.program)
	// apt-get's lists are made before what is in them can be installed.
	if m.program == "apt-get" {
		m.runOptional(ctx)
	}
	for _, arguments := range m.install {
		if err := run(ctx, m.program, arguments...); err != nil {
			return err
		}
	}
	if m.program != "apt-get" {
		m.runOptional(ctx)
	}
	if err := i.complete(); err != nil {
		return fmt.Errorf("%s installed containerd, but %w", m.program, err)
	}
	return nil
}

// runOptional leaves it to complete to see what was needed.
func (m manager) runOptional(ctx context.Context) {
	for _, arguments := range m.optional {
		_ = run(ctx, m.program, arguments...)
	}
}

// complete says what is missing to run pods.
func (i *Installer) complete() error {
	for _, program := range []string{containerd, "ctr", "runc"} {
		if !found(program) {
			return fmt.Errorf("%s is missing", program)
		}
	}
	return i.linkPlugins()
}

// pluginDir is where containerd looks for CNI plugins unless it was built or
// configured otherwise.
const pluginDir = "/opt/cni/bin"

// linkPlugins shows the CNI plugins, which distributions keep in other
// directories, where containerd looks for them.
func (i *Installer) linkPlugins() error {
	for _, dir := range []string{pluginDir, "/usr/lib/cni", "/usr/libexec/cni"} {
		if !i.exists(filepath.Join(dir, "ptp")) {
			continue
		}
		if dir == pluginDir {
			return nil
		}
		return i.linkAll(dir, pluginDir)
	}
	return errors.New("the CNI plugins are missing")
}

func (i *Installer) linkAll(from, to string) error {
	entries, err := os.ReadDir(i.path(from))
	if err != nil {
		return fmt.Errorf("looking for CNI plugins: %w", err)
	}
	if err := os.MkdirAll(i.path(to), 0o755); err != nil {
		return fmt.Errorf("making a directory for CNI plugins: %w", err)
	}
	for _, entry := range entries {
		err := os.Symlink(filepath.Join(from, entry.Name()), i.path(to, entry.Name()))
		if err != nil && !errors.Is(err, fs.ErrExist) {
			return fmt.Errorf("linking CNI plugins: %w", err)
		}
	}
	return nil
}

func found(program string) bool {
	_, err := exec.LookPath(program)
	return err == nil
}

// run runs a program; its error says the last line that it wrote.
func run(ctx context.Context, program string, arguments ...string) error {
	ctx, cancel := context.WithTimeout(ctx, commandTimeout)
	defer cancel()
	command := exec.CommandContext(ctx, program, arguments...)
	command.Env = append(os.Environ(), "DEBIAN_FRONTEND=noninteractive")
	output, err := command.CombinedOutput()
	if err != nil {
		return fmt.Errorf("%s %s: %w: %s", program, strings.Join(arguments, " "), err, lastLine(output))
	}
	return nil
}

func lastLine(output []byte) string {
	const most = 300
	lines := strings.Split(strings.TrimSpace(string(output)), "\n")
	line := lines[len(lines)-1]
	return line[:min(len(line), most)]
}

func bundleName() string { return "containerd-" + runtime.GOARCH + ".tar.gz" }
