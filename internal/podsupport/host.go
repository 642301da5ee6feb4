package podsupport

import (
	"fmt"
	"regexp"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/component-helpers/node/util/sysctl"
)

// namespaces allows every sharing of namespaces: the cell is the host, and the
// pod's own.
func (c *checker) namespaces(spec *corev1.PodSpec, path *field.Path) {
	shared := spec.ShareProcessNamespace != nil && *spec.ShareProcessNamespace
	if spec.HostPID && shared {
		c.add(field.Invalid(path.Child("shareProcessNamespace"), true, "may not be set together with hostPID"))
	}
	spec.HostNetwork, spec.HostPID, spec.HostIPC, spec.ShareProcessNamespace = false, false, false, nil
}

// ports allows ports of the host to pods in the cell's network, where they are
// the container's own.
func (c *checker) ports(ports []corev1.ContainerPort, path *field.Path) {
	for i := range ports {
		port, path := &ports[i], path.Index(i)
		own, host := take(&port.ContainerPort), take(&port.HostPort)
		switch {
		case host == 0:
		case !c.hostNetwork:
			c.add(field.Forbidden(path.Child("hostPort"),
				"the pod has an address of its own: its containerPort is reached there; or set hostNetwork"))
		case host != own:
			c.add(field.Invalid(path.Child("hostPort"), host, "must be the containerPort with hostNetwork"))
		}
		port.Name, port.Protocol, port.HostIP = "", "", ""
		c.leftovers(port, path)
	}
}

// maxSysctl is Kubernetes' limit.
const maxSysctl = 253

// sysctls allows all that belong to a namespace of the pod's own: nobody else is
// on the cell whom unsafe ones could harm. The words are the kubelet's.
func (c *checker) sysctls(sysctls []corev1.Sysctl, spec *corev1.PodSpec, path *field.Path) {
	form := regexp.MustCompile(`^([a-z0-9]([-_a-z0-9]*[a-z0-9])?[./])*[a-z0-9]([-_a-z0-9]*[a-z0-9])?$`)
	for i := range sysctls {
		name, path := sysctls[i].Name, path.Index(i)
		sysctls[i].Name, sysctls[i].Value = "", ""
		c.leftovers(&sysctls[i], path)
		path = path.Child("name")
		if len(name) > maxSysctl || !form.MatchString(name) {
			c.add(field.Invalid(path, name, fmt.Sprintf("must have at most %d characters and be segments of lower case letters, "+
				"digits, - and _, with dots or slashes between", maxSysctl)))
			continue
		}
		if problem := forbiddenSysctl(name, spec); problem != "" {
			c.add(field.Forbidden(path, "SysctlForbidden: forbidden sysctl: "+problem))
		}
	}
}

// forbiddenSysctl says why a sysctl cannot be set for the pod alone; empty: it
// can.
func forbiddenSysctl(name string, spec *corev1.PodSpec) string {
	name = sysctl.NormalizeName(name)
	namespace, _, _ := sysctl.GetNamespace(name)
	host := false
	switch namespace {
	case sysctl.IPCNamespace:
		host = spec.HostIPC
	case sysctl.NetNamespace, sysctl.UTSNamespace:
		host = spec.HostNetwork
	default:
		return fmt.Sprintf("%q not allowlisted", name)
	}
	if host {
		return fmt.Sprintf("%q not allowed with host %s enabled", name, namespace)
	}
	return ""
}
