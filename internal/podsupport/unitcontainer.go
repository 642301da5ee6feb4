package podsupport

import (
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"kip.elotl.co/internal/itzo"
)

func (c *unitChecker) container(container *corev1.Container, path *field.Path) {
	was := container.DeepCopy()
	container.Name = ""
	c.image(take(&container.Image), path.Child("image"))
	container.Command, container.Args, container.WorkingDir = nil, nil, ""
	container.ResizePolicy = nil
	container.TerminationMessagePath = ""
	oneOf(c.checker, path.Child("terminationMessagePolicy"), take(&container.TerminationMessagePolicy),
		"", corev1.TerminationMessageReadFile)
	// A new cell has no images, so both pull; later starts pull again.
	oneOf(c.checker, path.Child("imagePullPolicy"), take(&container.ImagePullPolicy), "", corev1.PullAlways, corev1.PullIfNotPresent)
	for i := range container.Ports {
		port := &container.Ports[i]
		port.Name, port.ContainerPort, port.Protocol = "", 0, ""
		c.leftovers(port, path.Child("ports").Index(i))
	}
	container.Ports = nil
	c.env(take(&container.Env), path.Child("env"))
	c.envFrom(take(&container.EnvFrom), path.Child("envFrom"))
	for i := range was.Env {
		if from := was.Env[i].ValueFrom; from != nil {
			c.resourceField(from.ResourceFieldRef, path.Child("env").Index(i).Child("valueFrom", "resourceFieldRef"))
		}
	}
	c.resources(take(&container.Resources), path.Child("resources"))
	c.mounts(was, path.Child("volumeMounts"))
	container.VolumeMounts = nil
	c.security(was, path.Child("securityContext"))
	container.SecurityContext = nil
	c.probes(container, was, path)
	c.leftovers(container, path)
}

// image refuses registries that the agent would take for a part of a name on
// Docker Hub.
func (c *unitChecker) image(image string, path *field.Path) {
	host, _, found := strings.Cut(image, "/")
	if found && !strings.Contains(host, ".") && (strings.Contains(host, ":") || host == "localhost") {
		c.refuse(path, "takes a registry whose name has no dot for a part of Docker Hub")
	}
}

// resources allows requests, by which the cell is chosen.
func (c *unitChecker) resources(resources corev1.ResourceRequirements, path *field.Path) {
	for _, name := range slices.Sorted(maps.Keys(resources.Limits)) {
		c.refuse(path.Child("limits").Key(string(name)), "limits no container: the cell is the only limit")
	}
	for _, name := range slices.Sorted(maps.Keys(resources.Requests)) {
		oneOf(c.checker, path.Child("requests").Key(string(name)), name,
			corev1.ResourceCPU, corev1.ResourceMemory, corev1.ResourceEphemeralStorage)
	}
	resources.Limits, resources.Requests = nil, nil
	c.leftovers(&resources, path)
}

// resourceField refuses limits, which where none are set are what the cell has:
// these agents do not tell.
func (c *unitChecker) resourceField(selector *corev1.ResourceFieldSelector, path *field.Path) {
	if selector != nil && strings.HasPrefix(selector.Resource, "limits.") {
		c.refuse(path.Child("resource"), "does not tell what its cell has")
	}
}

func (c *unitChecker) security(container *corev1.Container, path *field.Path) {
	if container.SecurityContext == nil {
		return
	}
	context := container.SecurityContext.DeepCopy()
	other := nonRoot(c.spec, container)
	context.RunAsUser, context.RunAsGroup = nil, nil
	forget(&context.RunAsNonRoot, false)
	if other {
		context.RunAsNonRoot = nil
	}
	forget(&context.Privileged, false)
	forget(&context.ReadOnlyRootFilesystem, false)
	forget(&context.AllowPrivilegeEscalation, true)
	forget(&context.ProcMount, corev1.DefaultProcMount)
	if capabilities := take(&context.Capabilities); capabilities != nil {
		if len(capabilities.Add) > 0 && other {
			c.refuse(path.Child("capabilities", "add"), "gives them to processes of any user at once")
		}
		if len(capabilities.Drop) > 0 && !other {
			c.refuse(path.Child("capabilities", "drop"), "takes none from root: set runAsUser to another user")
		}
	}
	context.SeccompProfile = unlessUnconfined(context.SeccompProfile)
	context.AppArmorProfile = unlessNoArmor(context.AppArmorProfile)
	c.leftovers(context, path)
}

func (c *unitChecker) probes(container, was *corev1.Container, path *field.Path) {
	for _, kind := range []struct {
		name  string
		probe *corev1.Probe
		kills bool
		shown bool // in the status, as 1.2 does not
	}{
		{"startupProbe", take(&container.StartupProbe), true, true},
		{"livenessProbe", take(&container.LivenessProbe), true, false},
		{"readinessProbe", take(&container.ReadinessProbe), false, true},
	} {
		path := path.Child(kind.name)
		switch {
		case kind.probe == nil:
		case kind.shown && c.generation == itzo.Generation12:
			c.refuse(path, "shows every container that runs as ready")
		case kind.kills && c.spec.RestartPolicy == corev1.RestartPolicyOnFailure:
			c.refuse(path, "does not restart a container that it has ended for a probe, with restartPolicy OnFailure")
		default:
			c.probe(kind.probe, was.Ports, path)
		}
	}
}

func (c *unitChecker) probe(probe *corev1.Probe, ports []corev1.ContainerPort, path *field.Path) {
	probe.InitialDelaySeconds, probe.TimeoutSeconds, probe.PeriodSeconds = 0, 0, 0
	probe.SuccessThreshold, probe.FailureThreshold = 0, 0
	if take(&probe.Exec) != nil {
		c.refuse(path.Child("exec"), "runs it as root, and takes one that hangs for one that succeeds")
	}
	if get := take(&probe.HTTPGet); get != nil {
		c.port(get.Port, ports, path.Child("httpGet", "port"))
		c.httpGet(get, path.Child("httpGet"))
	}
	if tcp := take(&probe.TCPSocket); tcp != nil {
		c.port(tcp.Port, ports, path.Child("tcpSocket", "port"))
		tcp.Host, tcp.Port = "", intstr.IntOrString{}
		c.leftovers(tcp, path.Child("tcpSocket"))
	}
	c.leftovers(probe, path)
}

// port refuses a name that is none of the container's ports.
func (c *unitChecker) port(port intstr.IntOrString, ports []corev1.ContainerPort, path *field.Path) {
	if port.Type == intstr.String && !slices.ContainsFunc(ports, func(p corev1.ContainerPort) bool { return p.Name == port.StrVal }) {
		c.add(field.NotFound(path, port.StrVal))
	}
}
