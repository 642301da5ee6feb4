package podspec

import (
	"fmt"
	"net/netip"
	"path"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"kip.elotl.co/internal/itzo"
	"kip.elotl.co/internal/podfields"
	"kip.elotl.co/internal/podsupport"
)

// Given is what a pod's units are made of besides the pod.
type Given struct {
	// PodIP is the pod's own address, Host the cell's.
	PodIP, Host netip.Addr
	References  References
	Services    map[string]string
	Credentials map[string]itzo.RegistryCredentials
}

// Units is the body of updatepod for an agent of the first Kip: all that such an
// agent leaves to its controller is filled in. The pod must be one that
// podsupport.Unsupported lets pass for that agent.
func Units(pod *corev1.Pod, given Given) (*itzo.PodParameters, error) {
	hostname := podfields.Hostname(pod)
	parameters := &itzo.PodParameters{
		Credentials: given.Credentials,
		PodName:     itzo.FormatPodName(pod.Namespace, pod.Name),
		// No NodeName: it would start a service proxy, for which there is no kubeconfig.
		PodIP:       given.PodIP.String(),
		PodHostname: hostname,
		Spec: itzo.PodSpec{
			Phase:           itzo.PhaseRunning,
			RestartPolicy:   itzo.RestartPolicy(pod.Spec.RestartPolicy),
			Units:           []itzo.Unit{},
			SecurityContext: unitsSecurity(pod),
			Hostname:        hostname,
		},
	}
	if !given.PodIP.IsValid() {
		parameters.PodIP = ""
	}
	for i := range pod.Spec.Volumes {
		parameters.Spec.Volumes = append(parameters.Spec.Volumes, unitVolume(&pod.Spec.Volumes[i]))
	}
	for _, own := range ownFiles(pod, given) {
		parameters.Spec.Volumes = append(parameters.Spec.Volumes, itzo.Volume{Name: own.volume, PackagePath: &itzo.PackagePath{Path: own.mount}})
	}
	surroundings := &podfields.Surroundings{
		Pod: pod, ConfigMaps: given.References.ConfigMaps, Secrets: given.References.Secrets, Services: given.Services,
		Addresses: podfields.Addresses{Pod: given.PodIP, Host: given.Host},
	}
	for i := range pod.Spec.Containers {
		unit, err := unitOf(pod, &pod.Spec.Containers[i], surroundings)
		if err != nil {
			return nil, fmt.Errorf("spec.containers[%d]: %w", i, err)
		}
		unit.VolumeMounts = append(unit.VolumeMounts, ownMounts(ownFiles(pod, given), unit.VolumeMounts)...)
		parameters.Spec.Units = append(parameters.Spec.Units, *unit)
	}
	return parameters, nil
}

func unitOf(pod *corev1.Pod, container *corev1.Container, surroundings *podfields.Surroundings) (*itzo.Unit, error) {
	variables, values, err := surroundings.Environment(container)
	if err != nil {
		return nil, err
	}
	unit := &itzo.Unit{
		Name:            container.Name,
		Image:           unitImage(container.Image),
		Command:         podfields.ExpandAll(container.Command, values),
		Args:            podfields.ExpandAll(container.Args, values),
		WorkingDir:      container.WorkingDir,
		SecurityContext: unitSecurity(pod, container),
		StartupProbe:    unitProbe(container, container.StartupProbe),
		LivenessProbe:   unitProbe(container, container.LivenessProbe),
		ReadinessProbe:  unitProbe(container, container.ReadinessProbe),
		// Without these two no message is read.
		TerminationMessagePath:   container.TerminationMessagePath,
		TerminationMessagePolicy: string(corev1.TerminationMessageReadFile),
	}
	if unit.TerminationMessagePath == "" {
		unit.TerminationMessagePath = corev1.TerminationMessagePathDefault
	}
	for _, variable := range variables {
		unit.Env = append(unit.Env, itzo.EnvVar{Name: variable.Name, Value: variable.Value})
	}
	for i := range container.Ports {
		port := &container.Ports[i]
		unit.Ports = append(unit.Ports, itzo.ContainerPort{Name: port.Name, ContainerPort: port.ContainerPort, Protocol: string(port.Protocol)})
	}
	for i := range container.VolumeMounts {
		mount := &container.VolumeMounts[i]
		unit.VolumeMounts = append(unit.VolumeMounts, itzo.VolumeMount{Name: mount.Name, MountPath: mount.MountPath})
	}
	return unit, nil
}

// unitImage writes out what these agents leave out of names on Docker Hub: that
// a name of one part is the library's, also after the registry.
func unitImage(image string) string {
	host, repository, found := strings.Cut(image, "/")
	if found && slices.Contains(dockerHubNames(), strings.ToLower(host)) {
		if !strings.Contains(repository, "/") {
			repository = "library/" + repository
		}
		return "docker.io/" + repository
	}
	return image
}

func unitsSecurity(pod *corev1.Pod) *itzo.PodSecurityContext {
	context := pod.Spec.SecurityContext
	if context == nil {
		return nil
	}
	made := &itzo.PodSecurityContext{RunAsUser: context.RunAsUser, RunAsGroup: context.RunAsGroup, SupplementalGroups: context.SupplementalGroups}
	for _, sysctl := range context.Sysctls {
		made.Sysctls = append(made.Sysctls, itzo.Sysctl{Name: sysctl.Name, Value: sysctl.Value})
	}
	return made
}

