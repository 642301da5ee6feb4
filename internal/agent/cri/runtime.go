// Package cri runs an agent's pod through a container runtime's CRI: containerd
// 1.6 to 2.x.
package cri

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"path/filepath"
	"sync"
	"time"

	"github.com/go-logr/logr"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"k8s.io/apimachinery/pkg/types"
	cri "k8s.io/cri-api/pkg/apis"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
	criclient "k8s.io/cri-client/pkg"

	"kip.elotl.co/internal/agent"
	"kip.elotl.co/internal/itzo"
)

// callTimeout is for one call; the client gives sandboxes and stops more.
const callTimeout = 2 * time.Minute

// defaultSeccompDir is the kubelet's.
const defaultSeccompDir = "/var/lib/kubelet/seccomp"

// Config says where things are on the cell.
type Config struct {
	// Endpoint of the runtime, unix:///run/containerd/containerd.sock.
	Endpoint string
	// CNIDir is where the runtime looks for network configurations.
	CNIDir string
	// LogDir gets the containers' logs, <namespace>_<pod>_<uid>/<container>/<n>.log.
	LogDir string
	// LogMaxSize is how many bytes a log may have before a new file is begun, and
	// LogMaxFiles how many files there are then at most; 0: the kubelet's, 10 MiB and 5.
	LogMaxSize  int64
	LogMaxFiles int
	// CgroupParent of the pod's containers, /kip. A runtime that uses systemd for
	// cgroups gets a slice of that name.
	CgroupParent string
	// SeccompDir has the cell's own seccomp profiles; empty: /var/lib/kubelet/seccomp,
	// where kubelets look for them.
	SeccompDir string
	// PodMaxPIDs is how many processes and threads the pod may have; 0 or less: any number.
	PodMaxPIDs int64
	// PauseBinary is the program of the pause image, and SandboxImage the name of
	// that image; empty: the name that the runtime is configured with.
	PauseBinary  string
	SandboxImage string
	// FetchPause brings that program to the cell where PauseBinary is empty, and
	// answers its path. When it fails, or is nil, the image is left to the runtime.
	FetchPause func(ctx context.Context) (string, error)
}

// Runtime is an agent.Runtime over CRI. It connects when it is first used, and
// again whenever the runtime was away.
type Runtime struct {
	config Config

	mu         sync.Mutex
	runtime    cri.RuntimeService
	images     cri.ImageManagerService
	name       string
	parent     string // of cgroups, as the runtime wants it spelt
	containers map[string]agent.Container
	addresses  map[string][]netip.Addr
	ready      map[string]bool // the sandboxes that were so when last seen
	exits      *exits
	// logs is held while a log has no current file.
	logs      sync.RWMutex
	followers followers
	// pause guards the import of the pause image.
	pause        sync.Mutex
	pauseSettled bool
}

// New makes a runtime; it does not connect yet.
func New(config Config) *Runtime {
	return &Runtime{config: config, containers: map[string]agent.Container{}, addresses: map[string][]netip.Addr{}, exits: newExits()}
}

// services connects if that has not been done. The CRI client logs whole
// requests, which hold environments: its logger is taken away.
func (r *Runtime) services(ctx context.Context) (context.Context, cri.RuntimeService, cri.ImageManagerService, error) {
	ctx = logr.NewContext(ctx, logr.Discard())
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.images != nil {
		return ctx, r.runtime, r.images, nil
	}
	runtime, err := criclient.NewRemoteRuntimeServiceBuilder().WithEndpoint(r.config.Endpoint).
		WithConnectionTimeout(callTimeout).WithTracerProvider(nil).Build(ctx)
	if err != nil {
		return ctx, nil, nil, fmt.Errorf("connecting to the container runtime: %w", err)
	}
	images, err := criclient.NewRemoteImageServiceBuilder().WithEndpoint(r.config.Endpoint).
		WithConnectionTimeout(callTimeout).WithTracerProvider(nil).Build(ctx)
	if err != nil {
		return ctx, nil, nil, errors.Join(fmt.Errorf("connecting to the container runtime: %w", err), runtime.Close(ctx))
	}
	r.runtime, r.images = runtime, images
	return ctx, runtime, images, nil
}

// Close drops the connections.
func (r *Runtime) Close(ctx context.Context) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.images == nil {
		return nil
	}
	err := errors.Join(r.runtime.Close(ctx), r.images.Close(ctx))
	r.runtime, r.images = nil, nil
	return err
}

// Info implements agent.Runtime.
func (r *Runtime) Info(ctx context.Context) (itzo.RuntimeInfo, error) {
	ctx, runtime, _, err := r.services(ctx)
	if err != nil {
		return itzo.RuntimeInfo{}, err
	}
	version, err := runtime.Version(ctx, "")
	if err != nil {
		return itzo.RuntimeInfo{}, fmt.Errorf("asking the container runtime for its version: %w", err)
	}
	r.mu.Lock()
	r.name = version.RuntimeName
	r.mu.Unlock()
	return itzo.RuntimeInfo{Name: version.RuntimeName, Version: version.RuntimeVersion}, nil
}

