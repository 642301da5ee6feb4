package podsupport

import (
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

func (c *checker) lifecycle(lifecycle *corev1.Lifecycle, path *field.Path) {
	if lifecycle == nil {
		return
	}
	c.hook(take(&lifecycle.PostStart), path.Child("postStart"))
	c.hook(take(&lifecycle.PreStop), path.Child("preStop"))
	// Older runtimes ignore it without a word.
	if c.runtimeAtLeast(2, 4) {
		lifecycle.StopSignal = nil
	}
	c.leftovers(lifecycle, path)
}

func (c *checker) hook(hook *corev1.LifecycleHandler, path *field.Path) {
	if hook == nil {
		return
	}
	// The API has deprecated tcpSocket here; kubelets fail such hooks.
	c.exec(take(&hook.Exec), path.Child("exec"))
	c.httpGet(take(&hook.HTTPGet), path.Child("httpGet"))
	if sleep := take(&hook.Sleep); sleep != nil {
		sleep.Seconds = 0
		c.leftovers(sleep, path.Child("sleep"))
	}
	c.leftovers(hook, path)
}

func (c *checker) probe(probe *corev1.Probe, path *field.Path) {
	if probe == nil {
		return
	}
	probe.InitialDelaySeconds, probe.TimeoutSeconds, probe.PeriodSeconds = 0, 0, 0
	probe.SuccessThreshold, probe.FailureThreshold = 0, 0
	probe.TerminationGracePeriodSeconds = nil
	c.exec(take(&probe.Exec), path.Child("exec"))
	c.httpGet(take(&probe.HTTPGet), path.Child("httpGet"))
	if tcp := take(&probe.TCPSocket); tcp != nil {
		tcp.Host, tcp.Port = "", intstr.IntOrString{}
		c.leftovers(tcp, path.Child("tcpSocket"))
	}
	if grpc := take(&probe.GRPC); grpc != nil {
		grpc.Port, grpc.Service = 0, nil
		c.leftovers(grpc, path.Child("grpc"))
	}
	c.leftovers(probe, path)
}

func (c *checker) exec(exec *corev1.ExecAction, path *field.Path) {
	if exec != nil {
		exec.Command = nil
		c.leftovers(exec, path)
	}
}

func (c *checker) httpGet(get *corev1.HTTPGetAction, path *field.Path) {
	if get == nil {
		return
	}
	oneOf(c, path.Child("scheme"), take(&get.Scheme), "", corev1.URISchemeHTTP, corev1.URISchemeHTTPS)
	get.Path, get.Host, get.Port, get.HTTPHeaders = "", "", intstr.IntOrString{}, nil
	c.leftovers(get, path)
}
