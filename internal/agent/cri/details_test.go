package cri

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
)

func TestStopSignals(t *testing.T) {
	for _, signal := range []corev1.Signal{corev1.SIGUSR1, corev1.SIGTERM, corev1.SIGRTMIN, corev1.SIGRTMINPLUS3, corev1.SIGRTMAXMINUS14, corev1.SIGRTMAX} {
		sent := stopSignal(signal)
		if sent == runtimeapi.Signal_SIGNAL_RUNTIME_DEFAULT {
			t.Errorf("%s is not known to CRI", signal)
		}
		if got := signalOf(sent); got == nil || *got != signal {
			t.Errorf("%s came back as %v", signal, got)
		}
	}
	if got := signalOf(runtimeapi.Signal_SIGNAL_RUNTIME_DEFAULT); got != nil {
		t.Errorf("no signal came back as %s", *got)
	}
	if got := stopSignal("SIGNONE"); got != runtimeapi.Signal_SIGNAL_RUNTIME_DEFAULT {
		t.Errorf("an unknown signal is %s", got)
	}
}

func TestUser(t *testing.T) {
	if got := userOf(nil); got != nil {
		t.Errorf("got %+v", got)
	}
	told := &runtimeapi.ContainerUser{Linux: &runtimeapi.LinuxContainerUser{Uid: 1, Gid: 2, SupplementalGroups: []int64{2, 3}}}
	if got := userOf(told).Linux; got.UID != 1 || got.GID != 2 || len(got.SupplementalGroups) != 2 {
		t.Errorf("got %+v", got)
	}
}
