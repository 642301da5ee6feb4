package podsupport

import (
	"maps"
	"path/filepath"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

func (c *checker) podSecurity(spec *corev1.PodSpec, path *field.Path) {
	context := take(&spec.SecurityContext)
	if context == nil {
		return
	}
	path = path.Child("securityContext")
	context.RunAsUser, context.RunAsGroup, context.RunAsNonRoot = nil, nil, nil
	context.SupplementalGroups, context.FSGroup = nil, nil
	// Every volume that fsGroup is about is new to its pod.
	forget(&context.FSGroupChangePolicy, corev1.FSGroupChangeAlways)
	forget(&context.FSGroupChangePolicy, corev1.FSGroupChangeOnRootMismatch)
	// It says how volumes are labelled, where there are labels.
	forget(&context.SELinuxChangePolicy, corev1.SELinuxChangePolicyMountOption)
	forget(&context.SELinuxChangePolicy, corev1.SELinuxChangePolicyRecursive)
	if policy := take(&context.SupplementalGroupsPolicy); policy != nil {
		allowed := []corev1.SupplementalGroupsPolicy{corev1.SupplementalGroupsPolicyMerge}
		// Older runtimes ignore it without a word.
		if !c.booted() || c.runtimeAtLeast(2, 0) {
			allowed = append(allowed, corev1.SupplementalGroupsPolicyStrict)
		}
		oneOf(c, path.Child("supplementalGroupsPolicy"), *policy, allowed...)
	}
	c.sysctls(take(&context.Sysctls), spec, path.Child("sysctls"))
	c.confinement(confinement{
		take(&context.SeccompProfile), take(&context.AppArmorProfile), take(&context.SELinuxOptions), take(&context.WindowsOptions),
	}, path)
	c.leftovers(context, path)
}

func (c *checker) security(context *corev1.SecurityContext, path *field.Path) {
	if context == nil {
		return
	}
	context.RunAsUser, context.RunAsGroup, context.RunAsNonRoot = nil, nil, nil
	context.Privileged = nil
	context.ReadOnlyRootFilesystem = nil
	context.AllowPrivilegeEscalation = nil
	if mount := take(&context.ProcMount); mount != nil {
		oneOf(c, path.Child("procMount"), *mount, corev1.DefaultProcMount, corev1.UnmaskedProcMount)
	}
	if capabilities := take(&context.Capabilities); capabilities != nil {
		capabilities.Add, capabilities.Drop = nil, nil
		c.leftovers(capabilities, path.Child("capabilities"))
	}
	c.confinement(confinement{
		take(&context.SeccompProfile), take(&context.AppArmorProfile), take(&context.SELinuxOptions), take(&context.WindowsOptions),
	}, path)
	c.leftovers(context, path)
}

// confinement is what pods and containers can say alike of how the operating
// system is to confine them.
type confinement struct {
	seccomp  *corev1.SeccompProfile
	appArmor *corev1.AppArmorProfile
	seLinux  *corev1.SELinuxOptions
	windows  *corev1.WindowsSecurityContextOptions
}

func (c *checker) confinement(of confinement, path *field.Path) {
	c.seccomp(of.seccomp, path.Child("seccompProfile"))
	c.appArmor(of.appArmor, path.Child("appArmorProfile"))
	c.seLinux(of.seLinux, path.Child("seLinuxOptions"))
	c.windows(of.windows, path.Child("windowsOptions"))
}

// seccomp allows a profile of the cell's by its path below the directory where
// kubelets keep theirs.
func (c *checker) seccomp(profile *corev1.SeccompProfile, path *field.Path) {
	if profile == nil {
		return
	}
	kind := take(&profile.Type)
	oneOf(c, path.Child("type"), kind, corev1.SeccompProfileTypeRuntimeDefault, corev1.SeccompProfileTypeUnconfined,
		corev1.SeccompProfileTypeLocalhost)
	if kind == corev1.SeccompProfileTypeLocalhost {
		c.localProfile(take(&profile.LocalhostProfile), path.Child("localhostProfile"), filepath.IsLocal,
			"must be a path below the cell's directory of seccomp profiles, without ..")
	}
	c.leftovers(profile, path)
}

func (c *checker) localProfile(name *string, path *field.Path, fits func(string) bool, rule string) {
	switch {
	case name == nil || strings.TrimSpace(*name) == "":
		c.add(field.Required(path, "must be set for type Localhost"))
	case !fits(*name):
		c.add(field.Invalid(path, *name, rule))
	}
}

// noAppArmor is the kubelet's message.
const noAppArmor = "Cannot enforce AppArmor: AppArmor is not enabled on the host"

// appArmor refuses what the cell's kernel could not enforce. Whether a profile
// of the cell's is loaded shows when a container is made with it.
func (c *checker) appArmor(profile *corev1.AppArmorProfile, path *field.Path) {
	if profile == nil {
		return
	}
	kind := take(&profile.Type)
	oneOf(c, path.Child("type"), kind, corev1.AppArmorProfileTypeRuntimeDefault, corev1.AppArmorProfileTypeUnconfined,
		corev1.AppArmorProfileTypeLocalhost)
	if kind == corev1.AppArmorProfileTypeLocalhost {
		c.localProfile(take(&profile.LocalhostProfile), path.Child("localhostProfile"), isTrimmed, "must not begin or end with blanks")
	}
	if kind != corev1.AppArmorProfileTypeUnconfined && c.booted() && !c.agent.AppArmor {
		c.add(field.Forbidden(path, noAppArmor))
	}
	c.leftovers(profile, path)
}

func isTrimmed(name string) bool { return strings.TrimSpace(name) == name }

// appArmorAnnotations checks what stood in the place of appArmorProfile.
func (c *checker) appArmorAnnotations(annotations map[string]string, path *field.Path) {
	for _, key := range slices.Sorted(maps.Keys(annotations)) {
		if !strings.HasPrefix(key, corev1.DeprecatedAppArmorBetaContainerAnnotationKeyPrefix) {
			continue
		}
		value := annotations[key]
		name, local := strings.CutPrefix(value, corev1.DeprecatedAppArmorBetaProfileNamePrefix)
		switch {
		case value == corev1.DeprecatedAppArmorBetaProfileNameUnconfined:
		case value != corev1.DeprecatedAppArmorBetaProfileRuntimeDefault && (!local || strings.TrimSpace(name) == ""):
			c.add(field.Invalid(path.Key(key), value, "must be runtime/default, unconfined or localhost/<profile>"))
		case c.booted() && !c.agent.AppArmor:
			c.add(field.Forbidden(path.Key(key), noAppArmor))
		}
	}
}

// seLinux allows a label, which has no effect on a cell without SELinux, as on
// any node without it.
func (c *checker) seLinux(options *corev1.SELinuxOptions, path *field.Path) {
	if options != nil {
		options.User, options.Role, options.Type, options.Level = "", "", "", ""
		c.leftovers(options, path)
	}
}

// windows allows what says how the pod would run on Windows: here it runs on
// Linux. A container that is a process of a Windows host can be nothing else.
func (c *checker) windows(options *corev1.WindowsSecurityContextOptions, path *field.Path) {
	if options == nil {
		return
	}
	options.GMSACredentialSpecName, options.GMSACredentialSpec, options.RunAsUserName = nil, nil, nil
	forget(&options.HostProcess, false)
	c.leftovers(options, path)
}
