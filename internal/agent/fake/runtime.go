// Package fake stands in for a cell's container runtime and file system, for
// hollow cells and for tests: containers are entries in a list, which run for as
// long as the pod's script says. It starts no goroutine, polls nothing, and
// keeps nothing when its pod's sandbox is removed.
package fake

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strconv"
	"strings"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"kip.elotl.co/internal/agent"
	"kip.elotl.co/internal/itzo"
)

// Runtime is a fake agent.Runtime for one cell.
type Runtime struct {
	mu         sync.Mutex
	changed    func()
	ids        int
	sandboxes  []agent.Sandbox
	pods       map[string]types.UID
	containers []*container
	images     map[string]bool
	stored     map[string]uint64
	devices    []agent.Device
}

type container struct {
	agent.Container
	spec agent.ContainerSpec
	run  Run
	// end is the timer of the container's own end.
	end *time.Timer
	// ended is closed at the end.
	ended   chan struct{}
	written *written
	// execs counts the calls of each command.
	execs map[string]int
}

// NewRuntime makes a runtime without any pod, on a cell with some devices.
func NewRuntime(devices ...agent.Device) *Runtime {
	return &Runtime{changed: func() {}, pods: map[string]types.UID{}, images: map[string]bool{}, devices: devices, stored: map[string]uint64{}}
}

// Devices implements agent.Runtime.
func (r *Runtime) Devices(_ context.Context, resource corev1.ResourceName) ([]agent.Device, error) {
	found := without(r.devices, func(d agent.Device) bool { return d.Resource != resource })
	if len(found) == 0 {
		return nil, errors.New("the cell has no such device")
	}
	return found, nil
}

// Info implements agent.Runtime.
func (r *Runtime) Info(context.Context) (itzo.RuntimeInfo, error) {
	return itzo.RuntimeInfo{Name: "containerd", Version: "2.0.0-hollow"}, nil
}

// Watch implements agent.Runtime.
func (r *Runtime) Watch(ctx context.Context, changed func()) error {
	r.mu.Lock()
	r.changed = changed
	r.mu.Unlock()
	<-ctx.Done()
	r.mu.Lock()
	defer r.mu.Unlock()
	r.changed = func() {}
	return ctx.Err()
}

// RunSandbox implements agent.Runtime. A script that cannot be read shows here.
func (r *Runtime) RunSandbox(_ context.Context, spec agent.SandboxSpec) (string, error) {
	if _, err := parseScript(spec.Pod); err != nil {
		return "", err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	sandbox := agent.Sandbox{ID: r.newID("sandbox"), Attempt: spec.Attempt, Ready: true}
	if spec.IP.IsValid() {
		sandbox.IPs = append(sandbox.IPs, spec.IP)
	}
	r.sandboxes = append(r.sandboxes, sandbox)
	r.pods[sandbox.ID] = spec.Pod.UID
	r.changed()
	return sandbox.ID, nil
}

func (r *Runtime) newID(kind string) string {
	r.ids++
	return kind + "-" + strconv.Itoa(r.ids)
}

// StopSandbox implements agent.Runtime.
func (r *Runtime) StopSandbox(_ context.Context, id string) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, c := range r.containers {
		if c.SandboxID == id {
			r.finish(c, exitKilled, "")
		}
	}
	for i := range r.sandboxes {
		if r.sandboxes[i].ID == id {
			r.sandboxes[i].Ready = false
			r.sandboxes[i].IPs = nil
		}
	}
	r.changed()
	return nil
}

// RemoveSandbox implements agent.Runtime.
func (r *Runtime) RemoveSandbox(_ context.Context, id string) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.containers = without(r.containers, func(c *container) bool { return c.SandboxID == id })
	r.sandboxes = without(r.sandboxes, func(s agent.Sandbox) bool { return s.ID == id })
	delete(r.pods, id)
	r.changed()
	return nil
}

func without[T any](all []T, drop func(T) bool) []T {
	var kept []T
	for _, item := range all {
		if !drop(item) {
			kept = append(kept, item)
		}
	}
	return kept
}

// Image implements agent.Runtime.
func (r *Runtime) Image(_ context.Context, name string) (agent.Image, bool, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return agent.Image{ID: name}, r.images[name], nil
}

// PullImage implements agent.Runtime: every image is there at once.
func (r *Runtime) PullImage(_ context.Context, name string, _ *itzo.RegistryCredentials) (agent.Image, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.images[name] = true
	return agent.Image{ID: name}, nil
}

// List implements agent.Runtime.
func (r *Runtime) List(_ context.Context, pod types.UID) (agent.Observation, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	var obs agent.Observation
	for _, sandbox := range r.sandboxes {
		if r.pods[sandbox.ID] == pod {
			obs.Sandboxes = append(obs.Sandboxes, sandbox)
		}
	}
	for _, c := range r.containers {
		if r.pods[c.SandboxID] == pod {
			obs.Containers = append(obs.Containers, c.Container)
		}
	}
	return obs, nil
}

// Log implements agent.Runtime.
func (r *Runtime) Log(_ context.Context, id agent.ContainerID) (io.ReadSeekCloser, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, c := range r.containers {
		if c.Name == id.Container && c.Attempt == id.Attempt && !c.StartedAt.IsZero() {
			text, _ := c.written.from(0)
			return log{strings.NewReader(text)}, nil
		}
	}
	return nil, fs.ErrNotExist
}

// log is a log in memory.
type log struct{ *strings.Reader }

// Close implements io.Closer.
func (log) Close() error { return nil }

// criLog writes a text as a runtime would have logged it.
func criLog(at time.Time, text string) string {
	var log strings.Builder
	for line := range strings.Lines(text) {
		tag := "F"
		content, whole := strings.CutSuffix(line, "\n")
		if !whole {
			tag = "P"
		}
		fmt.Fprintf(&log, "%s stdout %s %s\n", at.UTC().Format(time.RFC3339Nano), tag, content)
	}
	return log.String()
}

// FailSandbox ends a sandbox as a crash would, with all that runs in it.
func (r *Runtime) FailSandbox(pod types.UID) {
	r.mu.Lock()
	var ids []string
	for _, sandbox := range r.sandboxes {
		if sandbox.Ready && r.pods[sandbox.ID] == pod {
			ids = append(ids, sandbox.ID)
		}
	}
	r.mu.Unlock()
	for _, id := range ids {
		// The fake's stop cannot fail.
		_ = r.StopSandbox(context.Background(), id)
	}
}

func podOf(spec agent.ContainerSpec) *corev1.Pod { return spec.Sandbox.Pod }
