package cri

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"time"

	cri "k8s.io/cri-api/pkg/apis"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"kip.elotl.co/internal/agent"
	"kip.elotl.co/internal/agent/host"
)

const (
	conflistName = "10-kip.conflist"
	// leaseDir is in memory: a lease that a reboot left behind would keep the
	// pod's only address taken for ever.
	leaseDir = "/run/kip/cni"
	// networkTimeout is how long the runtime may take to notice the file.
	networkTimeout = 10 * time.Second
	networkPoll    = 20 * time.Millisecond
)

// ensureNetwork gives the runtime a network in which the pod has exactly its
// own address, and waits until it has taken notice.
func (r *Runtime) ensureNetwork(ctx context.Context, runtime cri.RuntimeService, spec agent.SandboxSpec) error {
	conflist, err := networkConfig(spec.IP, spec.CellIP)
	if err != nil {
		return err
	}
	path := filepath.Join(r.config.CNIDir, conflistName)
	if old, err := os.ReadFile(path); err != nil || !bytes.Equal(old, conflist) {
		if err := os.MkdirAll(r.config.CNIDir, 0o755); err != nil {
			return fmt.Errorf("making CNI directory: %w", err)
		}
		if err := host.WriteFile(path, conflist, 0o644); err != nil {
			return fmt.Errorf("writing CNI configuration: %w", err)
		}
	}
	return waitForNetwork(ctx, runtime)
}

func waitForNetwork(ctx context.Context, runtime cri.RuntimeService) error {
	ctx, cancel := context.WithTimeout(ctx, networkTimeout)
	defer cancel()
	poll := time.NewTicker(networkPoll)
	defer poll.Stop()
	for {
		response, err := runtime.Status(ctx, false)
		if err != nil {
			return fmt.Errorf("asking the container runtime for its network: %w", err)
		}
		for _, condition := range response.Status.GetConditions() {
			if condition.Type == runtimeapi.NetworkReady && condition.Status {
				return nil
			}
		}
		select {
		case <-poll.C:
		case <-ctx.Done():
			return errors.New("the container runtime's network is not ready")
		}
	}
}

// networkConfig is a CNI network list: a veth pair with the cell, everything
// routed through it. The gateway is an address that the cell has already, so
// that none of the subnet is taken away from its owner.
func networkConfig(pod, cell netip.Addr) ([]byte, error) {
	if !pod.IsValid() {
		return nil, errors.New("the pod has no address of its own")
	}
	// host-local wants a network around its one address. ptp routes all of it
	// through the gateway, so its size does not matter.
	bits, anywhere := 24, "0.0.0.0/0"
	if pod.Is6() {
		bits, anywhere = 64, "::/0"
	}
	subnet, err := pod.Prefix(bits)
	if err != nil {
		return nil, fmt.Errorf("subnet of %s: %w", pod, err)
	}
	return json.MarshalIndent(map[string]any{
		"cniVersion": "0.4.0",
		"name":       "kip",
		"plugins": []any{map[string]any{
			"type": "ptp",
			"ipam": map[string]any{
				"type":    "host-local",
				"dataDir": leaseDir,
				"ranges": []any{[]any{map[string]any{
					"subnet": subnet.String(), "rangeStart": pod.String(), "rangeEnd": pod.String(),
					"gateway": gateway(pod, cell).String(),
				}}},
				"routes": []any{map[string]any{"dst": anywhere}},
			},
		}},
	}, "", "  ")
}

func gateway(pod, cell netip.Addr) netip.Addr {
	if cell.IsValid() && !cell.IsLoopback() && cell.Is4() == pod.Is4() {
		return cell
	}
	if pod.Is4() {
		return netip.AddrFrom4([4]byte{169, 254, 1, 1})
	}
	return netip.MustParseAddr("fe80::ecee:eeff:feee:eeee")
}
