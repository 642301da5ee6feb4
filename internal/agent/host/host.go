// Package host is the cell's file system as the agent uses it: its state, the
// packages, volumes, and the small files that are mounted into containers.
package host

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"

	"kip.elotl.co/internal/agent"
)

// Host keeps everything under one directory, which only root may enter.
type Host struct {
	dir       string
	resources agent.Resources
}

// New makes the directory if need be and reads what the cell has.
func New(dir string) (*Host, error) {
	for _, sub := range []string{"", packagesDir, volumesDir, containersDir} {
		if err := os.MkdirAll(filepath.Join(dir, sub), 0o700); err != nil {
			return nil, fmt.Errorf("making state directory: %w", err)
		}
	}
	resources, err := cellResources(dir)
	if err != nil {
		return nil, err
	}
	return &Host{dir: dir, resources: resources}, nil
}

const (
	stateFile     = "state.json"
	packagesDir   = "packages"
	volumesDir    = "volumes"
	containersDir = "containers"
)

// Resources implements agent.Host.
func (h *Host) Resources() agent.Resources { return h.resources }

// Load implements agent.Host.
func (h *Host) Load() ([]byte, error) {
	data, err := os.ReadFile(filepath.Join(h.dir, stateFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return data, err
}

// Save implements agent.Host.
func (h *Host) Save(state []byte) error {
	return WriteFile(filepath.Join(h.dir, stateFile), state, 0o600)
}

// WriteFile replaces a file in one step, and has it on disk when it returns.
func WriteFile(path string, content []byte, mode fs.FileMode) error {
	file, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+"-*")
	if err != nil {
		return err
	}
	defer os.Remove(file.Name())
	defer file.Close()
	if _, err := file.Write(content); err != nil {
		return err
	}
	if err := file.Chmod(mode); err != nil {
		return err
	}
	if err := file.Sync(); err != nil {
		return err
	}
	if err := os.Rename(file.Name(), path); err != nil {
		return err
	}
	return syncDir(filepath.Dir(path))
}

func syncDir(path string) error {
	dir, err := os.Open(path)
	if err != nil {
		return err
	}
	defer dir.Close()
	return dir.Sync()
}

// OpenFile implements agent.Host. Only regular files are opened: reading
// anything else might never end.
func (h *Host) OpenFile(path string) (io.ReadSeekCloser, error) {
	file, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	info, err := file.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = fmt.Errorf("%s is not a regular file", path)
	}
	if err != nil {
		file.Close()
		return nil, err
	}
	return file, nil
}

// cellResources are those of the cell, whose files are in dir's file system.
func cellResources(dir string) (agent.Resources, error) {
	boot, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return agent.Resources{}, fmt.Errorf("reading boot ID: %w", err)
	}
	meminfo, err := os.ReadFile("/proc/meminfo")
	if err != nil {
		return agent.Resources{}, fmt.Errorf("reading the size of memory: %w", err)
	}
	memory, err := memTotal(string(meminfo))
	if err != nil {
		return agent.Resources{}, err
	}
	storage, err := fileSystem(dir)
	if err != nil {
		return agent.Resources{}, err
	}
	return agent.Resources{MemoryBytes: memory, StorageBytes: int64(*storage.CapacityBytes), CPUs: runtime.NumCPU(), BootID: strings.TrimSpace(string(boot)),
		AppArmor: hasAppArmor("/sys")}, nil
}

func memTotal(meminfo string) (int64, error) {
	for line := range strings.Lines(meminfo) {
		fields := strings.Fields(line)
		if len(fields) == 3 && fields[0] == "MemTotal:" && fields[2] == "kB" {
			kilobytes, err := strconv.ParseInt(fields[1], 10, 64)
			if err != nil {
				return 0, fmt.Errorf("reading the size of memory: %w", err)
			}
			return kilobytes << 10, nil
		}
	}
	return 0, errors.New("reading the size of memory: /proc/meminfo has no MemTotal")
}

// hasAppArmor asks the kernel as a kubelet does: the file system that profiles
// are loaded by must be there as well.
func hasAppArmor(sys string) bool {
	if _, err := os.Stat(filepath.Join(sys, "kernel/security/apparmor")); err != nil {
		return false
	}
	enabled, err := os.ReadFile(filepath.Join(sys, "module/apparmor/parameters/enabled"))
	return err == nil && strings.HasPrefix(string(enabled), "Y")
}
