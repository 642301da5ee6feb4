package main

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// shareRoot makes the mounts of this namespace shared where / is not: what is
// mounted in a pod, or for it, is then seen on the other side. Images of the
// first Kip have it private.
func shareRoot() (changed bool, err error) {
	file, err := os.Open("/proc/self/mountinfo")
	if err != nil {
		return false, fmt.Errorf("looking at the cell's mounts: %w", err)
	}
	defer file.Close()
	shared, err := rootIsShared(file)
	if err != nil || shared {
		return false, err
	}
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_SHARED, ""); err != nil {
		return false, fmt.Errorf("making / shared: %w", err)
	}
	return true, nil
}

// rootIsShared reads mountinfo (proc(5)): in each line, the mount point is the
// fifth field, and the propagation among the optional ones from the seventh up to
// a dash. What was mounted last on / is what counts.
func rootIsShared(mountinfo io.Reader) (bool, error) {
	shared := false
	lines := bufio.NewScanner(mountinfo)
	for lines.Scan() {
		fields := strings.Fields(lines.Text())
		if len(fields) < 7 || fields[4] != "/" {
			continue
		}
		optional := fields[6:]
		if end := slices.Index(optional, "-"); end >= 0 {
			optional = optional[:end]
		}
		shared = slices.ContainsFunc(optional, func(f string) bool { return strings.HasPrefix(f, "shared:") })
	}
	if err := lines.Err(); err != nil {
		return false, fmt.Errorf("looking at the cell's mounts: %w", err)
	}
	return shared, nil
}
