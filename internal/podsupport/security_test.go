package podsupport_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"

	"kip.elotl.co/internal/podsupport"
)

func refusals(pod *corev1.Pod) []string {
	var got []string
	for _, err := range podsupport.Unsupported(pod, ours("1.6.20")) {
		got = append(got, err.Error())
	}
	slices.Sort(got)
	return got
}

func localSeccomp(path *string) *corev1.SeccompProfile {
	return &corev1.SeccompProfile{Type: corev1.SeccompProfileTypeLocalhost, LocalhostProfile: path}
}

func appArmor(kind corev1.AppArmorProfileType, name *string) *corev1.AppArmorProfile {
	return &corev1.AppArmorProfile{Type: kind, LocalhostProfile: name}
}

// TestSecurityIsSupported: each of these asks for something that runs as on a kubelet.
func TestSecurityIsSupported(t *testing.T) {
	for name, change := range map[string]func(*corev1.PodSpec){
		"the cell's network": func(s *corev1.PodSpec) {
			s.HostNetwork = true
			s.Containers[0].Ports = []corev1.ContainerPort{{ContainerPort: 80, HostPort: 80, HostIP: "10.0.0.1"}}
		},
		"the cell's processes": func(s *corev1.PodSpec) { s.HostPID, s.HostIPC = true, true },
		"shared processes":     func(s *corev1.PodSpec) { s.ShareProcessNamespace = ptr(true) },
		"sysctls": func(s *corev1.PodSpec) {
			for _, name := range []string{"kernel.shm_rmid_forced", "net.ipv4.ip_local_port_range", "net/ipv4/conf/eth0.1/forwarding",
				"net.core.somaxconn", "kernel.msgmax", "kernel.sem", "fs.mqueue.msg_max", "kernel.domainname"} {
				s.SecurityContext.Sysctls = append(s.SecurityContext.Sysctls, corev1.Sysctl{Name: name, Value: "1"})
			}
		},
		"sysctl of another namespace than the cell's": func(s *corev1.PodSpec) {
			s.HostNetwork = true
			s.Containers[0].Ports = nil
			s.SecurityContext.Sysctls = []corev1.Sysctl{{Name: "kernel.sem", Value: "1"}}
		},
		"seccomp of the cell's": func(s *corev1.PodSpec) {
			s.SecurityContext.SeccompProfile = localSeccomp(ptr("profiles/audit.json"))
			s.Containers[0].SecurityContext.SeccompProfile = localSeccomp(ptr("audit.json"))
		},
		"no AppArmor wanted": func(s *corev1.PodSpec) {
			s.SecurityContext.AppArmorProfile = appArmor(corev1.AppArmorProfileTypeUnconfined, nil)
		},
		"unmasked /proc": func(s *corev1.PodSpec) { s.Containers[0].SecurityContext.ProcMount = ptr(corev1.UnmaskedProcMount) },
		"for Windows": func(s *corev1.PodSpec) {
			s.SecurityContext.WindowsOptions = &corev1.WindowsSecurityContextOptions{RunAsUserName: ptr("Administrator"), HostProcess: ptr(false)}
		},
		"SELinux": func(s *corev1.PodSpec) {
			s.SecurityContext.SELinuxOptions = &corev1.SELinuxOptions{User: "u", Role: "r", Type: "t", Level: "s0:c1"}
			s.SecurityContext.SELinuxChangePolicy = ptr(corev1.SELinuxChangePolicyRecursive)
		},
	} {
		pod := defaulted()
		change(&pod.Spec)
		if got := refusals(pod); len(got) > 0 {
			t.Errorf("%s: %q", name, got)
		}
	}
}

