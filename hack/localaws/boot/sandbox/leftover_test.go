package sandbox

import (
	"context"
	"errors"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"kip.elotl.co/hack/fabric"
)

// clearKilled takes away what these tests left behind when they were killed:
// networks are named by the process, and two cannot have the subnet at once.
func clearKilled(t *testing.T) {
	t.Helper()
	names, err := os.ReadDir("/run/netns")
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	for _, n := range names {
		pid, err := strconv.Atoi(strings.TrimPrefix(n.Name(), "ks"))
		if !strings.HasPrefix(n.Name(), "ks") || err != nil || pid == os.Getpid() || !errors.Is(unix.Kill(pid, 0), unix.ESRCH) {
			continue
		}
		for _, dir := range leftDirs(t) {
			if err := Sweep(context.Background(), dir, n.Name()); err != nil {
				t.Error(err)
			}
		}
		if err := fabric.Down(fabric.Config{Name: n.Name(), Subnet: testSubnet}); err != nil {
			t.Error(err)
		}
	}
}

// leftDirs are the directories of cells that something is still mounted in, and
// one that does not exist: what has no directory is swept with any.
func leftDirs(t *testing.T) []string {
	t.Helper()
	mounts, err := os.ReadFile("/proc/self/mounts")
	if err != nil {
		t.Fatal(err)
	}
	dirs := []string{t.TempDir() + "/cells"}
	for _, found := range regexp.MustCompile(`(?m)^\S+ (/\S*/Test\S*/cells)/i-`).FindAllStringSubmatch(string(mounts), -1) {
		dirs = append(dirs, found[1])
	}
	return dirs
}
