// Package podsupport knows which pods an agent of ours can run as they are
// written. Both ends use it: the operator before it dispatches, the agent
// before it accepts, so that they agree.
//
// It is an allow-list. Every field that is understood is taken out of a copy
// of the spec; whatever is left then is refused by its path. A field that
// nobody has thought of is therefore refused, never ignored.
package podsupport

import (
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"kip.elotl.co/internal/itzo"
)

// Unsupported names every field of the pod's spec that the agent would not
// honour. An empty list means that the pod can run there. The paths begin with
// "spec"; no value of the environment is in the messages.
func Unsupported(pod *corev1.Pod, agent itzo.Info) field.ErrorList {
	if agent.Generation() != "" {
		return unsupportedUnits(pod, agent)
	}
	path := field.NewPath("spec")
	if !agent.Has(itzo.FeaturePod) {
		return field.ErrorList{field.Forbidden(path, "this agent does not take whole pods")}
	}
	c := &checker{agent: agent, hostNetwork: pod.Spec.HostNetwork}
	spec := pod.Spec.DeepCopy()
	othersBusiness(spec)
	c.appArmorAnnotations(pod.Annotations, field.NewPath("metadata", "annotations"))
	c.pod(spec, path)
	c.dns(spec, path)
	c.podSecurity(spec, path)
	c.namespaces(spec, path)
	c.volumes(spec, path)
	c.containers(spec, path)
	c.leftovers(spec, path)
	return c.errs
}

type checker struct {
	agent       itzo.Info
	hostNetwork bool
	errs        field.ErrorList
}

func (c *checker) add(err *field.Error) {
	c.errs = append(c.errs, err)
}

// othersBusiness takes out what is read by the scheduler, the admission chain
// or the operator, and asks nothing of an agent.
func othersBusiness(spec *corev1.PodSpec) {
	spec.NodeName = ""
	spec.NodeSelector = nil
	spec.Affinity = nil
	spec.Tolerations = nil
	spec.TopologySpreadConstraints = nil
	spec.SchedulerName = ""
	spec.SchedulingGates = nil
	spec.SchedulingGroup = nil
	spec.PriorityClassName = ""
	spec.Priority = nil
	spec.PreemptionPolicy = nil
	spec.RuntimeClassName = nil
	spec.Overhead = nil
	// Tokens arrive as the package of a projected volume.
	spec.ServiceAccountName = ""
	spec.DeprecatedServiceAccount = ""
	spec.AutomountServiceAccountToken = nil
	// The operator resolves them to PodParameters.Credentials.
	spec.ImagePullSecrets = nil
	// The operator makes the pod unready for them: they are others' conditions.
	spec.ReadinessGates = nil
	// The operator sends the services' variables.
	spec.EnableServiceLinks = nil
}

func (c *checker) pod(spec *corev1.PodSpec, path *field.Path) {
	oneOf(c, path.Child("restartPolicy"), take(&spec.RestartPolicy),
		"", corev1.RestartPolicyAlways, corev1.RestartPolicyOnFailure, corev1.RestartPolicyNever)
	spec.TerminationGracePeriodSeconds = nil
	spec.ActiveDeadlineSeconds = nil
	spec.Hostname = ""
	spec.Subdomain = ""
	for i := range spec.HostAliases {
		alias := &spec.HostAliases[i]
		alias.IP, alias.Hostnames = "", nil
		c.leftovers(alias, path.Child("hostAliases").Index(i))
	}
	spec.HostAliases = nil
	if own := take(&spec.Resources); own != nil {
		c.resources(*own, path.Child("resources"))
	}
	spec.SetHostnameAsFQDN, spec.HostnameOverride = nil, nil
	forget(&spec.HostUsers, true)
	if spec.OS != nil && spec.OS.Name == corev1.Linux {
		spec.OS = nil
	}
}

func (c *checker) dns(spec *corev1.PodSpec, path *field.Path) {
	oneOf(c, path.Child("dnsPolicy"), take(&spec.DNSPolicy), "", corev1.DNSDefault,
		corev1.DNSClusterFirst, corev1.DNSClusterFirstWithHostNet, corev1.DNSNone)
	if config := take(&spec.DNSConfig); config != nil {
		config.Nameservers, config.Searches, config.Options = nil, nil, nil
		c.leftovers(config, path.Child("dnsConfig"))
	}
}
