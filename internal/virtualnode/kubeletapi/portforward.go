package kubeletapi

import (
	"context"
	"io"
	"net/http"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/cri-streaming/pkg/streaming/portforward"
	"k8s.io/cri-streaming/pkg/streaming/remotecommand"

	"kip.elotl.co/internal/itzo"
)

// portForward connects to ports of a pod, as many times as the client likes.
func (s *nodeServer) portForward(w http.ResponseWriter, r *http.Request) error {
	pod, err := s.pod(r, r.PathValue("namespace"), r.PathValue("pod"))
	if err != nil {
		return err
	}
	options, err := portforward.NewV4Options(r)
	if err != nil {
		return refuse(http.StatusBadRequest, "%s", err)
	}
	if uid := r.PathValue("uid"); uid != "" && uid != string(pod.UID) || isTerminal(pod) {
		return refuse(http.StatusInternalServerError, "pod not found (%q)", pod.Name+"_"+pod.Namespace)
	}
	agent, err := s.streamAgent(r.Context(), pod)
	if err != nil {
		return err
	}
	s.serveUpgraded(w, r, func(w http.ResponseWriter, r *http.Request) {
		portforward.ServePortForward(w, r, forwarder{ctx: r.Context(), agent: agent, pod: pod}, pod.Name, string(pod.UID),
			options, streamIdleTimeout, remotecommand.DefaultStreamCreationTimeout, portforward.SupportedProtocols)
	})
	return nil
}

// forwarder connects to one pod. The library gives no context to its calls that
// would end with the client.
type forwarder struct {
	ctx   context.Context
	agent *itzo.Client
	pod   *corev1.Pod
}

// PortForward implements portforward.PortForwarder.
func (f forwarder) PortForward(_ context.Context, _, _ string, port int32, stream io.ReadWriteCloser) error {
	tunnel, err := f.agent.OpenPort(f.ctx, itzo.PortRequest{
		PodUID: f.pod.UID, PodName: itzo.FormatPodName(f.pod.Namespace, f.pod.Name), Port: uint16(port),
	})
	if err != nil {
		return streamRefused(f.pod, err)
	}
	return ofStream(f.ctx, tunnel.Run(f.ctx, stream))
}
