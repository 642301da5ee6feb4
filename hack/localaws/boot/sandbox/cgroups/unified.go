package cgroups

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// required are the version 2 controllers without which containers' limits
// cannot work; optional ones are enabled where they can be.
func required() []string { return []string{"memory", "pids"} }

func optional() []string { return []string{"cpu", "cpuset", "io"} }

// unifiedParent makes the directory of all cells in version 2. A group that
// has processes cannot give controllers to its children, so it takes the
// nearest group from this process's own upwards that can.
func unifiedParent(own, name string) (string, error) {
	var tried []error
	for dir := own; ; dir = filepath.Dir(dir) {
		if _, err := os.Stat(filepath.Join(dir, "cgroup.procs")); err != nil {
			break
		}
		parent, err := delegate(dir, name)
		if err == nil {
			return parent, nil
		}
		tried = append(tried, err)
	}
	return "", fmt.Errorf("no cgroup from %s upwards can have children with memory limits: %w", own, errors.Join(tried...))
}

// delegate makes dir/name with controllers that its own children can use.
func delegate(dir, name string) (string, error) {
	if err := Enable(dir); err != nil {
		return "", err
	}
	parent := filepath.Join(dir, name)
	if err := os.Mkdir(parent, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
		return "", err
	}
	if err := Enable(parent); err != nil {
		_ = unix.Rmdir(parent) // stays when it has cells
		return "", err
	}
	return parent, nil
}

// Enable gives a version 2 group's children its controllers.
func Enable(dir string) error {
	available, err := words(dir, "cgroup.controllers")
	if err != nil {
		return err
	}
	enabled, err := words(dir, "cgroup.subtree_control")
	if err != nil {
		return err
	}
	for _, c := range append(required(), optional()...) {
		if slices.Contains(enabled, c) {
			continue
		}
		err := fs.ErrNotExist
		if slices.Contains(available, c) {
			err = write(dir, "cgroup.subtree_control", "+"+c)
		}
		if err != nil && slices.Contains(required(), c) {
			return fmt.Errorf("enabling the %s controller below %s: %w", c, dir, err)
		}
	}
	return nil
}

func words(dir, file string) ([]string, error) {
	data, err := os.ReadFile(filepath.Join(dir, file))
	if err != nil {
		return nil, err
	}
	return strings.Fields(string(data)), nil
}
