package agent

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"

	"kip.elotl.co/internal/itzo"
	"kip.elotl.co/internal/podfields"
)

// job is an action with what it needs of the record.
type job struct {
	action
	// hooks ends when a stop's preStop hook is not to be waited for any more.
	hooks       context.Context //nolint:containedctx // it belongs to this one job
	pod         *corev1.Pod
	spec        *corev1.Container
	ip, cellIP  netip.Addr
	credentials map[string]itzo.RegistryCredentials
	secrets     map[string]map[string][]byte
	configMaps  map[string]map[string]string
	services    map[string]string
}

// launch starts an action; the loop hears of its end. The caller holds the lock.
func (a *Agent) launch(ctx context.Context, act action) {
	switch act.kind {
	case cancelPull:
		a.cancel(pullImage, act.container)
		return
	case cancelHook:
		a.cancel(runHook, act.container)
		return
	}
	rec := a.machine.rec
	j := job{action: act, pod: rec.Pod, ip: rec.PodIP, cellIP: rec.HostIP, credentials: rec.Credentials,
		secrets: rec.Secrets, configMaps: rec.ConfigMaps, services: rec.Services}
	if c := a.machine.containerState(act.container); c != nil {
		j.spec = c.spec
	}
	ctx, cancel := context.WithCancel(ctx)
	j.hooks = ctx
	switch act.kind {
	case stopContainer:
		// Who stops it in less time does not wait for the hook of the first stop.
		a.cancel(stopContainer, act.container)
		j.hooks, a.cancels[cancelKey{act.kind, act.container}] = context.WithCancel(ctx)
	case pullImage, runHook:
		a.cancels[cancelKey{act.kind, act.container}] = cancel
	}
	logr.FromContextOrDiscard(ctx).V(1).Info("Action", "action", act.kind, "container", act.container, "attempt", act.attempt)
	a.work.Go(func() {
		defer cancel()
		r := a.perform(ctx, j)
		a.mu.Lock()
		a.ended = append(a.ended, endedAction{act, r})
		a.mu.Unlock()
		a.poke()
	})
}

// cancelKey names what can be cancelled: the newest action of a kind about a
// container; of a stop the preStop hook.
type cancelKey struct {
	kind      actionKind
	container string
}

// cancel does nothing where nothing is under way. The caller holds the lock.
func (a *Agent) cancel(kind actionKind, container string) {
	if cancel, known := a.cancels[cancelKey{kind, container}]; known {
		cancel()
	}
}

func (a *Agent) perform(ctx context.Context, j job) result {
	runtime := a.config.Runtime
	switch j.kind {
	case runSandbox:
		return a.runSandbox(ctx, j)
	case stopSandbox:
		return result{err: runtime.StopSandbox(ctx, j.id)}
	case removeSandbox:
		return result{err: runtime.RemoveSandbox(ctx, j.id)}
	case pullImage:
		return a.provideImage(ctx, j)
	case startContainer:
		return a.startContainer(ctx, j)
	case stopContainer:
		return a.stopContainer(ctx, j)
	case runProbe:
		return a.runProbe(ctx, j)
	case runHook:
		return a.runPostStart(ctx, j)
	case removeContainer:
		return result{err: runtime.RemoveContainer(ctx, j.id)}
	}
	return result{err: fmt.Errorf("unknown action %q", j.kind)}
}

// provideImage makes a container's image present, as its pull policy says.
func (a *Agent) provideImage(ctx context.Context, j job) result {
	name, policy := j.spec.Image, pullPolicy(j.spec)
	if err := checkImageName(name); err != nil {
		a.tell(j.container, corev1.EventTypeWarning, eventInspectFailed, "%v", err)
		return result{err: err, reason: reasonImageName}
	}
	if policy != corev1.PullAlways {
		image, ok, err := a.config.Runtime.Image(ctx, name)
		switch {
		case err != nil:
			a.tell(j.container, corev1.EventTypeWarning, eventInspectFailed, "Failed to inspect image %q: %v", name, err)
			return result{err: err, reason: "ImageInspectError"}
		case ok:
			a.tell(j.container, corev1.EventTypeNormal, eventPulled, "Container image %q already present on machine and can be accessed by the pod", name)
			return result{image: image}
		case policy == corev1.PullNever:
			err := fmt.Errorf("Container image %q is not present with pull policy of Never", name)
			a.tell(j.container, corev1.EventTypeWarning, reasonNeverPull, "%v", err)
			return result{err: err, reason: reasonNeverPull}
		}
	}
	return a.pull(ctx, j, name)
}

