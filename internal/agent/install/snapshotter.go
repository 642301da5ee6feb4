package install

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"

	"kip.elotl.co/internal/agent/host"
)

const (
	configPath = "/etc/containerd/config.toml"
	// mark begins a configuration that was written here.
	mark = "# kip: snapshotter "
)

// snapshotterWanted says whether the class asks for another snapshotter than
// containerd's configuration was written for.
func (i *Installer) snapshotterWanted() bool {
	name, err := i.parameter("snapshotter")
	return err != nil || name != "" && !i.marked(name)
}

// marked says whether the configuration was written for the snapshotter.
func (i *Installer) marked(name string) bool {
	file, err := os.Open(i.path(configPath))
	if err != nil {
		return false
	}
	defer file.Close()
	line, _ := bufio.NewReader(file).ReadString('\n')
	return line == mark+name+"\n"
}

// useSnapshotter writes out what containerd's configuration amounts to, with the
// snapshotter that the class names. changed: containerd has to be started again.
func (i *Installer) useSnapshotter(ctx context.Context) (changed bool, err error) {
	name, err := i.parameter("snapshotter")
	if err != nil || name == "" || i.marked(name) {
		return false, err
	}
	if !regexp.MustCompile(`^[a-z0-9-]+$`).MatchString(name) {
		return false, fmt.Errorf("the cell's parameter snapshotter: %q is not the name of one", name)
	}
	dump, err := exec.CommandContext(ctx, containerd, "config", "dump").Output()
	if err != nil {
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			err = fmt.Errorf("%w: %s", err, lastLine(exit.Stderr))
		}
		return false, fmt.Errorf("asking containerd for its configuration: %w", err)
	}
	if err := i.noteRestart(); err != nil {
		return false, err
	}
	path := i.path(configPath)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return false, fmt.Errorf("writing containerd's configuration: %w", err)
	}
	if err := host.WriteFile(path, []byte(withSnapshotter(string(dump), name)), 0o644); err != nil {
		return false, fmt.Errorf("writing containerd's configuration: %w", err)
	}
	return true, nil
}

// noteRestart notes, before the configuration is another, that a runtime which
// is not about to be started anyway has to be started again.
func (i *Installer) noteRestart() error {
	reached, err := i.stage()
	if err != nil || reached != idle {
		return err
	}
	return i.enter(restarting)
}

// withSnapshotter changes a configuration (TOML), as containerd writes it. The
// transfer service would unpack images for overlayfs only.
func withSnapshotter(dump, name string) string {
	disabled := regexp.MustCompile(`["']io\.containerd\.snapshotter\.v1\.` + regexp.QuoteMeta(name) + `["'],? *`)
	var out strings.Builder
	out.WriteString(mark + name + "\n")
	for line := range strings.Lines(dump) {
		line = regexp.MustCompile(`^( *snapshotter = )["'][^"']+["']`).ReplaceAllString(line, "${1}\""+name+"\"")
		line = regexp.MustCompile(`^( *use_local_image_pull = )false`).ReplaceAllString(line, "${1}true")
		out.WriteString(disabled.ReplaceAllString(line, ""))
	}
	return out.String()
}
