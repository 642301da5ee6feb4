package cri

import (
	"os"

	corev1 "k8s.io/api/core/v1"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"kip.elotl.co/internal/agent/limits"
)

// resources are a container's cgroup values, as the kubelet gives them.
func resources(pod *corev1.Pod, container *corev1.Container, memoryCapacity int64) *runtimeapi.LinuxContainerResources {
	result := linuxResources(limits.Container(pod, container))
	result.OomScoreAdj = limits.OOMScore(pod, container, memoryCapacity)
	if unifiedCgroups(cgroupRoot) {
		// Who runs out of memory is killed with all its children.
		result.Unified = map[string]string{"memory.oom.group": "1"}
	}
	return result
}

func linuxResources(l limits.Limits) *runtimeapi.LinuxContainerResources {
	return &runtimeapi.LinuxContainerResources{
		CpuShares: l.CPUShares, CpuPeriod: limits.CPUPeriod, CpuQuota: l.CPUQuota, MemoryLimitInBytes: l.Memory,
	}
}

// sandboxResources are the pod's, for runtimes that need to know them before the
// first container.
func sandboxResources(pod *corev1.Pod) (together, overhead *runtimeapi.LinuxContainerResources) {
	own, over := limits.Sandbox(pod)
	if len(pod.Spec.Overhead) == 0 {
		return linuxResources(own), &runtimeapi.LinuxContainerResources{}
	}
	return linuxResources(own), linuxResources(over)
}

// cgroupRoot is where cgroups are mounted.
const cgroupRoot = "/sys/fs/cgroup"

// unifiedCgroups says whether cgroups are those of version 2.
func unifiedCgroups(root string) bool {
	_, err := os.Stat(root + "/cgroup.controllers")
	return err == nil
}
