package cri_test

import (
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// insideVariable tells the test's second process that it is in its namespaces.
const insideVariable = "KIP_TEST_INSIDE"

// inNamespaces runs the test again as the first process of its own namespaces:
// whatever it starts, mounts or configures ends with it. It answers true in
// that process only, which then does the work. Programs are looked for in a
// directory first; it may be empty.
func inNamespaces(t *testing.T, programs string) bool {
	t.Helper()
	if os.Getenv(insideVariable) != "" {
		enclose(t)
		return true
	}
	if os.Getuid() != 0 {
		t.Skip("needs root for a containerd in its own namespaces")
	}
	for _, program := range []string{"containerd", "ctr", "runc", "busybox", "ip"} {
		if _, err := exec.LookPath(program); err != nil {
			t.Skipf("needs %s", program)
		}
	}
	t.Cleanup(func() { removeCgroups(t, cgroupParent(os.Getpid())) })
	search := os.Getenv("PATH")
	if programs != "" {
		search = programs + ":" + search
	}
	command := exec.Command(os.Args[0], "-test.run="+wanted(t), "-test.v", "-test.timeout=5m")
	command.Env = append(os.Environ(), fmt.Sprintf("%s=%d", insideVariable, os.Getpid()), "KIP_TEST_PAUSE="+buildPause(t),
		"PATH="+search)
	command.Stdout, command.Stderr = os.Stdout, os.Stderr
	command.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: unix.CLONE_NEWNS | unix.CLONE_NEWPID | unix.CLONE_NEWNET | unix.CLONE_NEWIPC | unix.CLONE_NEWUTS,
		Pdeathsig:  syscall.SIGKILL,
	}
	// The signal would also come when the thread that started it ended.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if err := command.Run(); err != nil {
		t.Fatalf("the test in its namespaces: %v", err)
	}
	return false
}

// wanted is a pattern for this test alone, or for the part of it that was
// chosen.
func wanted(t *testing.T) string {
	pattern := "^" + t.Name() + "$"
	if _, part, chosen := strings.Cut(flag.Lookup("test.run").Value.String(), "/"); chosen {
		pattern += "/" + part
	}
	return pattern
}

// enclose hides the machine's state directories and brings up the loopback.
func enclose(t *testing.T) {
	t.Helper()
	must(t, unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""))
	must(t, unix.Mount("proc", "/proc", "proc", 0, ""))
	for _, dir := range []string{"/run", "/var/lib"} {
		must(t, unix.Mount("tmpfs", dir, "tmpfs", 0, "mode=0755"))
	}
	// Containers' mounts come from volumes: as on a cell, / is shared.
	must(t, unix.Mount("", "/", "", unix.MS_REC|unix.MS_SHARED, ""))
	run(t, "ip", "link", "set", "lo", "up")
	run(t, "ip", "address", "add", cellIP+"/32", "dev", "lo")
}

func buildPause(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "pause")
	build := exec.Command("go", "build", "-o", path, "kip.elotl.co/cmd/pause")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if output, err := build.CombinedOutput(); err != nil {
		t.Fatalf("building pause: %v: %s", err, output)
	}
	return path
}

// cgroupParent is the cgroup of the test whose outer process has that pid.
func cgroupParent(pid int) string {
	return fmt.Sprintf("/kip-test-%d", pid)
}

func removeCgroups(t *testing.T, parent string) {
	t.Helper()
	roots, err := filepath.Glob("/sys/fs/cgroup/*" + parent)
	must(t, err)
	for _, root := range append(roots, "/sys/fs/cgroup"+parent) {
		var dirs []string
		err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
			if err == nil && entry.IsDir() {
				dirs = append(dirs, path)
			}
			return err
		})
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			t.Error(err)
		}
		for i := len(dirs) - 1; i >= 0; i-- {
			if err := unix.Rmdir(dirs[i]); err != nil {
				t.Errorf("removing cgroup %s: %v", dirs[i], err)
			}
		}
	}
}

// unmountAll takes away what is still mounted below a directory, so that it
// can be removed.
func unmountAll(t *testing.T, dir string) {
	t.Helper()
	mounts, err := os.ReadFile("/proc/self/mounts")
	must(t, err)
	lines := strings.Split(strings.TrimSpace(string(mounts)), "\n")
	for i := len(lines) - 1; i >= 0; i-- {
		if path := strings.Fields(lines[i])[1]; strings.HasPrefix(path, dir+"/") {
			if err := unix.Unmount(path, unix.MNT_DETACH); err != nil {
				t.Errorf("unmounting %s: %v", path, err)
			}
		}
	}
}

func run(t *testing.T, name string, args ...string) {
	t.Helper()
	if output, err := exec.Command(name, args...).CombinedOutput(); err != nil {
		t.Fatalf("%s %v: %v: %s", name, args, err, output)
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
