package cri

import (
	"encoding/json"
	"net/netip"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"kip.elotl.co/internal/agent"
)

func quantities(cpu, memory string) corev1.ResourceList {
	list := corev1.ResourceList{}
	if cpu != "" {
		list[corev1.ResourceCPU] = resource.MustParse(cpu)
	}
	if memory != "" {
		list[corev1.ResourceMemory] = resource.MustParse(memory)
	}
	return list
}

func TestResources(t *testing.T) {
	const capacity = 1 << 30
	tests := map[string]struct {
		requests, limits           corev1.ResourceList
		shares, quota, memory, oom int64
	}{
		"nothing":          {nil, nil, 2, 0, 0, 1000},
		"guaranteed":       {quantities("500m", "64Mi"), quantities("500m", "64Mi"), 512, 50000, 64 << 20, -997},
		"limits alone":     {nil, quantities("2", "64Mi"), 2048, 200000, 64 << 20, -997},
		"burstable":        {quantities("250m", "512Mi"), quantities("1", "1Gi"), 256, 100000, 1 << 30, 500},
		"all of it":        {quantities("1", "1Gi"), nil, 1024, 0, 0, 3},
		"CPU alone":        {quantities("100m", ""), nil, 102, 0, 0, 999},
		"tiny":             {quantities("1m", ""), quantities("1m", ""), 2, 1000, 0, 999},
		"more than shares": {quantities("1000", ""), nil, 262144, 0, 0, 999},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			pod := &corev1.Pod{Spec: corev1.PodSpec{Containers: []corev1.Container{{
				Resources: corev1.ResourceRequirements{Requests: test.requests, Limits: test.limits}}}}}
			got := resources(pod, &pod.Spec.Containers[0], capacity)
			want := []int64{test.shares, test.quota, 100000, test.memory, test.oom}
			if diff := cmp.Diff(want, []int64{got.CpuShares, got.CpuQuota, got.CpuPeriod, got.MemoryLimitInBytes, got.OomScoreAdj}); diff != "" {
				t.Errorf("shares, quota, period, memory, OOM score: %s", diff)
			}
		})
	}
}

func ptr[T any](value T) *T { return &value }

func TestContainersOwnSecurityWins(t *testing.T) {
	pod := &corev1.Pod{Spec: corev1.PodSpec{
		SecurityContext: &corev1.PodSecurityContext{
			RunAsUser: ptr(int64(1)), RunAsGroup: ptr(int64(2)), SupplementalGroups: []int64{3}, FSGroup: ptr(int64(4)),
			SupplementalGroupsPolicy: ptr(corev1.SupplementalGroupsPolicyStrict),
			SeccompProfile:           &corev1.SeccompProfile{Type: corev1.SeccompProfileTypeRuntimeDefault},
		},
		Containers: []corev1.Container{{Name: "plain"}, {Name: "own", SecurityContext: &corev1.SecurityContext{
			RunAsUser: ptr(int64(0)), Privileged: ptr(true), ReadOnlyRootFilesystem: ptr(true), AllowPrivilegeEscalation: ptr(false),
			Capabilities:   &corev1.Capabilities{Add: []corev1.Capability{"NET_ADMIN"}, Drop: []corev1.Capability{"ALL"}},
			SeccompProfile: &corev1.SeccompProfile{Type: corev1.SeccompProfileTypeUnconfined},
		}}},
	}}
	plain, own := securityOf(pod, 0), securityOf(pod, 1)
	if plain.RunAsUser.Value != 1 || plain.RunAsGroup.Value != 2 || plain.Privileged || plain.NoNewPrivs || plain.ReadonlyRootfs ||
		plain.Seccomp.ProfileType != runtimeapi.SecurityProfile_RuntimeDefault || !slices.Equal(plain.SupplementalGroups, []int64{3, 4}) ||
		plain.SupplementalGroupsPolicy != runtimeapi.SupplementalGroupsPolicy_Strict || len(plain.MaskedPaths) == 0 {
		t.Errorf("plain: %+v", plain)
	}
	if own.RunAsUser.Value != 0 || own.RunAsGroup.Value != 2 || !own.Privileged || !own.NoNewPrivs || !own.ReadonlyRootfs ||
		own.Seccomp.ProfileType != runtimeapi.SecurityProfile_Unconfined ||
		own.Capabilities.AddCapabilities[0] != "NET_ADMIN" || own.Capabilities.DropCapabilities[0] != "ALL" {
		t.Errorf("own: %+v", own)
	}
	for _, context := range []*runtimeapi.LinuxContainerSecurityContext{plain, own} {
		// Zero would be the pod's PID namespace.
		if context.NamespaceOptions.Pid != runtimeapi.NamespaceMode_CONTAINER {
			t.Errorf("namespaces: %+v", context.NamespaceOptions)
		}
	}
	if sandbox := sandboxSecurity(pod); !sandbox.Privileged || sandbox.RunAsUser.Value != 1 {
		t.Errorf("sandbox: %+v", sandbox)
	}
	if unset := securityOf(&corev1.Pod{Spec: corev1.PodSpec{Containers: []corev1.Container{{}}}}, 0); unset.RunAsUser != nil ||
		unset.Seccomp.ProfileType != runtimeapi.SecurityProfile_Unconfined {
		t.Errorf("unset: %+v", unset)
	}
}