func TestSecurityRefusals(t *testing.T) {
	const noAppArmor = "Forbidden: Cannot enforce AppArmor: AppArmor is not enabled on the host"
	for name, test := range map[string]struct {
		change func(*corev1.Pod)
		want   []string
	}{
		"host port": {func(p *corev1.Pod) { p.Spec.Containers[0].Ports[0].HostPort = 80 }, []string{
			"spec.containers[0].ports[0].hostPort: Forbidden: the pod has an address of its own: its containerPort is reached there; or set hostNetwork"}},
		"other host port": {func(p *corev1.Pod) {
			p.Spec.HostNetwork = true
			p.Spec.Containers[0].Ports[0].HostPort = 8080
		}, []string{"spec.containers[0].ports[0].hostPort: Invalid value: 8080: must be the containerPort with hostNetwork"}},
		"two ways to see processes": {func(p *corev1.Pod) { p.Spec.HostPID, p.Spec.ShareProcessNamespace = true, ptr(true) }, []string{
			"spec.shareProcessNamespace: Invalid value: true: may not be set together with hostPID"}},
		"the kernel's sysctl": {sysctls("vm.max_map_count"), []string{
			`spec.securityContext.sysctls[0].name: Forbidden: SysctlForbidden: forbidden sysctl: "vm.max_map_count" not allowlisted`}},
		"user namespaces' sysctl": {sysctls("user.max_user_namespaces"), []string{
			`spec.securityContext.sysctls[0].name: Forbidden: SysctlForbidden: forbidden sysctl: "user.max_user_namespaces" not allowlisted`}},
		"sysctl of the cell's network": {func(p *corev1.Pod) {
			p.Spec.HostNetwork, p.Spec.HostIPC = true, true
			sysctls("net.core.somaxconn", "kernel/sem")(p)
		}, []string{
			`spec.securityContext.sysctls[0].name: Forbidden: SysctlForbidden: forbidden sysctl: "net.core.somaxconn" not allowed with host Net enabled`,
			`spec.securityContext.sysctls[1].name: Forbidden: SysctlForbidden: forbidden sysctl: "kernel.sem" not allowed with host IPC enabled`,
		}},
		"seccomp without a path":    {seccomp(nil), []string{"spec.securityContext.seccompProfile.localhostProfile: Required value: must be set for type Localhost"}},
		"seccomp from elsewhere":    {seccomp(ptr("../a.json")), []string{`spec.securityContext.seccompProfile.localhostProfile: Invalid value: "../a.json": must be a path below the cell's directory of seccomp profiles, without ..`}},
		"seccomp with a rooted one": {seccomp(ptr("/a.json")), []string{`spec.securityContext.seccompProfile.localhostProfile: Invalid value: "/a.json": must be a path below the cell's directory of seccomp profiles, without ..`}},
		"AppArmor": {func(p *corev1.Pod) {
			p.Spec.SecurityContext.AppArmorProfile = appArmor(corev1.AppArmorProfileTypeRuntimeDefault, nil)
			p.Spec.Containers[0].SecurityContext.AppArmorProfile = appArmor(corev1.AppArmorProfileTypeLocalhost, ptr("web"))
		}, []string{"spec.containers[0].securityContext.appArmorProfile: " + noAppArmor, "spec.securityContext.appArmorProfile: " + noAppArmor}},
		"AppArmor of old": {annotated("runtime/default"), []string{"metadata.annotations[container.apparmor.security.beta.kubernetes.io/main]: " + noAppArmor}},
		"AppArmor of no kind": {annotated("localhost/"), []string{
			`metadata.annotations[container.apparmor.security.beta.kubernetes.io/main]: Invalid value: "localhost/": must be runtime/default, unconfined or localhost/<profile>`}},
		"no AppArmor of old": {annotated("unconfined"), nil},
		"kind of /proc": {func(p *corev1.Pod) { p.Spec.Containers[0].SecurityContext.ProcMount = ptr(corev1.ProcMountType("Odd")) },
			[]string{`spec.containers[0].securityContext.procMount: Unsupported value: "Odd": supported values: "Default", "Unmasked"`}},
		"a process of Windows": {func(p *corev1.Pod) {
			p.Spec.SecurityContext.WindowsOptions = &corev1.WindowsSecurityContextOptions{HostProcess: ptr(true)}
		}, []string{"spec.securityContext.windowsOptions.hostProcess: Forbidden: agent kip test cannot honour this field"}},
	} {
		pod := defaulted()
		test.change(pod)
		if diff := cmp.Diff(test.want, refusals(pod)); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}

func sysctls(names ...string) func(*corev1.Pod) {
	return func(p *corev1.Pod) {
		p.Spec.Containers[0].Ports = nil
		for _, name := range names {
			p.Spec.SecurityContext.Sysctls = append(p.Spec.SecurityContext.Sysctls, corev1.Sysctl{Name: name, Value: "1"})
		}
	}
}

func seccomp(path *string) func(*corev1.Pod) {
	return func(p *corev1.Pod) { p.Spec.SecurityContext.SeccompProfile = localSeccomp(path) }
}

func annotated(profile string) func(*corev1.Pod) {
	return func(p *corev1.Pod) {
		p.Annotations = map[string]string{corev1.DeprecatedAppArmorBetaContainerAnnotationKeyPrefix + "main": profile}
	}
}

// TestAppArmorOfTheCell: where the kernel has it, and before that is known, it may be asked for.
func TestAppArmorOfTheCell(t *testing.T) {
	pod := defaulted()
	pod.Spec.SecurityContext.AppArmorProfile = appArmor(corev1.AppArmorProfileTypeLocalhost, ptr("web"))
	annotated("localhost/web")(pod)
	with, unknown := ours("1.6.20"), ours("")
	with.AppArmor = true
	if errs := podsupport.Unsupported(pod, with); len(errs) > 0 {
		t.Errorf("refused where there is AppArmor: %v", errs)
	}
	if errs := podsupport.Unsupported(pod, unknown); len(errs) > 0 {
		t.Errorf("refused before the cell is up: %v", errs)
	}
	pod.Spec.SecurityContext.AppArmorProfile.LocalhostProfile = ptr(" ")
	if errs := podsupport.Unsupported(pod, with); len(errs) != 1 || !strings.HasSuffix(errs[0].Field, "localhostProfile") {
		t.Errorf("an empty name: %v", errs)
	}
}

// FuzzSysctl: whatever is allowed names a file below /proc/sys.
func FuzzSysctl(f *testing.F) {
	for _, name := range []string{"net.core.somaxconn", "net/../../etc", "net..", "kernel.sem", "net.ipv4.conf.*"} {
		f.Add(name)
	}
	f.Fuzz(func(t *testing.T, name string) {
		pod := defaulted()
		sysctls(name)(pod)
		if len(refusals(pod)) > 0 {
			return
		}
		if strings.ContainsAny(name, "* \x00\n=") || strings.Contains(name, "..") || strings.HasPrefix(name, "/") {
			t.Errorf("allowed: %q", name)
		}
	})
}
