package sandbox

import (
	"fmt"
	"testing"
	"time"

	internalapi "k8s.io/cri-api/pkg/apis"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
	cri "k8s.io/cri-client/pkg"

	"kip.elotl.co/hack/localaws/boot"
)

// cniUserData configures the cell's second address for its pod, as the agent
// does, and then runs the commands.
func cniUserData(cell, pod, runcmd string) string {
	return `#cloud-config
write_files:
- path: /etc/cni/net.d/10-pod.conflist
  content: |
    {"cniVersion": "0.4.0", "name": "pod", "plugins": [{"type": "ptp", "ipam": {"type": "host-local",
     "ranges": [[{"subnet": "100.64.79.0/24", "rangeStart": "` + pod + `", "rangeEnd": "` + pod + `", "gateway": "` + cell + `"}]], "routes": [{"dst": "0.0.0.0/0"}]}}]}
` + runcmd
}

func podSpec(w *world, n int, runcmd string) boot.Spec {
	s := w.spec(n, "")
	s.UserData = []byte(cniUserData(s.PrivateIPs[0].String(), s.PrivateIPs[1].String(), runcmd))
	w.mu.Lock()
	w.specs[len(w.specs)-1] = s
	w.mu.Unlock()
	return s
}

// pod is one sandbox with one busybox container in a cell.
type pod struct {
	runtime   internalapi.RuntimeService
	container string
}

// dialCRI reaches the cell's containerd through its root file system.
func dialCRI(t *testing.T, m *Machine) (runtime internalapi.RuntimeService, images internalapi.ImageManagerService) {
	t.Helper()
	socket := m.path("/run/containerd/containerd.sock")
	eventually(t, "CRI socket", exists(socket))
	eventually(t, "CRI", func() (err error) {
		// The socket is there a moment before the server behind it is ready.
		const timeout = 30 * time.Second
		runtime, err = cri.NewRemoteRuntimeServiceBuilder().WithEndpoint("unix://" + socket).WithConnectionTimeout(timeout).Build(t.Context())
		if err != nil {
			return err
		}
		images, err = cri.NewRemoteImageServiceBuilder().WithEndpoint("unix://" + socket).WithConnectionTimeout(timeout).Build(t.Context())
		return err
	})
	return runtime, images
}

func (w *world) startPod(t *testing.T, m *Machine, command ...string) (*pod, error) {
	t.Helper()
	runtime, images := dialCRI(t, m)
	eventually(t, "runtime ready", func() error {
		status, err := runtime.Status(t.Context(), false)
		if err != nil {
			return err
		}
		for _, c := range status.GetStatus().GetConditions() {
			// Others are warnings, as of containerd 2 on cgroups of version 1.
			if !c.GetStatus() && (c.GetType() == runtimeapi.RuntimeReady || c.GetType() == runtimeapi.NetworkReady) {
				return fmt.Errorf("%s: %s", c.GetType(), c.GetMessage())
			}
		}
		return nil
	})
	sandbox := &runtimeapi.PodSandboxConfig{
		Metadata: &runtimeapi.PodSandboxMetadata{Name: "pod", Namespace: "test", Uid: "u"}, Hostname: "pod", LogDirectory: "/var/log/pods",
		Linux: &runtimeapi.LinuxPodSandboxConfig{CgroupParent: "/pods"},
	}
	id, err := runtime.RunPodSandbox(t.Context(), sandbox, "")
	if err != nil {
		return nil, fmt.Errorf("running the pod sandbox: %w", err)
	}
	image := &runtimeapi.ImageSpec{Image: w.host + "/busybox:latest"}
	if _, err := images.PullImage(t.Context(), image, nil, sandbox); err != nil {
		return nil, fmt.Errorf("pulling: %w", err)
	}
	container, err := runtime.CreateContainer(t.Context(), id, &runtimeapi.ContainerConfig{
		Metadata: &runtimeapi.ContainerMetadata{Name: "c"}, Image: image, Command: command, LogPath: "c.log",
		Linux: &runtimeapi.LinuxContainerConfig{Resources: &runtimeapi.LinuxContainerResources{MemoryLimitInBytes: 64 << 20}},
	}, sandbox)
	if err != nil {
		return nil, fmt.Errorf("creating the container: %w", err)
	}
	if err := runtime.StartContainer(t.Context(), container); err != nil {
		return nil, fmt.Errorf("starting the container: %w", err)
	}
	return &pod{runtime: runtime, container: container}, nil
}

// exec runs a shell script in the pod; its output holds errors too.
func (p *pod) exec(t *testing.T, script string) string {
	t.Helper()
	stdout, stderr, err := p.runtime.ExecSync(t.Context(), p.container, []string{"sh", "-c", script}, time.Minute)
	return fmt.Sprintf("%s%s%v", stdout, stderr, err)
}
