package cri

import (
	"slices"

	corev1 "k8s.io/api/core/v1"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// What containers that are not privileged see nothing of, and may only read:
// the kubelet's lists.
func maskedPaths() []string {
	return []string{
		"/proc/asound", "/proc/acpi", "/proc/interrupts", "/proc/kcore", "/proc/keys", "/proc/latency_stats",
		"/proc/timer_list", "/proc/timer_stats", "/proc/sched_debug", "/proc/scsi", "/sys/firmware",
		"/sys/devices/virtual/powercap",
	}
}

func readonlyPaths() []string {
	return []string{"/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"}
}

// namespaces: network and IPC are the pod's, each container has its own PIDs.
func namespaces() *runtimeapi.NamespaceOption {
	return &runtimeapi.NamespaceOption{
		Network: runtimeapi.NamespaceMode_POD,
		Ipc:     runtimeapi.NamespaceMode_POD,
		Pid:     runtimeapi.NamespaceMode_CONTAINER,
	}
}

func sandboxSecurity(pod *corev1.Pod) *runtimeapi.LinuxSandboxSecurityContext {
	context := &runtimeapi.LinuxSandboxSecurityContext{
		NamespaceOptions: namespaces(),
		Seccomp:          &runtimeapi.SecurityProfile{ProfileType: runtimeapi.SecurityProfile_RuntimeDefault},
	}
	for _, container := range slices.Concat(pod.Spec.InitContainers, pod.Spec.Containers) {
		if own := container.SecurityContext; own != nil && isTrue(own.Privileged) {
			context.Privileged = true
		}
	}
	if own := pod.Spec.SecurityContext; own != nil {
		context.RunAsUser, context.RunAsGroup = int64Value(own.RunAsUser), int64Value(own.RunAsGroup)
		context.SupplementalGroups = groups(own)
		context.SupplementalGroupsPolicy = groupsPolicy(own)
	}
	return context
}

// containerSecurity takes the container's own values before the pod's.
func containerSecurity(pod *corev1.Pod, container *corev1.Container) *runtimeapi.LinuxContainerSecurityContext {
	context := &runtimeapi.LinuxContainerSecurityContext{
		NamespaceOptions: namespaces(),
		MaskedPaths:      maskedPaths(),
		ReadonlyPaths:    readonlyPaths(),
	}
	var seccomp *corev1.SeccompProfile
	if own := pod.Spec.SecurityContext; own != nil {
		context.RunAsUser, context.RunAsGroup = int64Value(own.RunAsUser), int64Value(own.RunAsGroup)
		context.SupplementalGroups = groups(own)
		context.SupplementalGroupsPolicy = groupsPolicy(own)
		seccomp = own.SeccompProfile
	}
	if own := container.SecurityContext; own != nil {
		if own.RunAsUser != nil {
			context.RunAsUser = int64Value(own.RunAsUser)
		}
		if own.RunAsGroup != nil {
			context.RunAsGroup = int64Value(own.RunAsGroup)
		}
		if own.SeccompProfile != nil {
			seccomp = own.SeccompProfile
		}
		context.Privileged = isTrue(own.Privileged)
		context.ReadonlyRootfs = isTrue(own.ReadOnlyRootFilesystem)
		context.NoNewPrivs = own.AllowPrivilegeEscalation != nil && !*own.AllowPrivilegeEscalation
		context.Capabilities = capabilities(own.Capabilities)
	}
	context.Seccomp = seccompProfile(seccomp)
	return context
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

func seccompProfile(profile *corev1.SeccompProfile) *runtimeapi.SecurityProfile {
	if profile != nil && profile.Type == corev1.SeccompProfileTypeRuntimeDefault {
		return &runtimeapi.SecurityProfile{ProfileType: runtimeapi.SecurityProfile_RuntimeDefault}
	}
	return &runtimeapi.SecurityProfile{ProfileType: runtimeapi.SecurityProfile_Unconfined}
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
