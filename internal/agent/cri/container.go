package cri

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"time"

	corev1 "k8s.io/api/core/v1"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"kip.elotl.co/internal/agent"
	"kip.elotl.co/internal/itzo"
)

// The kubelet's labels, which log collectors and crictl know.
const (
	labelName      = "io.kubernetes.pod.name"
	labelNamespace = "io.kubernetes.pod.namespace"
	labelUID       = "io.kubernetes.pod.uid"
	labelContainer = "io.kubernetes.container.name"
)

// CreateContainer implements agent.Runtime.
func (r *Runtime) CreateContainer(ctx context.Context, spec agent.ContainerSpec) (string, error) {
	ctx, runtime, _, err := r.services(ctx)
	if err != nil {
		return "", err
	}
	sandbox, err := r.sandboxConfig(ctx, runtime, spec.Sandbox)
	if err != nil {
		return "", err
	}
	config := containerConfig(spec, cmp.Or(r.config.SeccompDir, defaultSeccompDir))
	if err := os.MkdirAll(filepath.Dir(filepath.Join(sandbox.LogDirectory, config.LogPath)), 0o755); err != nil {
		return "", fmt.Errorf("making log directory: %w", err)
	}
	id, err := runtime.CreateContainer(ctx, spec.SandboxID, config, sandbox)
	if err != nil {
		return "", plain(err)
	}
	return id, nil
}

// StartContainer implements agent.Runtime.
func (r *Runtime) StartContainer(ctx context.Context, id string) error {
	ctx, runtime, _, err := r.services(ctx)
	if err != nil {
		return err
	}
	return plain(runtime.StartContainer(ctx, id))
}

// StopContainer implements agent.Runtime.
func (r *Runtime) StopContainer(ctx context.Context, id string, grace time.Duration) error {
	ctx, runtime, _, err := r.services(ctx)
	if err != nil {
		return err
	}
	return gone(runtime.StopContainer(ctx, id, int64((grace+time.Second-1)/time.Second)))
}

// RemoveContainer implements agent.Runtime.
func (r *Runtime) RemoveContainer(ctx context.Context, id string) error {
	ctx, runtime, _, err := r.services(ctx)
	if err != nil {
		return err
	}
	log := logOf(runtime.ContainerStatus(ctx, id, false))
	if err := gone(runtime.RemoveContainer(ctx, id)); err != nil {
		return err
	}
	return removeLogs(log)
}

// Log implements agent.Runtime.
func (r *Runtime) Log(_ context.Context, id agent.ContainerID) (io.ReadSeekCloser, error) {
	r.logs.RLock()
	defer r.logs.RUnlock()
	return os.Open(r.logPath(id))
}

// Image implements agent.Runtime.
func (r *Runtime) Image(ctx context.Context, name string) (agent.Image, bool, error) {
	ctx, _, images, err := r.services(ctx)
	if err != nil {
		return agent.Image{}, false, err
	}
	response, err := images.ImageStatus(ctx, &runtimeapi.ImageSpec{Image: name}, false)
	if err != nil {
		return agent.Image{}, false, fmt.Errorf("looking for image %q: %w", name, plain(err))
	}
	if response.Image == nil {
		return agent.Image{}, false, nil
	}
	image := agent.Image{ID: response.Image.Id, Username: response.Image.Username, Size: response.Image.Size}
	if response.Image.Uid != nil {
		image.UID = &response.Image.Uid.Value
	}
	return image, true, nil
}

// PullImage implements agent.Runtime.
func (r *Runtime) PullImage(ctx context.Context, name string, credentials *itzo.RegistryCredentials) (agent.Image, error) {
	quiet, _, images, err := r.services(ctx)
	if err != nil {
		return agent.Image{}, err
	}
	var auth *runtimeapi.AuthConfig
	if credentials != nil {
		auth = &runtimeapi.AuthConfig{Username: credentials.Username, Password: credentials.Password}
	}
	ref, err := images.PullImage(quiet, &runtimeapi.ImageSpec{Image: name}, auth, nil)
	if err != nil {
		return agent.Image{}, plain(err)
	}
	image, ok, err := r.Image(ctx, ref)
	if err == nil && !ok {
		err = fmt.Errorf("image %s is gone again", ref)
	}
	return image, err
}

// annotationImage of a container is its image as the pod's spec named it.
const annotationImage = "kip.elotl.co/image"

func containerConfig(spec agent.ContainerSpec, seccompDir string) *runtimeapi.ContainerConfig {
	pod, container := spec.Sandbox.Pod, spec.Container
	config := &runtimeapi.ContainerConfig{
		Metadata:   &runtimeapi.ContainerMetadata{Name: container.Name, Attempt: spec.Attempt},
		Image:      &runtimeapi.ImageSpec{Image: spec.Image.ID, UserSpecifiedImage: container.Image},
		Command:    spec.Command,
		Args:       spec.Args,
		WorkingDir: container.WorkingDir,
		LogPath:    containerLog(container.Name, spec.Attempt),
		Stdin:      container.Stdin,
		StdinOnce:  container.StdinOnce,
		Tty:        container.TTY,
		Labels:     labels(pod),
		// By what the runtime knows of images the pod's name for one is not found again.
		Annotations: map[string]string{annotationImage: container.Image},
		Linux: &runtimeapi.LinuxContainerConfig{
			Resources:       resources(pod, container, spec.MemoryCapacity),
			SecurityContext: containerSecurity(spec, seccompDir),
		},
	}
	config.Labels[labelContainer] = container.Name
	if lifecycle := container.Lifecycle; lifecycle != nil && lifecycle.StopSignal != nil {
		config.StopSignal = stopSignal(*lifecycle.StopSignal)
	}
	// Where the pod has one process namespace for all, the target is in it.
	if namespaces := config.Linux.SecurityContext.NamespaceOptions; spec.TargetID != "" && namespaces.Pid == runtimeapi.NamespaceMode_CONTAINER {
		namespaces.Pid, namespaces.TargetId = runtimeapi.NamespaceMode_TARGET, spec.TargetID
	}
	for _, variable := range spec.Env {
		config.Envs = append(config.Envs, &runtimeapi.KeyValue{Key: variable.Name, Value: []byte(variable.Value)})
	}
	for _, mount := range spec.Mounts {
		config.Mounts = append(config.Mounts, &runtimeapi.Mount{
			ContainerPath: absolute(mount.ContainerPath), HostPath: mount.HostPath, Readonly: mount.ReadOnly,
			Propagation: propagation(mount.Propagation),
		})
	}
	giveDevices(config, spec.Devices)
	return config
}

func propagation(mode corev1.MountPropagationMode) runtimeapi.MountPropagation {
	switch mode {
	case corev1.MountPropagationHostToContainer:
		return runtimeapi.MountPropagation_PROPAGATION_HOST_TO_CONTAINER
	case corev1.MountPropagationBidirectional:
		return runtimeapi.MountPropagation_PROPAGATION_BIDIRECTIONAL
	}
	return runtimeapi.MountPropagation_PROPAGATION_PRIVATE
}

// absolute makes a relative mount path one below the root, as the kubelet does.
func absolute(path string) string {
	return filepath.Join("/", path)
}

func labels(pod *corev1.Pod) map[string]string {
	return map[string]string{labelName: pod.Name, labelNamespace: pod.Namespace, labelUID: string(pod.UID)}
}

func logDirectory(namespace, pod, uid string) string {
	return namespace + "_" + pod + "_" + uid
}

func containerLog(container string, attempt uint32) string {
	return filepath.Join(container, strconv.FormatUint(uint64(attempt), 10)+".log")
}