func TestContainerConfig(t *testing.T) {
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "web", Namespace: "default", UID: "uid"}}
	got := containerConfig(agent.ContainerSpec{
		Sandbox: agent.SandboxSpec{Pod: pod}, Container: &corev1.Container{Name: "main", Image: "busybox", TTY: true}, Attempt: 3,
		Image: agent.Image{ID: "sha256:1"}, Command: []string{"sh"}, Env: []corev1.EnvVar{{Name: "A", Value: "b"}},
		Mounts: []agent.Mount{{HostPath: "/h", ContainerPath: "relative", ReadOnly: true}},
	}, "/profiles")
	if got.Metadata.Name != "main" || got.Metadata.Attempt != 3 || got.Image.Image != "sha256:1" || got.LogPath != "main/3.log" || !got.Tty ||
		string(got.Envs[0].Value) != "b" || got.Mounts[0].ContainerPath != "/relative" || !got.Mounts[0].Readonly ||
		got.Labels["io.kubernetes.pod.uid"] != "uid" || got.Labels["io.kubernetes.container.name"] != "main" {
		t.Errorf("got %+v", got)
	}
}

func TestNetworkConfig(t *testing.T) {
	type networkRange struct{ Subnet, RangeStart, RangeEnd, Gateway string }
	for _, test := range []struct {
		pod, cell string
		want      networkRange
		route     string
	}{
		{"10.1.2.3", "10.1.2.9", networkRange{"10.1.2.0/24", "10.1.2.3", "10.1.2.3", "10.1.2.9"}, "0.0.0.0/0"},
		{"10.1.2.3", "127.0.0.1", networkRange{"10.1.2.0/24", "10.1.2.3", "10.1.2.3", "169.254.1.1"}, "0.0.0.0/0"},
		{"2001:db8::3", "10.1.2.9", networkRange{"2001:db8::/64", "2001:db8::3", "2001:db8::3", "fe80::ecee:eeff:feee:eeee"}, "::/0"},
	} {
		text, err := networkConfig(netip.MustParseAddr(test.pod), netip.MustParseAddr(test.cell))
		if err != nil {
			t.Fatal(err)
		}
		var got struct {
			Plugins []struct {
				Type string
				IPAM struct {
					Type   string
					Ranges [][]networkRange
					Routes []struct{ Dst string }
				}
			}
		}
		if err := json.Unmarshal(text, &got); err != nil {
			t.Fatal(err)
		}
		ipam := got.Plugins[0].IPAM
		if diff := cmp.Diff(test.want, ipam.Ranges[0][0]); diff != "" || ipam.Routes[0].Dst != test.route || got.Plugins[0].Type != "ptp" {
			t.Errorf("%s: %s%s", test.pod, diff, text)
		}
	}
	if _, err := networkConfig(netip.Addr{}, netip.Addr{}); err == nil {
		t.Error("a pod without address got a network")
	}
}

func TestRuntimesConfiguration(t *testing.T) {
	for text, want := range map[string]bool{
		`{"containerd":{"defaultRuntimeName":"runc","runtimes":{"runc":{"options":{"SystemdCgroup":true}}}}}`:  true,
		`{"containerd":{"defaultRuntimeName":"runc","runtimes":{"runc":{"options":{"SystemdCgroup":false}}}}}`: false,
		`{"containerd":{"defaultRuntimeName":"runc","runtimes":{"runc":{"options":null}}}}`:                    false,
		`{"containerd":5}`: false, ``: false,
	} {
		if usesSystemd(text) != want {
			t.Errorf("%s: want %v", text, want)
		}
	}
	if got := parseConfig(`{"sandboxImage":"registry.k8s.io/pause:3.6"}`).SandboxImage; got != "registry.k8s.io/pause:3.6" {
		t.Errorf("got %q", got)
	}
}

func TestPinnedSandbox(t *testing.T) {
	const dump = `version = 3
[plugins]
  [plugins.'io.containerd.cri.v1.images']
    snapshotter = 'overlayfs'

    [plugins.'io.containerd.cri.v1.images'.pinned_images]
      sandbox = 'registry.k8s.io/pause:3.10'

    [plugins.'io.containerd.cri.v1.images'.registry]
      sandbox = 'no'
`
	if got := pinnedSandbox(dump); got != "registry.k8s.io/pause:3.10" {
		t.Errorf("got %q", got)
	}
	if got := pinnedSandbox("sandbox = 'x'\n"); got != "" {
		t.Errorf("got %q", got)
	}
}
