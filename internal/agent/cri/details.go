package cri

import (
	"strings"

	corev1 "k8s.io/api/core/v1"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// signalPrefix is what CRI puts before a signal's name; in CRI RTMIN+1 is
// RTMINPLUS1.
const signalPrefix = "SIGNAL_"

// stopSignal is a signal in CRI's words; one that it does not know is left to
// the image.
func stopSignal(signal corev1.Signal) runtimeapi.Signal {
	name := strings.NewReplacer("+", "PLUS", "-", "MINUS").Replace(string(signal))
	return runtimeapi.Signal(runtimeapi.Signal_value[signalPrefix+name])
}

// signalOf is the reverse; nil when the runtime tells no signal.
func signalOf(signal runtimeapi.Signal) *corev1.Signal {
	name, known := strings.CutPrefix(signal.String(), signalPrefix)
	if !known || signal == runtimeapi.Signal_SIGNAL_RUNTIME_DEFAULT {
		return nil
	}
	text := corev1.Signal(strings.NewReplacer("PLUS", "+", "MINUS", "-").Replace(name))
	return &text
}

// userOf is whom the first process of a container runs as; nil when the runtime
// does not tell, as containerd before 2.0.
func userOf(user *runtimeapi.ContainerUser) *corev1.ContainerUser {
	linux := user.GetLinux()
	if linux == nil {
		return nil
	}
	return &corev1.ContainerUser{Linux: &corev1.LinuxContainerUser{
		UID: linux.Uid, GID: linux.Gid, SupplementalGroups: linux.SupplementalGroups,
	}}
}
