package cgroups

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Limits are an instance type's.
type Limits struct {
	// MemoryMiB is a hard limit; /proc/meminfo goes on to show the host's memory.
	MemoryMiB int
	// VCPUs become a weight, not a quota: under a quota version 1 refuses
	// containers whose own quota is larger, which a real instance runs.
	VCPUs int
}

// maxPIDs keeps a fork bomb in a cell from the rest of the host.
const maxPIDs = 8192

// Group is one cell's directories, one per hierarchy.
type Group struct {
	Dirs []string `json:"dirs"`
}

// Create makes the group name/id. When it fails nothing of it remains.
func (l Layout) Create(name, id string, limits Limits) (Group, error) {
	for try := 1; ; try++ {
		g, err := l.createOnce(name, id, limits)
		if err == nil {
			return g, nil
		}
		// The last other cell of the name may just have taken the parent away.
		raced := errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ENODEV)
		err = errors.Join(err, g.undo())
		if !raced || try == createTries {
			return Group{}, err
		}
	}
}

// undo removes what was made before something failed.
func (g Group) undo() error {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	return g.Remove(ctx)
}

// createTries is how often Create starts again after losing the race.
const createTries = 50

func (l Layout) createOnce(name, id string, limits Limits) (Group, error) {
	var g Group
	for _, h := range l.Hierarchies {
		parent, err := l.parent(h, name)
		if err != nil {
			return g, err
		}
		dir := filepath.Join(parent, id)
		g.Dirs = append(g.Dirs, dir)
		if err := l.create(dir, h, limits); err != nil {
			return g, fmt.Errorf("making cgroup %s: %w", dir, err)
		}
	}
	return g, nil
}

// parent is the directory of all cells of a name.
func (l Layout) parent(h Hierarchy, name string) (string, error) {
	if l.Unified {
		return unifiedParent(h.Own, name)
	}
	dir := filepath.Join(h.Own, name)
	if err := l.create(dir, h, Limits{}); err != nil {
		return "", fmt.Errorf("making cgroup %s: %w", dir, err)
	}
	return dir, nil
}

// create makes one directory and sets its limits, where there are any.
func (l Layout) create(dir string, h Hierarchy, limits Limits) error {
	if err := os.Mkdir(dir, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	if slices.Contains(h.Controllers, "cpuset") {
		if err := inheritCpuset(dir); err != nil {
			return err
		}
	}
	for _, s := range settings(l.Unified, h, limits) {
		if _, err := os.Stat(filepath.Join(dir, s.file)); l.Unified && errors.Is(err, fs.ErrNotExist) {
			continue // of an optional controller
		}
		if err := write(dir, s.file, s.value); err != nil {
			return err
		}
	}
	return nil
}

type setting struct{ file, value string }

// settings lists what to write for the limits; version 1's weight is 1,024 a
// CPU, version 2's 100.
func settings(unified bool, h Hierarchy, limits Limits) []setting {
	var out []setting
	add := func(controller, v1, v2, value string) {
		if unified {
			out = append(out, setting{v2, value})
		} else if slices.Contains(h.Controllers, controller) {
			out = append(out, setting{v1, value})
		}
	}
	if limits.MemoryMiB > 0 {
		add("memory", "memory.limit_in_bytes", "memory.max", strconv.FormatInt(int64(limits.MemoryMiB)<<20, 10))
	}
	if limits.VCPUs > 0 {
		per := 1024
		if unified {
			per = 100
		}
		add("cpu", "cpu.shares", "cpu.weight", strconv.Itoa(min(limits.VCPUs*per, 10000)))
	}
	if limits != (Limits{}) {
		add("pids", "pids.max", "pids.max", strconv.Itoa(maxPIDs))
	}
	return out
}

// inheritCpuset copies what version 1 leaves empty, and so unusable.
func inheritCpuset(dir string) error {
	for _, file := range []string{"cpuset.cpus", "cpuset.mems"} {
		value, err := os.ReadFile(filepath.Join(filepath.Dir(dir), file))
		if err != nil {
			return err
		}
		if err := write(dir, file, strings.TrimSpace(string(value))); err != nil {
			return err
		}
	}
	return nil
}

func write(dir, file, value string) error {
	if err := os.WriteFile(filepath.Join(dir, file), []byte(value), 0o644); err != nil {
		return fmt.Errorf("writing %q: %w", value, err)
	}
	return nil
}

// Add moves a process with all its threads into the group.
func (g Group) Add(pid int) error {
	for _, dir := range g.Dirs {
		if err := write(dir, "cgroup.procs", strconv.Itoa(pid)); err != nil {
			return fmt.Errorf("moving process %d into its cgroup: %w", pid, err)
		}
	}
	return nil
}

// retry is how often a group that is still busy is looked at again.
const retry = 5 * time.Millisecond

// Remove kills what runs in the group or below it and removes the
// directories. It tries until the context ends. A group that is not there is
// no error.
func (g Group) Remove(ctx context.Context) error {
	var errs []error
	for _, dir := range g.Dirs {
		errs = append(errs, removeTree(ctx, dir))
	}
	return errors.Join(errs...)
}

// Release is Remove for a group that Create made: the last one of its name
// takes the name's directories with it.
func (g Group) Release(ctx context.Context) error {
	if err := g.Remove(ctx); err != nil {
		return err
	}
	for _, dir := range g.Dirs {
		_ = unix.Rmdir(filepath.Dir(dir)) // stays while it has other cells
	}
	return nil
}

func removeTree(ctx context.Context, root string) error {
	tick := time.NewTicker(retry)
	defer tick.Stop()
	for {
		err := tryRemove(root)
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("removing cgroup %s: %w", root, errors.Join(err, context.Cause(ctx)))
		case <-tick.C:
		}
	}
}

// tryRemove makes one pass, deepest directories first.
func tryRemove(root string) error {
	var dirs []string
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err == nil && d.IsDir() {
			dirs = append(dirs, path)
		}
		return err
	})
	if err != nil {
		return err
	}
	var errs []error
	for _, dir := range slices.Backward(dirs) {
		kill(dir)
		if err := unix.Rmdir(dir); err != nil && !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, fmt.Errorf("%s: %w", dir, err))
		}
	}
	return errors.Join(errs...)
}

// kill sends SIGKILL to the processes in one directory. Processes that end
// meanwhile are no concern: whether the directory can be removed decides.
func kill(dir string) {
	data, err := os.ReadFile(filepath.Join(dir, "cgroup.procs"))
	if err != nil {
		return
	}
	for field := range strings.FieldsSeq(string(data)) {
		if pid, err := strconv.Atoi(field); err == nil && pid > 1 && pid != os.Getpid() {
			_ = unix.Kill(pid, unix.SIGKILL)
		}
	}
}

// Parents are the directories that hold all cells of a name: those under this
// process's own groups, for sweeping.
func (l Layout) Parents(name string) Group {
	var g Group
	for _, h := range l.Hierarchies {
		if !l.Unified {
			g.Dirs = append(g.Dirs, filepath.Join(h.Own, name))
			continue
		}
		for dir := h.Own; ; dir = filepath.Dir(dir) {
			if _, err := os.Stat(filepath.Join(dir, "cgroup.procs")); err != nil {
				break
			}
			g.Dirs = append(g.Dirs, filepath.Join(dir, name))
		}
	}
	return g
}
