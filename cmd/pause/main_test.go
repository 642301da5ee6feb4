package main

import (
	"bufio"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestPause gives the program an orphan, as the first process of a sandbox gets
// them, and then tells it to end.
func TestPause(t *testing.T) {
	program := filepath.Join(t.TempDir(), "pause")
	build := exec.Command("go", "build", "-o", program, ".")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if output, err := build.CombinedOutput(); err != nil {
		t.Fatalf("building: %v: %s", err, output)
	}
	// The shell's child becomes pause's: exec keeps it.
	pause := exec.Command("sh", "-c", `sh -c 'read line' <&3 & echo $!; exec "$0"`, program)
	hold, release, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	pause.ExtraFiles = []*os.File{hold}
	output, err := pause.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := pause.Start(); err != nil {
		t.Fatal(err)
	}
	child, err := bufio.NewReader(output).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	waitFor(t, func() bool {
		name, _ := os.Readlink("/proc/" + strconv.Itoa(pause.Process.Pid) + "/exe")
		return name == program
	})
	release.Close()
	waitFor(t, func() bool { _, err := os.Stat("/proc/" + strings.TrimSpace(child)); return os.IsNotExist(err) })
	if err := pause.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := pause.Wait(); err != nil {
		t.Errorf("ended with %v", err)
	}
}

func waitFor(t *testing.T, condition func() bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !condition(); {
		if time.Now().After(deadline) {
			t.Fatal("nothing happens")
		}
	}
}