// unitSecurity takes all capabilities from users other than root: these agents
// would make what is left ambient, and DAC_OVERRIDE with it. Root has all,
// whatever is said.
func unitSecurity(pod *corev1.Pod, container *corev1.Container) *itzo.SecurityContext {
	made := &itzo.SecurityContext{}
	if user := runAsUser(pod, container); user != nil && *user != 0 {
		made.Capabilities = &itzo.Capabilities{Drop: []string{"ALL"}}
	}
	if own := container.SecurityContext; own != nil {
		made.RunAsUser, made.RunAsGroup = own.RunAsUser, own.RunAsGroup
	}
	if made.Capabilities == nil && made.RunAsUser == nil && made.RunAsGroup == nil {
		return nil
	}
	return made
}

// mebibyte is the unit of these agents' size limits.
const mebibyte = 1 << 20

func unitVolume(volume *corev1.Volume) itzo.Volume {
	made := itzo.Volume{Name: volume.Name}
	switch {
	case volume.EmptyDir != nil:
		made.EmptyDir = &itzo.EmptyDir{Medium: string(volume.EmptyDir.Medium)}
		if limit := volume.EmptyDir.SizeLimit; limit != nil && volume.EmptyDir.Medium == corev1.StorageMediumMemory {
			made.EmptyDir.SizeLimit = (limit.Value() + mebibyte - 1) / mebibyte
		}
	case volume.HostPath != nil:
		made.HostPath = &itzo.HostPath{Path: volume.HostPath.Path}
		if volume.HostPath.Type != nil {
			made.HostPath.Type = string(*volume.HostPath.Type)
		}
	case volume.ConfigMap != nil:
		made.ConfigMap = &itzo.ConfigMapVolume{Name: volume.ConfigMap.Name}
	case volume.Secret != nil:
		made.Secret = &itzo.SecretVolume{SecretName: volume.Secret.SecretName}
	default:
		// They look at nothing but the package of the volume's name.
		made.Projected = &itzo.ProjectedVolume{Sources: []itzo.VolumeProjection{}}
	}
	return made
}

// UnitPackage is a Package for an agent of the first Kip. Owner is whose its
// directory is to be, which nobody but root and the owner can enter.
type UnitPackage struct {
	Package
	Owner itzo.PackageOwner
}

// OwnUnitPackages are the files that a kubelet writes for every pod:
// /etc/hosts, and /etc/resolv.conf where the pod has one of its own.
func OwnUnitPackages(pod *corev1.Pod, given Given) []UnitPackage {
	var packages []UnitPackage
	for _, own := range ownFiles(pod, given) {
		packages = append(packages, UnitPackage{Package: Package{Name: own.volume, Files: []itzo.PackageFile{{
			Path: strings.TrimPrefix(own.mount, "/"), Mode: 0o644, Data: []byte(own.content),
		}}}})
	}
	return packages
}

// UnitPackageOf is a volume's package, owned by whoever besides root is to read it.
func UnitPackageOf(pod *corev1.Pod, made Package) UnitPackage {
	p := UnitPackage{Package: made}
	for i := range pod.Spec.Containers {
		container := &pod.Spec.Containers[i]
		user := runAsUser(pod, container)
		if user == nil || *user == 0 || !slices.ContainsFunc(container.VolumeMounts, func(m corev1.VolumeMount) bool { return m.Name == made.Name }) {
			continue
		}
		p.Owner.UID = int(*user)
	}
	return p
}

type ownFile struct{ volume, mount, content string }

func ownFiles(pod *corev1.Pod, given Given) []ownFile {
	address := given.PodIP
	if !address.IsValid() {
		address = given.Host
	}
	files := []ownFile{{podsupport.VolumeHosts, "/etc/hosts", podfields.HostsFile(pod, address)}}
	if config := pod.Spec.DNSConfig; config != nil {
		files = append(files, ownFile{podsupport.VolumeResolvConf, "/etc/resolv.conf", resolvConf(config)})
	}
	return files
}

// ownMounts are those that the container does not mount something else over.
func ownMounts(files []ownFile, own []itzo.VolumeMount) []itzo.VolumeMount {
	var mounts []itzo.VolumeMount
	for _, file := range files {
		if !slices.ContainsFunc(own, func(m itzo.VolumeMount) bool { return path.Clean(m.MountPath) == file.mount }) {
			mounts = append(mounts, itzo.VolumeMount{Name: file.volume, MountPath: file.mount})
		}
	}
	return mounts
}

func resolvConf(config *corev1.PodDNSConfig) string {
	config, _ = podfields.LimitDNS(config)
	var out strings.Builder
	for _, server := range config.Nameservers {
		fmt.Fprintf(&out, "nameserver %s\n", server)
	}
	if len(config.Searches) > 0 {
		fmt.Fprintf(&out, "search %s\n", strings.Join(config.Searches, " "))
	}
	if len(config.Options) > 0 {
		out.WriteString("options")
		for _, option := range config.Options {
			out.WriteString(" " + podfields.OptionText(option))
		}
		out.WriteString("\n")
	}
	return out.String()
}