// Watch implements agent.Runtime.
func (r *Runtime) Watch(ctx context.Context, changed func()) error {
	ctx, runtime, _, err := r.services(ctx)
	if err != nil {
		return err
	}
	events := make(chan *runtimeapi.ContainerEventResponse)
	ended := make(chan error, 1)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	// Between the last look and the events' beginning something may have ended.
	begun := func(runtimeapi.RuntimeService_GetContainerEventsClient) { changed() }
	go func() { ended <- runtime.GetContainerEvents(ctx, events, begun) }()
	for {
		select {
		case <-events:
			changed()
		case err := <-ended:
			if status.Code(err) == codes.Unimplemented {
				return r.exits.watch(ctx, changed)
			}
			return fmt.Errorf("listening to the container runtime: %w", err)
		}
	}
}

// List implements agent.Runtime.
func (r *Runtime) List(ctx context.Context, pod types.UID) (agent.Observation, error) {
	ctx, runtime, _, err := r.services(ctx)
	if err != nil {
		return agent.Observation{}, err
	}
	labels := map[string]string{labelUID: string(pod)}
	sandboxes, err := runtime.ListPodSandbox(ctx, &runtimeapi.PodSandboxFilter{LabelSelector: labels})
	if err != nil {
		return agent.Observation{}, fmt.Errorf("listing sandboxes: %w", err)
	}
	containers, err := runtime.ListContainers(ctx, &runtimeapi.ContainerFilter{LabelSelector: labels})
	if err != nil {
		return agent.Observation{}, fmt.Errorf("listing containers: %w", err)
	}
	var obs agent.Observation
	if obs.Sandboxes, err = r.observeSandboxes(ctx, runtime, sandboxes); err != nil {
		return agent.Observation{}, err
	}
	if obs.Containers, err = r.observeContainers(ctx, runtime, containers); err != nil {
		return agent.Observation{}, err
	}
	return obs, nil
}

func (r *Runtime) observeContainers(ctx context.Context, runtime cri.RuntimeService, listed []*runtimeapi.Container) ([]agent.Container, error) {
	var seen []agent.Container
	present := make(map[string]agent.Container, len(listed))
	for _, container := range listed {
		one, err := r.inspect(ctx, runtime, container)
		if isGone(err) {
			continue
		}
		if err != nil {
			return nil, err
		}
		present[container.Id] = one
		seen = append(seen, one)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.containers = present
	return seen, nil
}

// inspect asks for a container's details when its state is a new one.
func (r *Runtime) inspect(ctx context.Context, runtime cri.RuntimeService, listed *runtimeapi.Container) (agent.Container, error) {
	state := containerState(listed.State)
	r.mu.Lock()
	known, ok := r.containers[listed.Id]
	name := r.name
	r.mu.Unlock()
	follow := state == agent.ContainerRunning && r.exits.wants(listed.Id)
	if ok && known.State == state && !follow {
		return known, nil
	}
	response, err := runtime.ContainerStatus(ctx, listed.Id, follow)
	if err != nil {
		return agent.Container{}, fmt.Errorf("inspecting container %s: %w", listed.Id, err)
	}
	details := response.Status
	if follow {
		r.exits.follow(listed.Id, response.Info["info"], func() bool { return !r.running(listed.Id) })
	}
	return agent.Container{
		ID:         listed.Id,
		URI:        name + "://" + listed.Id,
		SandboxID:  listed.PodSandboxId,
		Name:       details.Metadata.GetName(),
		Attempt:    details.Metadata.GetAttempt(),
		State:      containerState(details.State),
		Image:      details.Image.GetImage(),
		ImageRef:   details.ImageRef,
		SpecImage:  details.Annotations[annotationImage],
		CreatedAt:  time.Unix(0, details.CreatedAt),
		StartedAt:  time.Unix(0, details.StartedAt),
		FinishedAt: time.Unix(0, details.FinishedAt),
		ExitCode:   details.ExitCode,
		Reason:     details.Reason,
		Message:    details.Message,
		User:       userOf(details.User),
		StopSignal: signalOf(details.StopSignal),
	}, nil
}

// running says whether a container or sandbox was so when it was last seen.
func (r *Runtime) running(id string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.ready[id] || r.containers[id].State == agent.ContainerRunning
}

func containerState(state runtimeapi.ContainerState) agent.ContainerState {
	switch state {
	case runtimeapi.ContainerState_CONTAINER_CREATED:
		return agent.ContainerCreated
	case runtimeapi.ContainerState_CONTAINER_RUNNING:
		return agent.ContainerRunning
	case runtimeapi.ContainerState_CONTAINER_EXITED:
		return agent.ContainerExited
	}
	return agent.ContainerUnknown
}

func isGone(err error) bool {
	return status.Code(errors.Unwrap(err)) == codes.NotFound || status.Code(err) == codes.NotFound
}

// gone makes nothing of an error about what does not exist any more.
func gone(err error) error {
	if isGone(err) {
		return nil
	}
	return plain(err)
}

// plain takes gRPC's frame off an error's text, which users get to see.
func plain(err error) error {
	if s, ok := status.FromError(err); ok && err != nil {
		return errors.New(s.Message())
	}
	return err
}

func (r *Runtime) logPath(id agent.ContainerID) string {
	return filepath.Join(r.config.LogDir, logDirectory(id.Namespace, id.Pod, string(id.UID)), containerLog(id.Container, id.Attempt))
}
