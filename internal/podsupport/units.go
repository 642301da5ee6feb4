package podsupport

import (
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"kip.elotl.co/internal/itzo"
)

// unitChecker allows what an agent of the first Kip does with units as a
// kubelet would with the pod that they are made of. What it does otherwise says
// itzo-protocol.md, mostly in §17; each refusal names what would go wrong.
type unitChecker struct {
	*checker
	generation itzo.Generation
	spec       *corev1.PodSpec // as it was
}

// unsupportedUnits names every field of the pod that an agent of that
// generation would not honour.
func unsupportedUnits(pod *corev1.Pod, agent itzo.Info) field.ErrorList {
	c := &unitChecker{checker: &checker{agent: agent}, generation: agent.Generation(), spec: &pod.Spec}
	path, spec := field.NewPath("spec"), pod.Spec.DeepCopy()
	othersBusiness(spec)
	if len(take(&spec.InitContainers)) > 0 {
		c.refuse(path.Child("initContainers"), c.whyNoInit())
	}
	c.pod(spec, path)
	c.dns(spec, path)
	c.podSecurity(spec, path)
	c.volumes(spec, path)
	for i := range spec.Containers {
		c.container(&spec.Containers[i], path.Child("containers").Index(i))
	}
	spec.Containers = nil
	c.leftovers(spec, path)
	c.annotations(pod, field.NewPath("metadata", "annotations"))
	return c.errs
}

func (c *unitChecker) refuse(path *field.Path, why string) {
	c.add(field.Forbidden(path, "agent "+c.agent.Agent+" "+c.agent.Version+" "+why))
}

func (c *unitChecker) whyNoInit() string {
	if c.generation == itzo.Generation12 {
		return "runs init containers as root on the cell itself"
	}
	return "loses exit codes, and goes on after an init container that failed"
}

func (c *unitChecker) pod(spec *corev1.PodSpec, path *field.Path) {
	oneOf(c.checker, path.Child("restartPolicy"), take(&spec.RestartPolicy),
		"", corev1.RestartPolicyAlways, corev1.RestartPolicyOnFailure, corev1.RestartPolicyNever)
	spec.TerminationGracePeriodSeconds = nil
	// They come as a file of the operator's.
	spec.Hostname, spec.Subdomain, spec.HostAliases = "", "", nil
	forget(&spec.ShareProcessNamespace, false)
	forget(&spec.SetHostnameAsFQDN, false)
	forget(&spec.HostUsers, true)
	if spec.OS != nil && spec.OS.Name == corev1.Linux {
		spec.OS = nil
	}
}

func (c *unitChecker) dns(spec *corev1.PodSpec, path *field.Path) {
	policy := take(&spec.DNSPolicy)
	oneOf(c.checker, path.Child("dnsPolicy"), policy, "", corev1.DNSDefault,
		corev1.DNSClusterFirst, corev1.DNSClusterFirstWithHostNet, corev1.DNSNone)
	if take(&spec.DNSConfig) != nil && policy == corev1.DNSDefault {
		c.refuse(path.Child("dnsConfig"), "cannot add to the cell's own resolv.conf, as dnsPolicy Default wants it")
	}
}

func (c *unitChecker) podSecurity(spec *corev1.PodSpec, path *field.Path) {
	context := take(&spec.SecurityContext)
	if context == nil {
		return
	}
	path = path.Child("securityContext")
	context.RunAsUser, context.RunAsGroup, context.SupplementalGroups = nil, nil, nil
	forget(&context.RunAsNonRoot, false)
	if context.RunAsNonRoot != nil && !slices.ContainsFunc(spec.Containers, func(container corev1.Container) bool {
		own := container.SecurityContext
		return (own == nil || own.RunAsNonRoot == nil) && !nonRoot(c.spec, &container)
	}) {
		context.RunAsNonRoot = nil
	}
	forget(&context.SupplementalGroupsPolicy, corev1.SupplementalGroupsPolicyMerge)
	c.sysctls(take(&context.Sysctls), c.spec, path.Child("sysctls"))
	context.SeccompProfile = unlessUnconfined(context.SeccompProfile)
	context.AppArmorProfile = unlessNoArmor(context.AppArmorProfile)
	c.leftovers(context, path)
}

// userOf is the user that the pod gives a container; nil: the image's.
func userOf(spec *corev1.PodSpec, container *corev1.Container) *int64 {
	if own := container.SecurityContext; own != nil && own.RunAsUser != nil {
		return own.RunAsUser
	}
	if pods := spec.SecurityContext; pods != nil {
		return pods.RunAsUser
	}
	return nil
}

// nonRoot says whether the pod has a container run as another user than root.
func nonRoot(spec *corev1.PodSpec, container *corev1.Container) bool {
	user := userOf(spec, container)
	return user != nil && *user != 0
}

func unlessUnconfined(profile *corev1.SeccompProfile) *corev1.SeccompProfile {
	if profile != nil && *profile == (corev1.SeccompProfile{Type: corev1.SeccompProfileTypeUnconfined}) {
		return nil
	}
	return profile
}

func unlessNoArmor(profile *corev1.AppArmorProfile) *corev1.AppArmorProfile {
	if profile != nil && *profile == (corev1.AppArmorProfile{Type: corev1.AppArmorProfileTypeUnconfined}) {
		return nil
	}
	return profile
}

// annotations refuses the one that stood in the place of appArmorProfile.
func (c *unitChecker) annotations(pod *corev1.Pod, path *field.Path) {
	for i := range pod.Spec.Containers {
		key := corev1.DeprecatedAppArmorBetaContainerAnnotationKeyPrefix + pod.Spec.Containers[i].Name
		if value, set := pod.Annotations[key]; set && value != corev1.DeprecatedAppArmorBetaProfileNameUnconfined {
			c.refuse(path.Key(key), "knows no AppArmor")
		}
	}
}
