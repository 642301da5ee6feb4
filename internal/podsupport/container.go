package podsupport

import (
	"maps"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

func (c *checker) containers(spec *corev1.PodSpec, path *field.Path) {
	for i := range spec.InitContainers {
		container := &spec.InitContainers[i]
		c.restarts(container, path.Child("initContainers").Index(i))
		c.container(container, path.Child("initContainers").Index(i))
	}
	for i := range spec.Containers {
		c.restarts(&spec.Containers[i], path.Child("containers").Index(i))
		c.container(&spec.Containers[i], path.Child("containers").Index(i))
	}
	for i := range spec.EphemeralContainers {
		container, path := &spec.EphemeralContainers[i], path.Child("ephemeralContainers").Index(i)
		c.container((*corev1.Container)(&container.EphemeralContainerCommon), path)
		container.EphemeralContainerCommon, container.TargetContainerName = corev1.EphemeralContainerCommon{}, ""
		c.leftovers(container, path)
	}
	spec.InitContainers, spec.Containers, spec.EphemeralContainers = nil, nil, nil
}

func (c *checker) container(container *corev1.Container, path *field.Path) {
	container.Name, container.Image = "", ""
	container.Command, container.Args, container.WorkingDir = nil, nil, ""
	container.Stdin, container.StdinOnce, container.TTY = false, false, false
	// What a resize would do; the agent says of each that it is infeasible.
	container.ResizePolicy = nil
	container.TerminationMessagePath = ""
	oneOf(c, path.Child("terminationMessagePolicy"), take(&container.TerminationMessagePolicy),
		"", corev1.TerminationMessageReadFile, corev1.TerminationMessageFallbackToLogsOnError)
	oneOf(c, path.Child("imagePullPolicy"), take(&container.ImagePullPolicy),
		"", corev1.PullAlways, corev1.PullIfNotPresent, corev1.PullNever)
	c.ports(take(&container.Ports), path.Child("ports"))
	c.env(take(&container.Env), path.Child("env"))
	c.envFrom(take(&container.EnvFrom), path.Child("envFrom"))
	c.resources(take(&container.Resources), path.Child("resources"))
	c.mounts(take(&container.VolumeMounts), path.Child("volumeMounts"))
	c.security(take(&container.SecurityContext), path.Child("securityContext"))
	c.lifecycle(take(&container.Lifecycle), path.Child("lifecycle"))
	c.probe(take(&container.StartupProbe), path.Child("startupProbe"))
	c.probe(take(&container.LivenessProbe), path.Child("livenessProbe"))
	c.probe(take(&container.ReadinessProbe), path.Child("readinessProbe"))
	c.leftovers(container, path)
}

// resources allows what has a cgroup value, and local storage: who uses more of
// that than its limit is evicted.
func (c *checker) resources(resources corev1.ResourceRequirements, path *field.Path) {
	for _, name := range slices.Sorted(maps.Keys(resources.Limits)) {
		oneOf(c, path.Child("limits").Key(string(name)), name,
			corev1.ResourceCPU, corev1.ResourceMemory, corev1.ResourceEphemeralStorage, ResourceGPU, ResourceNeuron)
	}
	for _, name := range slices.Sorted(maps.Keys(resources.Requests)) {
		oneOf(c, path.Child("requests").Key(string(name)), name,
			corev1.ResourceCPU, corev1.ResourceMemory, corev1.ResourceEphemeralStorage, ResourceGPU, ResourceNeuron)
	}
	resources.Limits, resources.Requests = nil, nil
	c.leftovers(&resources, path)
}
