package cri

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"runtime"
	"strconv"

	"golang.org/x/sys/unix"

	"kip.elotl.co/internal/agent"
)

// DialPod implements agent.Runtime. Both loopback addresses are tried, as a
// kubelet does.
func (r *Runtime) DialPod(ctx context.Context, sandboxID string, port uint16) (agent.PodConn, error) {
	path, err := r.networkOf(ctx, sandboxID)
	if err != nil {
		return nil, err
	}
	var conn net.Conn
	dial := func() (err error) {
		conn, err = dialLoopback(ctx, port)
		return err
	}
	if path == "" {
		err = dial()
	} else {
		err = inNetwork(path, dial)
	}
	if err != nil {
		return nil, err
	}
	return conn.(*net.TCPConn), nil
}

func dialLoopback(ctx context.Context, port uint16) (net.Conn, error) {
	var dialer net.Dialer
	number := strconv.Itoa(int(port))
	conn, err := dialer.DialContext(ctx, "tcp4", net.JoinHostPort("127.0.0.1", number))
	if err == nil {
		return conn, nil
	}
	// Where both fail, the first failure says more.
	if conn, err6 := dialer.DialContext(ctx, "tcp6", net.JoinHostPort("::1", number)); err6 == nil {
		return conn, nil
	}
	return nil, err
}

// networkOf is the path of a sandbox's network namespace; empty: the cell's own.
func (r *Runtime) networkOf(ctx context.Context, sandboxID string) (string, error) {
	ctx, services, _, err := r.services(ctx)
	if err != nil {
		return "", err
	}
	answer, err := services.PodSandboxStatus(ctx, sandboxID, true)
	if err != nil {
		return "", fmt.Errorf("inspecting the pod's sandbox: %w", plain(err))
	}
	return networkPath(answer.Info["info"])
}

// networkPath reads what containerd tells of a sandbox.
func networkPath(info string) (string, error) {
	var details struct {
		RuntimeSpec *struct {
			Linux struct {
				Namespaces []struct{ Type, Path string }
			}
		}
	}
	if err := json.Unmarshal([]byte(info), &details); err != nil {
		return "", fmt.Errorf("decoding the sandbox's details: %w", err)
	}
	if details.RuntimeSpec == nil {
		return "", errors.New("the container runtime does not tell the pod's network namespace")
	}
	for _, namespace := range details.RuntimeSpec.Linux.Namespaces {
		if namespace.Type == "network" {
			return namespace.Path, nil
		}
	}
	return "", nil
}

// inNetwork runs something in a network namespace: sockets that it opens stay
// there.
func inNetwork(path string, run func() error) error {
	ended := make(chan error, 1)
	go func() { ended <- inNetworkThread(path, run) }()
	return <-ended
}

// inNetworkThread needs a goroutine of its own: its thread ends with it where it
// cannot be brought back.
func inNetworkThread(path string, run func() error) error {
	runtime.LockOSThread()
	own, err := os.Open("/proc/thread-self/ns/net")
	if err != nil {
		return fmt.Errorf("entering the pod's network: %w", err)
	}
	defer own.Close()
	theirs, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("entering the pod's network: %w", err)
	}
	defer theirs.Close()
	if err := unix.Setns(int(theirs.Fd()), unix.CLONE_NEWNET); err != nil {
		return fmt.Errorf("entering the pod's network: %w", err)
	}
	err = run()
	if unix.Setns(int(own.Fd()), unix.CLONE_NEWNET) == nil {
		runtime.UnlockOSThread()
	}
	return err
}
