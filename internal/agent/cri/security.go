package cri

import (
	"cmp"
	"path/filepath"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/component-helpers/node/util/sysctl"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"kip.elotl.co/internal/agent"
)

// cpuDir is where the kernel shows the CPUs.
const cpuDir = "/sys/devices/system/cpu"

// What containers that are not privileged see nothing of, and may only read:
// the kubelet's lists. How often each of the CPUs in cpus was too hot tells what
// others do on the machine.
func maskedPaths(cpus string) []string {
	masked := []string{
		"/proc/asound", "/proc/acpi", "/proc/interrupts", "/proc/kcore", "/proc/keys", "/proc/latency_stats",
		"/proc/timer_list", "/proc/timer_stats", "/proc/sched_debug", "/proc/scsi", "/sys/firmware",
		"/sys/devices/virtual/powercap",
	}
	hot, _ := filepath.Glob(filepath.Join(cpus, "cpu[0-9]*", "thermal_throttle")) // it fails for bad patterns only
	return append(masked, hot...)
}

func readonlyPaths() []string {
	return []string{"/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"}
}

// namespaces are the kubelet's: what is not shared with the cell is the pod's, but
// for process IDs, which each container has to itself.
func namespaces(pod *corev1.Pod) *runtimeapi.NamespaceOption {
	options := &runtimeapi.NamespaceOption{
		Network: runtimeapi.NamespaceMode_POD,
		Ipc:     runtimeapi.NamespaceMode_POD,
		Pid:     runtimeapi.NamespaceMode_CONTAINER,
	}
	if pod.Spec.HostNetwork {
		options.Network = runtimeapi.NamespaceMode_NODE
	}
	if pod.Spec.HostIPC {
		options.Ipc = runtimeapi.NamespaceMode_NODE
	}
	switch {
	case pod.Spec.HostPID:
		options.Pid = runtimeapi.NamespaceMode_NODE
	case isTrue(pod.Spec.ShareProcessNamespace):
		options.Pid = runtimeapi.NamespaceMode_POD
	}
	return options
}

func sandboxSecurity(pod *corev1.Pod) *runtimeapi.LinuxSandboxSecurityContext {
	context := &runtimeapi.LinuxSandboxSecurityContext{
		NamespaceOptions: namespaces(pod),
		Seccomp:          &runtimeapi.SecurityProfile{ProfileType: runtimeapi.SecurityProfile_RuntimeDefault},
	}
	for _, container := range slices.Concat(pod.Spec.InitContainers, pod.Spec.Containers) {
		if own := container.SecurityContext; own != nil && isTrue(own.Privileged) {
			context.Privileged = true
		}
	}
	if own := pod.Spec.SecurityContext; own != nil {
		context.RunAsUser = int64Value(own.RunAsUser)
		if own.RunAsUser != nil { // runtimes know no group without a user
			context.RunAsGroup = int64Value(own.RunAsGroup)
		}
		context.SupplementalGroups = groups(own)
		context.SupplementalGroupsPolicy = groupsPolicy(own)
		context.SelinuxOptions = seLinux(own.SELinuxOptions)
	}
	return context
}

// sysctls are the pod's by their names with dots.
func sysctls(pod *corev1.Pod) map[string]string {
	if pod.Spec.SecurityContext == nil {
		return nil
	}
	set := map[string]string{}
	for _, one := range pod.Spec.SecurityContext.Sysctls {
		set[sysctl.NormalizeName(one.Name)] = one.Value
	}
	return set
}

// containerSecurity takes the container's own values before the pod's.
// The cell's seccomp profiles are below seccompDir.
func containerSecurity(spec agent.ContainerSpec, seccompDir string) *runtimeapi.LinuxContainerSecurityContext {
	pod, container := spec.Sandbox.Pod, spec.Container
	context := &runtimeapi.LinuxContainerSecurityContext{
		NamespaceOptions: namespaces(pod),
		MaskedPaths:      maskedPaths(cpuDir),
		ReadonlyPaths:    readonlyPaths(),
		Apparmor:         appArmor(appArmorProfile(pod, container)),
	}
	var seccomp *corev1.SeccompProfile
	if own := pod.Spec.SecurityContext; own != nil {
		context.RunAsUser, context.RunAsGroup = int64Value(own.RunAsUser), int64Value(own.RunAsGroup)
		context.SupplementalGroups = groups(own)
		context.SupplementalGroupsPolicy = groupsPolicy(own)
		context.SelinuxOptions = seLinux(own.SELinuxOptions)
		seccomp = own.SeccompProfile
	}
	if own := container.SecurityContext; own != nil {
		ownSecurity(context, own)
		seccomp = cmp.Or(own.SeccompProfile, seccomp)
	}
	context.Seccomp = seccompProfile(seccomp, seccompDir)
	if context.RunAsUser == nil && context.RunAsGroup != nil {
		// A group needs a user: that of the image.
		context.RunAsUser, context.RunAsUsername = int64Value(spec.Image.UID), spec.Image.Username
		if spec.Image.UID == nil && spec.Image.Username == "" {
			context.RunAsUser = &runtimeapi.Int64Value{}
		}
	}
	return context
}

