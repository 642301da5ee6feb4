package host

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

const (
	silenceFile = "silence.json"
	// powerTimeout bounds each command that powers off.
	powerTimeout = time.Minute
)

// Power is the cell's switch; it implements agent.Power.
type Power struct{ dir string }

// Power is that of this host.
func (h *Host) Power() *Power { return &Power{dir: h.dir} }

// Uptime implements agent.Power.
func (*Power) Uptime() time.Duration {
	var now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &now); err != nil {
		panic("this machine has no monotonic clock: " + err.Error())
	}
	return time.Duration(now.Nano())
}

// LoadSilence implements agent.Power.
func (p *Power) LoadSilence() ([]byte, error) {
	data, err := os.ReadFile(filepath.Join(p.dir, silenceFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return data, err
}

// SaveSilence implements agent.Power.
func (p *Power) SaveSilence(note []byte) error {
	return WriteFile(filepath.Join(p.dir, silenceFile), note, 0o600)
}

// Off implements agent.Power: it asks systemd where that runs, and else whichever
// of the usual commands the cell has.
func (p *Power) Off(ctx context.Context) error {
	_, err := os.Stat("/run/systemd/system")
	return powerOff(ctx, offCommands(err == nil), binDirs())
}

// offCommands are tried in this order.
func offCommands(systemd bool) [][]string {
	commands := [][]string{{"poweroff"}, {"shutdown", "-h", "now"}, {"halt", "-p"}, {"busybox", "poweroff"}}
	if systemd {
		commands = append([][]string{{"systemctl", "poweroff"}}, commands...)
	}
	return commands
}

// binDirs is where they are looked for: not all that starts agents has a search
// path with those of the administrator.
func binDirs() []string {
	return append(filepath.SplitList(os.Getenv("PATH")), "/usr/local/sbin", "/usr/sbin", "/sbin", "/usr/bin", "/bin")
}

// powerOff runs the first command that there is and that does not fail.
func powerOff(ctx context.Context, commands [][]string, dirs []string) error {
	var failed []error
	for _, command := range commands {
		program := findProgram(command[0], dirs)
		if program == "" {
			continue
		}
		limited, cancel := context.WithTimeout(ctx, powerTimeout)
		output, err := exec.CommandContext(limited, program, command[1:]...).CombinedOutput()
		cancel()
		if err == nil {
			return nil
		}
		failed = append(failed, fmt.Errorf("%s: %w: %s", strings.Join(command, " "), err, strings.TrimSpace(string(output))))
	}
	if len(failed) == 0 {
		return errors.New("powering off: there is no command for it")
	}
	return fmt.Errorf("powering off: %w", errors.Join(failed...))
}

// findProgram is where a program is; empty when it is nowhere.
func findProgram(name string, dirs []string) string {
	for _, dir := range dirs {
		path := filepath.Join(dir, name)
		if info, err := os.Stat(path); err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0 {
			return path
		}
	}
	return ""
}
