package cri

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"kip.elotl.co/internal/agent"
)

// securityOf is the context of one of the pod's containers, from an image whose user is app.
func securityOf(pod *corev1.Pod, container int) *runtimeapi.LinuxContainerSecurityContext {
	return containerSecurity(agent.ContainerSpec{
		Sandbox: agent.SandboxSpec{Pod: pod}, Container: &pod.Spec.Containers[container], Image: agent.Image{Username: "app"},
	}, "/profiles")
}

func TestNamespaces(t *testing.T) {
	const own, pod, node = runtimeapi.NamespaceMode_CONTAINER, runtimeapi.NamespaceMode_POD, runtimeapi.NamespaceMode_NODE
	type modes struct{ Network, PID, IPC runtimeapi.NamespaceMode }
	for _, test := range []struct {
		spec corev1.PodSpec
		want modes
	}{
		{corev1.PodSpec{}, modes{pod, own, pod}},
		{corev1.PodSpec{ShareProcessNamespace: ptr(false)}, modes{pod, own, pod}},
		{corev1.PodSpec{ShareProcessNamespace: ptr(true)}, modes{pod, pod, pod}},
		{corev1.PodSpec{HostNetwork: true}, modes{node, own, pod}},
		{corev1.PodSpec{HostPID: true, HostIPC: true}, modes{pod, node, node}},
	} {
		got := namespaces(&corev1.Pod{Spec: test.spec})
		if diff := cmp.Diff(test.want, modes{got.Network, got.Pid, got.Ipc}); diff != "" {
			t.Errorf("%+v: %s", test.spec, diff)
		}
	}
}

func TestProfiles(t *testing.T) {
	pod := &corev1.Pod{Spec: corev1.PodSpec{
		SecurityContext: &corev1.PodSecurityContext{
			SeccompProfile:  &corev1.SeccompProfile{Type: corev1.SeccompProfileTypeLocalhost, LocalhostProfile: ptr("a/audit.json")},
			AppArmorProfile: &corev1.AppArmorProfile{Type: corev1.AppArmorProfileTypeLocalhost, LocalhostProfile: ptr("all")},
			SELinuxOptions:  &corev1.SELinuxOptions{Level: "s0"},
		},
		Containers: []corev1.Container{{Name: "plain"}, {Name: "own", SecurityContext: &corev1.SecurityContext{
			AppArmorProfile: &corev1.AppArmorProfile{Type: corev1.AppArmorProfileTypeUnconfined},
			SELinuxOptions:  &corev1.SELinuxOptions{Type: "t"},
			ProcMount:       ptr(corev1.UnmaskedProcMount),
		}}, {Name: "annotated"}},
	}}
	pod.Annotations = map[string]string{
		corev1.DeprecatedAppArmorBetaContainerAnnotationKeyPrefix + "annotated": "localhost/one",
		corev1.DeprecatedAppArmorBetaContainerAnnotationKeyPrefix + "own":       "runtime/default",
	}
	plain, own, annotated := securityOf(pod, 0), securityOf(pod, 1), securityOf(pod, 2)
	if s := plain.Seccomp; s.ProfileType != runtimeapi.SecurityProfile_Localhost || s.LocalhostRef != "/profiles/a/audit.json" {
		t.Errorf("seccomp: %+v", s)
	}
	if a := plain.Apparmor; a.ProfileType != runtimeapi.SecurityProfile_Localhost || a.LocalhostRef != "all" {
		t.Errorf("AppArmor of the pod: %+v", a)
	}
	if a := annotated.Apparmor; a.ProfileType != runtimeapi.SecurityProfile_Localhost || a.LocalhostRef != "one" {
		t.Errorf("AppArmor of the annotation: %+v", a)
	}
	if a := own.Apparmor; a.ProfileType != runtimeapi.SecurityProfile_Unconfined {
		t.Errorf("AppArmor of its own: %+v", a)
	}
	if plain.SelinuxOptions.Level != "s0" || own.SelinuxOptions.Type != "t" || own.SelinuxOptions.Level != "" {
		t.Errorf("SELinux: %+v, %+v", plain.SelinuxOptions, own.SelinuxOptions)
	}
	if len(own.MaskedPaths)+len(own.ReadonlyPaths) > 0 || len(plain.MaskedPaths) == 0 {
		t.Errorf("masked: %v, %v", own.MaskedPaths, plain.MaskedPaths)
	}
	if unset := securityOf(&corev1.Pod{Spec: corev1.PodSpec{Containers: []corev1.Container{{}}}}, 0); unset.Apparmor != nil {
		t.Errorf("AppArmor where none is named: %+v", unset.Apparmor)
	}
}

// TestMaskedCPUs: the counters of the CPUs that have some, and nothing that is not there.
func TestMaskedCPUs(t *testing.T) {
	cpus := t.TempDir()
	for _, dir := range []string{"cpu0/thermal_throttle", "cpu11/thermal_throttle", "cpu2", "cpufreq/thermal_throttle"} {
		if err := os.MkdirAll(filepath.Join(cpus, dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	masked := maskedPaths(cpus)
	want := []string{filepath.Join(cpus, "cpu0/thermal_throttle"), filepath.Join(cpus, "cpu11/thermal_throttle")}
	if diff := cmp.Diff(want, masked[len(maskedPaths(t.TempDir())):]); diff != "" {
		t.Error(diff)
	}
	plain := securityOf(&corev1.Pod{Spec: corev1.PodSpec{Containers: []corev1.Container{{}}}}, 0)
	if !slices.Equal(plain.MaskedPaths, maskedPaths(cpuDir)) {
		t.Errorf("masked: %v", plain.MaskedPaths)
	}
}

// TestGroupWithoutUser: runtimes refuse it, so the image's user comes with it.
func TestGroupWithoutUser(t *testing.T) {
	pod := &corev1.Pod{Spec: corev1.PodSpec{SecurityContext: &corev1.PodSecurityContext{RunAsGroup: ptr(int64(7))}, Containers: []corev1.Container{{}}}}
	if got := securityOf(pod, 0); got.RunAsUsername != "app" || got.RunAsUser != nil || got.RunAsGroup.GetValue() != 7 {
		t.Errorf("image with a name: %v", got)
	}
	for _, image := range []agent.Image{{}, {UID: ptr(int64(0))}, {UID: ptr(int64(9))}} {
		got := containerSecurity(agent.ContainerSpec{Sandbox: agent.SandboxSpec{Pod: pod}, Container: &pod.Spec.Containers[0], Image: image}, "")
		want := int64(0)
		if image.UID != nil {
			want = *image.UID
		}
		if got.RunAsUser == nil || got.RunAsUser.Value != want || got.RunAsUsername != "" {
			t.Errorf("image %+v: %v", image, got)
		}
	}
	if got := sandboxSecurity(pod); got.RunAsGroup != nil || got.RunAsUser != nil {
		t.Errorf("sandbox: %v", got)
	}
}
