package kubeletapi

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/cri-streaming/pkg/streaming/remotecommand"
	utilexec "k8s.io/utils/exec"

	"kip.elotl.co/internal/itzo"
)

// commandParameter holds the words of a command, one each.
const commandParameter = "command"

// exec runs a command in a container.
func (s *nodeServer) exec(w http.ResponseWriter, r *http.Request) error {
	target, err := s.commandTarget(r)
	if err != nil {
		return err
	}
	target.request.Command = r.URL.Query()[commandParameter]
	command, err := target.agent.OpenExec(r.Context(), target.request)
	if err != nil {
		return streamRefused(target.pod, err)
	}
	defer command.Close()
	s.serveUpgraded(w, r, func(w http.ResponseWriter, r *http.Request) {
		remotecommand.ServeExec(w, r, runner{command, target.options}, target.pod.Name, string(target.pod.UID), target.request.Container,
			target.request.Command, target.options, streamIdleTimeout, remotecommand.DefaultStreamCreationTimeout, remotecommand.SupportedStreamingProtocols)
	})
	return nil
}

// attach connects to a container's first process.
func (s *nodeServer) attach(w http.ResponseWriter, r *http.Request) error {
	target, err := s.commandTarget(r)
	if err != nil {
		return err
	}
	// Whether there is a terminal was decided at the container's start.
	target.options.TTY = hasTerminal(target.pod, target.request.Container)
	if target.request.TTY = target.options.TTY; target.request.TTY && target.options.Stderr {
		return refuse(http.StatusBadRequest, "tty and stderr cannot both be true")
	}
	command, err := target.agent.OpenAttach(r.Context(), target.request)
	if err != nil {
		return streamRefused(target.pod, err)
	}
	defer command.Close()
	s.serveUpgraded(w, r, func(w http.ResponseWriter, r *http.Request) {
		remotecommand.ServeAttach(w, r, runner{command, target.options}, target.pod.Name, string(target.pod.UID), target.request.Container,
			target.options, streamIdleTimeout, remotecommand.DefaultStreamCreationTimeout, remotecommand.SupportedStreamingProtocols)
	})
	return nil
}

// target is the container that a request is about, and who runs it.
type target struct {
	pod     *corev1.Pod
	agent   *itzo.Client
	options *remotecommand.Options
	request itzo.CommandRequest
}

func (s *nodeServer) commandTarget(r *http.Request) (*target, error) {
	pod, err := s.pod(r, r.PathValue("namespace"), r.PathValue("pod"))
	if err != nil {
		return nil, err
	}
	options, err := remotecommand.NewOptions(r)
	if err != nil {
		return nil, refuse(http.StatusBadRequest, "%s", err)
	}
	container := r.PathValue("container")
	if err := checkRunning(pod, r.PathValue("uid"), container); err != nil {
		return nil, err
	}
	agent, err := s.streamAgent(r.Context(), pod)
	if err != nil {
		return nil, err
	}
	return &target{pod: pod, agent: agent, options: options, request: itzo.CommandRequest{
		PodUID: pod.UID, PodName: itzo.FormatPodName(pod.Namespace, pod.Name), Container: container,
		Stdin: options.Stdin, Stdout: options.Stdout, Stderr: options.Stderr, TTY: options.TTY,
	}}, nil
}

// streamAgent is the agent of a pod's cell.
func (s *Server) streamAgent(ctx context.Context, pod *corev1.Pod) (*itzo.Client, error) {
	agent, err := s.options.Pods.Agent(ctx, pod)
	if apierrors.IsNotFound(err) {
		return nil, refuse(http.StatusInternalServerError, "pod %q has no cell: it is not there yet, or has ended", pod.Name)
	}
	if err != nil {
		return nil, fmt.Errorf("finding the cell of pod %q: %w", pod.Name, err)
	}
	return agent, nil
}

