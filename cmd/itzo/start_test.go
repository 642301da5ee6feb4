package main

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// asAgent lets the test's program be the agent.
const asAgent = "KIP_TEST_AS_AGENT"

func TestMain(m *testing.M) {
	if os.Getenv(asAgent) != "" {
		main()
		return
	}
	os.Exit(m.Run())
}

// agentCommand runs an agent in mount and network namespaces of its own.
func agentCommand(t *testing.T, arguments ...string) (*exec.Cmd, *bytes.Buffer) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("skipped: needs root for namespaces of its own")
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(cancel)
	command := exec.CommandContext(ctx, os.Args[0], arguments...)
	command.Env = append(os.Environ(), asAgent+"=1")
	command.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWNS | unix.CLONE_NEWNET, Pdeathsig: syscall.SIGKILL}
	var output bytes.Buffer
	command.Stdout, command.Stderr = &output, &output
	return command, &output
}

// TestSecondAgentEnds at once, and says so; the first one's end lets another in.
func TestSecondAgentEnds(t *testing.T) {
	dir := t.TempDir()
	lock, err := lockState(t.Context(), dir, false)
	if err != nil {
		t.Fatal(err)
	}
	second, output := agentCommand(t, "-v=2", "--state-dir", dir, "--cert-dir", t.TempDir())
	err = second.Run()
	want := `"Another agent runs on this cell: this one ends" "stateDir"="` + dir + `" "pid"="` + strconv.Itoa(os.Getpid()) + `"`
	if err != nil || !strings.Contains(output.String(), want) {
		t.Errorf("%v: %s", err, output)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Nanosecond)
	defer cancel()
	if _, err := lockState(ctx, dir, true); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("waiting for the first: %v", err)
	}
	if err := lock.Close(); err != nil {
		t.Fatal(err)
	}
	next, err := lockState(t.Context(), dir, true)
	if err != nil {
		t.Fatal(err)
	}
	next.Close()
}

// TestRootIsSharedAgain where a user's commands made it private: what such a cell
// mounts is then seen in its pods. The agent ends without credentials.
func TestRootIsSharedAgain(t *testing.T) {
	const told = "Made / shared again"
	for propagation, want := range map[string]bool{"private": true, "shared": false} {
		agent, output := agentCommand(t, "--state-dir", t.TempDir(), "--cert-dir", t.TempDir())
		shell := exec.CommandContext(t.Context(), "sh", append([]string{"-c",
			`mount --make-r` + propagation + ` /; "$@"; grep " / / " /proc/self/mountinfo`, "sh"}, agent.Args...)...)
		shell.Env, shell.SysProcAttr, shell.Stdout, shell.Stderr = agent.Env, agent.SysProcAttr, output, output
		_ = shell.Run()
		text := output.String()
		if strings.Contains(text, told) != want || !strings.Contains(text, "has neither ca.crt, server.crt, server.key nor parameter_store") {
			t.Errorf("%s: %s", propagation, text)
		}
		if lines := strings.Split(strings.TrimSpace(text), "\n"); !strings.Contains(lines[len(lines)-1], "shared:") {
			t.Errorf("%s: / is %s", propagation, lines[len(lines)-1])
		}
	}
}

func TestRootIsShared(t *testing.T) {
	for text, want := range map[string]bool{
		"21 1 8:1 / / rw shared:1 - ext4 /dev/sda1 rw\n22 21 0:5 / /proc rw - proc proc rw\n": true,
		"21 1 8:1 / / rw - ext4 /dev/sda1 rw\n22 21 0:5 / /proc rw shared:2 - proc proc rw\n": false,
		"21 1 8:1 / / rw master:1 - ext4 shared:1 rw\n":                                       false,
		"21 1 8:1 / / rw shared:1 - a b rw\n22 21 0:9 / / rw - overlay c rw\n":                false,
		"": false,
	} {
		if got, err := rootIsShared(strings.NewReader(text)); got != want || err != nil {
			t.Errorf("%q: %v, %v", text, got, err)
		}
	}
}

func TestStoreEndpoint(t *testing.T) {
	path := filepath.Join(t.TempDir(), storeFile)
	for content, want := range map[string]string{"ssm": "", "ssm\n": "", "ssm http://100.64.77.1:4566\n": "http://100.64.77.1:4566"} {
		writeFile(t, path, content)
		if got, err := storeEndpoint(path); got != want || err != nil {
			t.Errorf("%q: %q, %v", content, got, err)
		}
	}
	for _, content := range []string{"", "vault", "ssm http://a b", "ssm ftp://a", "ssm ssm", "ssm http://"} {
		writeFile(t, path, content)
		if got, err := storeEndpoint(path); err == nil || !strings.Contains(err.Error(), path) {
			t.Errorf("%q: %q, %v", content, got, err)
		}
	}
}

func writeFile(t *testing.T, path, content string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}
