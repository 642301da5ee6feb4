package podspec

import (
	"cmp"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"kip.elotl.co/internal/itzo"
)

// Kubernetes' defaults for probes. Agents of the first Kip know none: a period
// of zero ends what watches over the unit.
const (
	defaultTimeout          = 1
	defaultPeriod           = 10
	defaultSuccessThreshold = 1
	defaultFailureThreshold = 3
)

func unitProbe(container *corev1.Container, probe *corev1.Probe) *itzo.Probe {
	if probe == nil {
		return nil
	}
	made := &itzo.Probe{
		InitialDelaySeconds: probe.InitialDelaySeconds,
		TimeoutSeconds:      cmp.Or(probe.TimeoutSeconds, defaultTimeout),
		PeriodSeconds:       cmp.Or(probe.PeriodSeconds, defaultPeriod),
		SuccessThreshold:    cmp.Or(probe.SuccessThreshold, defaultSuccessThreshold),
		FailureThreshold:    cmp.Or(probe.FailureThreshold, defaultFailureThreshold),
	}
	if get := probe.HTTPGet; get != nil {
		made.HTTPGet = &itzo.HTTPGetAction{
			Path: get.Path, Port: numbered(container, get.Port), Host: get.Host, Scheme: string(cmp.Or(get.Scheme, corev1.URISchemeHTTP)),
		}
		for _, header := range get.HTTPHeaders {
			made.HTTPGet.HTTPHeaders = append(made.HTTPGet.HTTPHeaders, itzo.HTTPHeader{Name: header.Name, Value: header.Value})
		}
	}
	if tcp := probe.TCPSocket; tcp != nil {
		made.TCPSocket = &itzo.TCPSocketAction{Port: numbered(container, tcp.Port), Host: tcp.Host}
	}
	return made
}

// numbered is a port by its number, also where the pod names it.
func numbered(container *corev1.Container, port intstr.IntOrString) intstr.IntOrString {
	if port.Type == intstr.String {
		for i := range container.Ports {
			if container.Ports[i].Name == port.StrVal {
				return intstr.FromInt32(container.Ports[i].ContainerPort)
			}
		}
	}
	return port
}
