package cri

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"path/filepath"
	"strings"

	cri "k8s.io/cri-api/pkg/apis"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"kip.elotl.co/internal/agent"
)

// RunSandbox implements agent.Runtime.
func (r *Runtime) RunSandbox(ctx context.Context, spec agent.SandboxSpec) (string, error) {
	ctx, runtime, images, err := r.services(ctx)
	if err != nil {
		return "", err
	}
	var left *leftToRuntimeError
	if err := r.ensurePause(ctx, runtime, images); err != nil && !errors.As(err, &left) {
		return "", err
	}
	if !spec.Pod.Spec.HostNetwork {
		if err := r.ensureNetwork(ctx, runtime, spec); err != nil {
			return "", err
		}
	}
	config, err := r.sandboxConfig(ctx, runtime, spec)
	if err != nil {
		return "", err
	}
	if err := r.limitPod(ctx, config.Linux.CgroupParent, spec.Pod); err != nil {
		return "", err
	}
	id, err := runtime.RunPodSandbox(ctx, config, "")
	if err != nil && left != nil {
		return "", fmt.Errorf("failed to create pod sandbox: %w; %w", plain(err), left)
	}
	if err != nil {
		return "", fmt.Errorf("failed to create pod sandbox: %w", plain(err))
	}
	return id, nil
}

// StopSandbox implements agent.Runtime.
func (r *Runtime) StopSandbox(ctx context.Context, id string) error {
	ctx, runtime, _, err := r.services(ctx)
	if err != nil {
		return err
	}
	return gone(runtime.StopPodSandbox(ctx, id))
}

// RemoveSandbox implements agent.Runtime.
func (r *Runtime) RemoveSandbox(ctx context.Context, id string) error {
	ctx, runtime, _, err := r.services(ctx)
	if err != nil {
		return err
	}
	return gone(runtime.RemovePodSandbox(ctx, id))
}

func (r *Runtime) observeSandboxes(ctx context.Context, runtime cri.RuntimeService, listed []*runtimeapi.PodSandbox) ([]agent.Sandbox, error) {
	var seen []agent.Sandbox
	addresses, ready := map[string][]netip.Addr{}, map[string]bool{}
	for _, sandbox := range listed {
		one := agent.Sandbox{ID: sandbox.Id, Attempt: sandbox.Metadata.GetAttempt(),
			Ready: sandbox.State == runtimeapi.PodSandboxState_SANDBOX_READY}
		if one.Ready {
			var err error
			if one.IPs, err = r.sandboxIPs(ctx, runtime, sandbox.Id); err != nil {
				return nil, err
			}
			addresses[one.ID], ready[one.ID] = one.IPs, true
		}
		seen = append(seen, one)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.addresses, r.ready = addresses, ready
	return seen, nil
}

func (r *Runtime) sandboxIPs(ctx context.Context, runtime cri.RuntimeService, id string) ([]netip.Addr, error) {
	r.mu.Lock()
	known, ok := r.addresses[id]
	r.mu.Unlock()
	follow := r.exits.wants(id)
	if ok && !follow {
		return known, nil
	}
	response, err := runtime.PodSandboxStatus(ctx, id, follow)
	if err != nil {
		return nil, fmt.Errorf("inspecting sandbox %s: %w", id, err)
	}
	if follow {
		r.exits.follow(id, response.Info["info"], func() bool { return !r.running(id) })
	}
	var addresses []netip.Addr
	network := response.Status.GetNetwork()
	for _, text := range append([]string{network.GetIp()}, additional(network)...) {
		if ip, err := netip.ParseAddr(text); err == nil {
			addresses = append(addresses, ip)
		}
	}
	return addresses, nil
}

func additional(network *runtimeapi.PodSandboxNetworkStatus) []string {
	var ips []string
	for _, ip := range network.GetAdditionalIps() {
		ips = append(ips, ip.Ip)
	}
	return ips
}

func (r *Runtime) sandboxConfig(ctx context.Context, runtime cri.RuntimeService, spec agent.SandboxSpec) (*runtimeapi.PodSandboxConfig, error) {
	pod := spec.Pod
	parent, err := r.cgroupParent(ctx, runtime)
	if err != nil {
		return nil, err
	}
	config := &runtimeapi.PodSandboxConfig{
		Metadata: &runtimeapi.PodSandboxMetadata{
			Name: pod.Name, Namespace: pod.Namespace, Uid: string(pod.UID), Attempt: spec.Attempt,
		},
		LogDirectory: filepath.Join(r.config.LogDir, logDirectory(pod.Namespace, pod.Name, string(pod.UID))),
		Labels:       labels(pod),
		Linux: &runtimeapi.LinuxPodSandboxConfig{
			CgroupParent:    parent,
			SecurityContext: sandboxSecurity(pod),
			Sysctls:         sysctls(pod),
		},
	}
	if !pod.Spec.HostNetwork { // else the name is the cell's, as its network is
		config.Hostname = spec.Hostname
	}
	config.Linux.Resources, config.Linux.Overhead = sandboxResources(pod)
	if spec.DNS != nil {
		config.DnsConfig = &runtimeapi.DNSConfig{
			Servers: spec.DNS.Servers, Searches: spec.DNS.Searches, Options: spec.DNS.Options,
		}
	}
	return config, nil
}

// cgroupParent spells the configured parent as the runtime's cgroup driver
// wants it.
func (r *Runtime) cgroupParent(ctx context.Context, runtime cri.RuntimeService) (string, error) {
	r.mu.Lock()
	parent := r.parent
	r.mu.Unlock()
	if parent != "" {
		return parent, nil
	}
	response, err := runtime.Status(ctx, true)
	if err != nil {
		return "", fmt.Errorf("asking the container runtime for its configuration: %w", err)
	}
	parent = r.config.CgroupParent
	if usesSystemd(response.Info["config"]) {
		parent = strings.ReplaceAll(strings.Trim(parent, "/"), "/", "-") + ".slice"
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.parent = parent
	return parent, nil
}

// runtimeConfig is the part of containerd's configuration that matters here, as
// its verbose status shows it.
type runtimeConfig struct {
	// SandboxImage is there in 1.x.
	SandboxImage string `json:"sandboxImage"`
	Containerd   struct {
		DefaultRuntimeName string `json:"defaultRuntimeName"`
		Runtimes           map[string]struct {
			Options map[string]any `json:"options"`
		} `json:"runtimes"`
	} `json:"containerd"`
}

// parseConfig answers nothing for what is not there or not understood: other
// runtimes have other words.
func parseConfig(text string) runtimeConfig {
	var config runtimeConfig
	if err := json.Unmarshal([]byte(text), &config); err != nil {
		return runtimeConfig{}
	}
	return config
}

func usesSystemd(text string) bool {
	containerd := parseConfig(text).Containerd
	systemd, _ := containerd.Runtimes[containerd.DefaultRuntimeName].Options["SystemdCgroup"].(bool)
	return systemd
}