// checkRunning refuses containers that cannot run, with the kubelet's message and
// code, and says why where that is known. Whether one really does, its agent
// knows.
func checkRunning(pod *corev1.Pod, uid, container string) error {
	missing := fmt.Sprintf("container not found (%q)", container)
	status, found := containerStatus(pod, container)
	switch {
	case uid != "" && uid != string(pod.UID), !hasContainer(pod, container):
	case isTerminal(pod):
		missing += ": the pod has ended: " + string(pod.Status.Phase)
	case !found:
		missing += ": it " + whyNoStatus(pod)
	case status.State.Running != nil:
		return nil
	case status.State.Terminated != nil:
		missing += ": it has ended: " + status.State.Terminated.Reason
	default:
		missing += ": it is waiting to start" + whyWaiting(status.State.Waiting)
	}
	return refuse(http.StatusInternalServerError, "%s", missing)
}

func isTerminal(pod *corev1.Pod) bool {
	return pod.Status.Phase == corev1.PodSucceeded || pod.Status.Phase == corev1.PodFailed
}

// hasTerminal says whether the pod gives that container a terminal.
func hasTerminal(pod *corev1.Pod, name string) bool {
	for _, containers := range [][]corev1.Container{pod.Spec.Containers, pod.Spec.InitContainers} {
		for i := range containers {
			if containers[i].Name == name {
				return containers[i].TTY
			}
		}
	}
	for i := range pod.Spec.EphemeralContainers {
		if pod.Spec.EphemeralContainers[i].Name == name {
			return pod.Spec.EphemeralContainers[i].TTY
		}
	}
	return false
}

// streamRefused says why an agent gives no stream.
func streamRefused(pod *corev1.Pod, err error) error {
	if answer := (*itzo.StatusError)(nil); errors.As(err, &answer) && answer.Code == http.StatusBadRequest {
		return refuse(http.StatusInternalServerError, "%s", answer.Message)
	}
	return fmt.Errorf("asking the cell of pod %q: %w", pod.Name, err)
}

// runner runs a command that an agent has made ready.
type runner struct {
	command itzo.Command
	options *remotecommand.Options
}

// ExecInContainer implements remotecommand.Executor.
func (e runner) ExecInContainer(ctx context.Context, _, _, _ string, _ []string, in io.Reader, out, errs io.WriteCloser, _ bool, resize <-chan remotecommand.TerminalSize, _ time.Duration) error {
	code, err := e.run(ctx, in, out, errs, resize)
	if err != nil {
		return err
	}
	if code != 0 {
		return utilexec.CodeExitError{Err: fmt.Errorf("exit status %d", code), Code: int(code)}
	}
	return nil
}

// AttachContainer implements remotecommand.Attacher.
func (e runner) AttachContainer(ctx context.Context, _, _, _ string, in io.Reader, out, errs io.WriteCloser, _ bool, resize <-chan remotecommand.TerminalSize) error {
	_, err := e.run(ctx, in, out, errs, resize)
	return err
}

// run gives the command the streams that the client asked for: of others there
// may be ends too, which lead nowhere.
func (e runner) run(ctx context.Context, in io.Reader, out, errs io.WriteCloser, resize <-chan remotecommand.TerminalSize) (int32, error) {
	stopped := ctx
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var streams itzo.Streams
	if e.options.Stdin {
		streams.Stdin = in
	}
	if e.options.Stdout {
		streams.Stdout = out
		defer out.Close()
	}
	if e.options.Stderr {
		streams.Stderr = errs
		defer errs.Close()
	}
	if e.options.TTY && resize != nil {
		sizes := make(chan itzo.TerminalSize)
		go passSizes(ctx, resize, sizes)
		streams.Resize = sizes
	}
	code, err := e.command.Run(ctx, streams)
	if stopped.Err() != nil {
		return 0, ofStream(stopped, err)
	}
	return code, err
}

func passSizes(ctx context.Context, from <-chan remotecommand.TerminalSize, to chan<- itzo.TerminalSize) {
	for {
		select {
		case size, more := <-from:
			if !more {
				return
			}
			select {
			case to <- itzo.TerminalSize{Width: size.Width, Height: size.Height}:
			case <-ctx.Done():
				return
			}
		case <-ctx.Done():
			return
		}
	}
}
