package sandbox

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"kip.elotl.co/hack/localaws/boot/sandbox/cgroups"
	"kip.elotl.co/hack/proc/atomicfile"
)

// consoleSize is how much of the console is shown, in bytes.
const consoleSize = 64 << 10

// endTimeout bounds the removal of a cell that ended on its own, or never came up.
const endTimeout = time.Minute

// record is what outlives us: enough to find a cell again, or to remove it.
type record struct {
	Process process       `json:"process"`
	Group   cgroups.Group `json:"group"`
	Primary netip.Addr    `json:"primary"`
}

func (c *cell) save() error {
	data, err := json.Marshal(c.rec)
	if err == nil {
		_, err = atomicfile.Write(filepath.Join(c.dir, recordFile), data, 0o600)
	}
	return wrap("recording the cell", err)
}

// load reads the record, before the cell is shared by goroutines. A cell
// without one has never run.
func (c *cell) load() error {
	data, err := os.ReadFile(filepath.Join(c.dir, recordFile))
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err == nil {
		err = json.Unmarshal(data, &c.rec)
	}
	return wrap("reading the record of "+filepath.Base(c.dir), err)
}

// Machine is a boot.Machine.
type Machine struct {
	cell *cell
	done chan struct{}

	mu      sync.Mutex
	console []byte // once the files are gone
	left    error  // what the removal after the end could not do
}

// attach makes a Machine of a cell that runs; the error wraps
// os.ErrProcessDone when it does not.
func (c *cell) attach() (*Machine, error) {
	pidfd, err := c.rec.Process.open()
	if err != nil {
		return nil, err
	}
	m := &Machine{cell: c, done: make(chan struct{})}
	go m.watch(pidfd)
	return m, nil
}

// watch removes the cell when it has ended, however it ended.
func (m *Machine) watch(pidfd *os.File) {
	defer close(m.done)
	err := awaitExit(pidfd)
	pidfd.Close()
	ctx, cancel := context.WithTimeout(context.Background(), endTimeout)
	defer cancel()
	m.remove(ctx, err)
}

func (m *Machine) remove(ctx context.Context, before error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.console == nil {
		m.console = tail(filepath.Join(m.cell.dir, consoleFile))
	}
	m.left = errors.Join(before, m.cell.end(ctx))
}

// Done implements boot.Machine. What is of the cell on the host has been
// removed by then.
func (m *Machine) Done() <-chan struct{} { return m.done }

// Stop implements boot.Machine.
func (m *Machine) Stop(ctx context.Context) error {
	if pidfd, err := m.cell.rec.Process.open(); err == nil {
		err = kill(pidfd)
		pidfd.Close()
		if err != nil {
			return fmt.Errorf("killing the cell's first process: %w", err)
		}
	}
	select {
	case <-m.done:
	case <-ctx.Done():
		return fmt.Errorf("waiting for the end of %s: %w", filepath.Base(m.cell.dir), context.Cause(ctx))
	}
	m.mu.Lock()
	left := m.left
	m.mu.Unlock()
	if left != nil {
		m.remove(ctx, nil)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.left
}

// Console implements boot.Machine.
func (m *Machine) Console() []byte {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.console != nil {
		return m.console
	}
	return tail(filepath.Join(m.cell.dir, consoleFile))
}

// tail is the end of a file; empty when there is none.
func tail(path string) []byte {
	out := []byte{}
	f, err := os.Open(path)
	if err != nil {
		return out
	}
	defer f.Close()
	if info, err := f.Stat(); err == nil && info.Size() > consoleSize {
		if _, err := f.Seek(-consoleSize, io.SeekEnd); err != nil {
			return out
		}
	}
	out, _ = io.ReadAll(io.LimitReader(f, consoleSize))
	return out
}

// clear removes what an earlier process recorded.
func (c *cell) clear(ctx context.Context) error {
	if err := c.load(); err != nil {
		return err
	}
	return c.end(ctx)
}

// end kills what runs of the cell and removes what there is of it, in the
// order in which one depends on the other.
func (c *cell) end(ctx context.Context) error {
	if pidfd, err := c.rec.Process.open(); err == nil {
		err := errors.Join(kill(pidfd), awaitExit(pidfd))
		pidfd.Close()
		if err != nil {
			return fmt.Errorf("ending the cell's first process: %w", err)
		}
	}
	if err := c.rec.Group.Release(ctx); err != nil {
		return err
	}
	if c.network != nil && c.rec.Primary.IsValid() {
		if err := c.network.Detach(c.rec.Primary); err != nil {
			return err
		}
	}
	return removeDir(c.dir)
}

// removeDir removes a cell's directory, unless something is mounted in it: to
// go on would empty that.
func removeDir(dir string) error {
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return fmt.Errorf("reading the mounts: %w", err)
	}
	if point := mountWithin(dir, string(mounts)); point != "" {
		return fmt.Errorf("removing %s: %s is a mount point", dir, point)
	}
	return wrap("removing the cell's files", os.RemoveAll(dir))
}

// mountWithin is a mount point at the directory or below; empty without one.
// The list is a proc_pid_mountinfo(5).
func mountWithin(dir, mounts string) string {
	for line := range strings.Lines(mounts) {
		if fields := strings.Fields(line); len(fields) > 4 && strings.HasPrefix(fields[4]+"/", dir+"/") {
			return fields[4]
		}
	}
	return ""
}