func (a *Agent) pull(ctx context.Context, j job, name string) result {
	a.tell(j.container, corev1.EventTypeNormal, eventPulling, "Pulling image %q", name)
	a.poke()
	began := time.Now()
	image, err := a.pullImage(ctx, j, name)
	if err != nil {
		if ctx.Err() == nil {
			a.tell(j.container, corev1.EventTypeWarning, eventFailed, "Failed to pull image %q: %v", name, err)
		}
		return result{err: fmt.Errorf("failed to pull image %q: %w", name, err), reason: reasonPull}
	}
	took := time.Since(began).Truncate(time.Millisecond)
	a.tell(j.container, corev1.EventTypeNormal, eventPulled, "Successfully pulled image %q in %v (%v including waiting). Image size: %d bytes.",
		name, took, took, image.Size)
	return result{image: image}
}

// startContainer makes a container and starts it, and tells of both.
func (a *Agent) startContainer(ctx context.Context, j job) result {
	id, r := a.createAndStart(ctx, j)
	switch {
	case r.err == nil, ctx.Err() != nil:
	case r.reason == reasonMount:
		a.tell("", corev1.EventTypeWarning, eventFailedMount, "%v", r.err)
	default:
		text := r.err.Error()
		if id != "" {
			// As the kubelet does, so that the same failure has the same words.
			text = strings.ReplaceAll(text, id, j.container)
		}
		a.tell(j.container, corev1.EventTypeWarning, eventFailed, "Error: %s", text)
	}
	return r
}

// createAndStart answers the container's ID as soon as it has one.
func (a *Agent) createAndStart(ctx context.Context, j job) (string, result) {
	spec, err := a.containerSpec(ctx, j)
	if failed := (*podfields.MountError)(nil); errors.As(err, &failed) {
		return "", result{err: err, reason: reasonMount}
	}
	if err != nil {
		return "", result{err: err, reason: reasonCreateConfig}
	}
	id, err := a.config.Runtime.CreateContainer(ctx, spec)
	if err != nil {
		return "", result{err: err, reason: reasonCreateContainer}
	}
	a.tell(j.container, corev1.EventTypeNormal, eventCreated, "Container created")
	if err := a.config.Runtime.StartContainer(ctx, id); err != nil {
		return id, result{err: err, reason: reasonRunContainer}
	}
	a.tell(j.container, corev1.EventTypeNormal, eventStarted, "Container started")
	return id, result{}
}

func (a *Agent) containerSpec(ctx context.Context, j job) (ContainerSpec, error) {
	if err := checkNonRoot(j.pod, j.spec, j.image); err != nil {
		return ContainerSpec{}, err
	}
	sandbox, err := a.sandboxSpec(j, j.sandbox.Attempt)
	if err != nil {
		return ContainerSpec{}, err
	}
	env, values, err := a.environment(j)
	if err != nil {
		return ContainerSpec{}, err
	}
	expanded, err := expandMounts(j.spec, values)
	if err != nil {
		return ContainerSpec{}, err
	}
	hosts, err := a.hostsFile(j)
	if err != nil {
		return ContainerSpec{}, err
	}
	mounts, err := a.config.Host.Mounts(ContainerFiles{
		ID:        containerID(j.pod, j.spec.Name, j.attempt),
		Pod:       j.pod,
		Container: expanded,
		Hosts:     hosts,
	})
	if err != nil {
		return ContainerSpec{}, err
	}
	devices, err := a.devices(ctx, j.pod, j.spec)
	if err != nil {
		return ContainerSpec{}, err
	}
	return ContainerSpec{
		Sandbox:        sandbox,
		SandboxID:      j.sandbox.ID,
		Container:      j.spec,
		Attempt:        j.attempt,
		Image:          j.image,
		Command:        podfields.ExpandAll(j.spec.Command, values),
		Args:           podfields.ExpandAll(j.spec.Args, values),
		Env:            env,
		Mounts:         mounts,
		TargetID:       j.target,
		Devices:        devices,
		MemoryCapacity: a.config.Host.Resources().MemoryBytes,
	}, nil
}

func (a *Agent) sandboxSpec(j job, attempt uint32) (SandboxSpec, error) {
	dns, left, err := a.dnsFor(j.pod)
	if err != nil {
		return SandboxSpec{}, err
	}
	if j.kind == runSandbox { // of which there is one, and of containers many
		for _, what := range left {
			a.tell("", corev1.EventTypeWarning, eventDNSConfig, "%s", what)
		}
	}
	hostname, err := podfields.Nodename(j.pod)
	if err != nil && !j.pod.Spec.HostNetwork { // else the name is the cell's
		return SandboxSpec{}, err
	}
	return SandboxSpec{
		Pod: j.pod, Attempt: attempt, Hostname: hostname, IP: j.ip, CellIP: j.cellIP, DNS: dns,
	}, nil
}

func containerID(pod *corev1.Pod, container string, attempt uint32) ContainerID {
	return ContainerID{Namespace: pod.Namespace, Pod: pod.Name, UID: pod.UID, Container: container, Attempt: attempt}
}