// ownSecurity takes what the container itself says.
func ownSecurity(context *runtimeapi.LinuxContainerSecurityContext, own *corev1.SecurityContext) {
	if own.RunAsUser != nil {
		context.RunAsUser = int64Value(own.RunAsUser)
	}
	if own.RunAsGroup != nil {
		context.RunAsGroup = int64Value(own.RunAsGroup)
	}
	if own.SELinuxOptions != nil {
		context.SelinuxOptions = seLinux(own.SELinuxOptions)
	}
	if own.ProcMount != nil && *own.ProcMount == corev1.UnmaskedProcMount {
		context.MaskedPaths, context.ReadonlyPaths = []string{}, []string{}
	}
	context.Privileged = isTrue(own.Privileged)
	context.ReadonlyRootfs = isTrue(own.ReadOnlyRootFilesystem)
	context.NoNewPrivs = own.AllowPrivilegeEscalation != nil && !*own.AllowPrivilegeEscalation
	context.Capabilities = capabilities(own.Capabilities)
}

// groups are those of the pod's processes beside the user's own: what belongs to
// the volumes' group is theirs.
func groups(context *corev1.PodSecurityContext) []int64 {
	if context.FSGroup == nil {
		return context.SupplementalGroups
	}
	return append(slices.Clone(context.SupplementalGroups), *context.FSGroup)
}

func groupsPolicy(context *corev1.PodSecurityContext) runtimeapi.SupplementalGroupsPolicy {
	if policy := context.SupplementalGroupsPolicy; policy != nil && *policy == corev1.SupplementalGroupsPolicyStrict {
		return runtimeapi.SupplementalGroupsPolicy_Strict
	}
	return runtimeapi.SupplementalGroupsPolicy_Merge
}

func seccompProfile(profile *corev1.SeccompProfile, dir string) *runtimeapi.SecurityProfile {
	if profile == nil {
		return &runtimeapi.SecurityProfile{ProfileType: runtimeapi.SecurityProfile_Unconfined}
	}
	switch profile.Type {
	case corev1.SeccompProfileTypeRuntimeDefault:
		return &runtimeapi.SecurityProfile{ProfileType: runtimeapi.SecurityProfile_RuntimeDefault}
	case corev1.SeccompProfileTypeLocalhost:
		return &runtimeapi.SecurityProfile{ProfileType: runtimeapi.SecurityProfile_Localhost,
			LocalhostRef: filepath.Join(dir, stringValue(profile.LocalhostProfile))}
	}
	return &runtimeapi.SecurityProfile{ProfileType: runtimeapi.SecurityProfile_Unconfined}
}

// seLinux is the label for the runtime, which leaves it where there is no SELinux.
func seLinux(options *corev1.SELinuxOptions) *runtimeapi.SELinuxOption {
	if options == nil {
		return nil
	}
	return &runtimeapi.SELinuxOption{User: options.User, Role: options.Role, Type: options.Type, Level: options.Level}
}

func capabilities(own *corev1.Capabilities) *runtimeapi.Capability {
	if own == nil {
		return nil
	}
	var result runtimeapi.Capability
	for _, name := range own.Add {
		result.AddCapabilities = append(result.AddCapabilities, string(name))
	}
	for _, name := range own.Drop {
		result.DropCapabilities = append(result.DropCapabilities, string(name))
	}
	return &result
}

func int64Value(value *int64) *runtimeapi.Int64Value {
	if value == nil {
		return nil
	}
	return &runtimeapi.Int64Value{Value: *value}
}

func isTrue(value *bool) bool { return value != nil && *value }

func stringValue(value *string) string {
	if value == nil {
		return ""
	}
	return *value
}
