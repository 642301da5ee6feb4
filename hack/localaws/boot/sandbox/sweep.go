package sandbox

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"kip.elotl.co/hack/localaws/boot/sandbox/cgroups"
)

// Sweep removes every cell in the directory, and whatever else runs in the
// control groups of the fabric's name, whoever started it; then the
// directory. It is for the time when no Backend uses them. Interfaces and
// routes go with the cells' processes, or with the fabric.
func Sweep(ctx context.Context, dir, name string) error {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return fmt.Errorf("making %q absolute: %w", dir, err)
	}
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("listing the cells: %w", err)
	}
	var errs []error
	for _, e := range entries {
		if e.IsDir() && validID.MatchString(e.Name()) {
			c := &cell{dir: filepath.Join(dir, e.Name())}
			errs = append(errs, wrap("removing "+e.Name(), c.clear(ctx)))
		}
	}
	groups, err := cgroups.Detect()
	if err != nil {
		return errors.Join(append(errs, err)...)
	}
	errs = append(errs, groups.Parents(name).Remove(ctx))
	if err := os.Remove(dir); err != nil && !errors.Is(err, os.ErrNotExist) {
		errs = append(errs, fmt.Errorf("removing the cells' directory: %w", err))
	}
	return errors.Join(errs...)
}
