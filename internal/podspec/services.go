package podspec

import (
	"net"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
)

// HasClusterIP says whether a service has an address of its own, without which
// it has no variables.
func HasClusterIP(service *corev1.Service) bool {
	return service.Spec.ClusterIP != "" && service.Spec.ClusterIP != corev1.ClusterIPNone
}

// ServiceVariables are what a kubelet tells containers of services, by name:
// kubernetes.io/docs/concepts/services-networking/service/#environment-variables.
func ServiceVariables(services []corev1.Service) map[string]string {
	variables := map[string]string{}
	for i := range services {
		service := &services[i]
		if !HasClusterIP(service) || len(service.Spec.Ports) == 0 {
			continue
		}
		name := variableName(service.Name)
		variables[name+"_SERVICE_HOST"] = service.Spec.ClusterIP
		variables[name+"_SERVICE_PORT"] = port(&service.Spec.Ports[0])
		for k := range service.Spec.Ports {
			if p := &service.Spec.Ports[k]; p.Name != "" {
				variables[name+"_SERVICE_PORT_"+variableName(p.Name)] = port(p)
			}
		}
		addLinks(variables, name, service)
	}
	return variables
}

// addLinks adds the variables that Docker's links once had.
func addLinks(variables map[string]string, name string, service *corev1.Service) {
	for i := range service.Spec.Ports {
		p := &service.Spec.Ports[i]
		protocol := string(p.Protocol)
		if protocol == "" {
			protocol = string(corev1.ProtocolTCP)
		}
		lower := strings.ToLower(protocol)
		url := lower + "://" + net.JoinHostPort(service.Spec.ClusterIP, port(p))
		if i == 0 {
			variables[name+"_PORT"] = url
		}
		prefix := name + "_PORT_" + port(p) + "_" + strings.ToUpper(protocol)
		variables[prefix] = url
		variables[prefix+"_PROTO"] = lower
		variables[prefix+"_PORT"] = port(p)
		variables[prefix+"_ADDR"] = service.Spec.ClusterIP
	}
}

func port(p *corev1.ServicePort) string { return strconv.Itoa(int(p.Port)) }

func variableName(name string) string {
	return strings.ToUpper(strings.ReplaceAll(name, "-", "_"))
}
