package kubeletapi

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"kip.elotl.co/internal/itzo"
)

// containerLogs answers what a container has written in its last run.
func (s *nodeServer) containerLogs(w http.ResponseWriter, r *http.Request) error {
	name, container := r.PathValue("pod"), r.PathValue("container")
	pod, err := s.pod(r, r.PathValue("namespace"), name)
	if err != nil {
		return err
	}
	options, err := parseLogOptions(r.URL.Query())
	if err != nil {
		return err
	}
	if !hasContainer(pod, container) {
		return refuse(http.StatusNotFound, "container %q not found in pod %q", container, name)
	}
	if err := checkLogSource(pod, container, options); err != nil {
		return err
	}
	status, _ := containerStatus(pod, container)
	options.Follow = options.Follow && !options.Previous && !ended(pod, status)
	if options.TailLines != nil && *options.TailLines == 0 && !options.Follow {
		return nil
	}
	log, err := s.openLog(r.Context(), pod, container, options)
	if err != nil {
		return err
	}
	defer log.Close()
	return s.sendLog(w, log, options)
}

// pod gives a pod of the node to those who may use that. Others do not learn
// whether there is one, nor do they of another node's pods.
func (s *nodeServer) pod(r *http.Request, namespace, name string) (*corev1.Pod, error) {
	if err := s.authorize(r); err != nil {
		return nil, err
	}
	pod, err := s.options.Pods.Pod(r.Context(), namespace, name)
	switch {
	case apierrors.IsNotFound(err), err == nil && pod.Spec.NodeName != s.node:
		return nil, refuse(http.StatusNotFound, "pod %q does not exist on node %q", name, s.node)
	case err != nil:
		return nil, fmt.Errorf("reading pod %q: %w", name, err)
	}
	return pod, nil
}

// openLog takes what was kept when the cell ended, else asks the agent. Lines are as few as it takes, since agents select
// from the end; the rest of the selection is made on what they answer.
func (s *Server) openLog(ctx context.Context, pod *corev1.Pod, container string, options *corev1.PodLogOptions) (io.ReadCloser, error) {
	if kept, ok := s.options.Kept.Get(pod.UID, container); ok && !options.Previous {
		return io.NopCloser(bytes.NewReader(keptLines(kept, options.TailLines))), nil
	}
	agent, err := s.options.Pods.Agent(ctx, pod)
	if apierrors.IsNotFound(err) {
		return nil, refuse(http.StatusBadRequest, "the logs of container %q in pod %q are gone with its cell: %s", container, pod.Name, s.options.Kept.WhyGone(pod.UID, container, endOf(pod, container)))
	}
	if err != nil {
		return nil, fmt.Errorf("finding the cell of pod %q: %w", pod.Name, err)
	}
	log, err := askForLog(ctx, agent, container, previousRun(pod, container, options), options)
	if answer := (*itzo.StatusError)(nil); errors.As(err, &answer) && answer.Code == http.StatusBadRequest {
		return nil, refuse(http.StatusBadRequest, "container %q in pod %q has no logs: %s", container, pod.Name, answer.Message)
	}
	if errors.Is(err, itzo.ErrNoFormerRuns) {
		return nil, refuse(http.StatusBadRequest, "container %q in pod %q has no logs of its previous run: %s", container, pod.Name, err)
	}
	if err != nil {
		return nil, fmt.Errorf("asking the cell of pod %q: %w", pod.Name, err)
	}
	return log, nil
}

// previousRun is the ID of the run that the container's status tells as its
// last state; empty where the last run is wanted.
func previousRun(pod *corev1.Pod, container string, options *corev1.PodLogOptions) string {
	status, _ := containerStatus(pod, container)
	if last := status.LastTerminationState.Terminated; options.Previous && last != nil {
		return last.ContainerID
	}
	return ""
}

// endOf is when the container ended; zero where that is not known.
func endOf(pod *corev1.Pod, container string) time.Time {
	status, _ := containerStatus(pod, container)
	if terminated := status.State.Terminated; terminated != nil {
		return terminated.FinishedAt.Time
	}
	return time.Time{}
}

func askForLog(ctx context.Context, agent *itzo.Client, container, run string, options *corev1.PodLogOptions) (io.ReadCloser, error) {
	lines := 0 // all
	if options.TailLines != nil {
		lines = int(min(*options.TailLines, math.MaxInt32))
	}
	switch {
	case !options.Follow:
		return agent.Logs(ctx, container, itzo.LogOptions{Metadata: true, Lines: lines, Run: run})
	case options.TailLines != nil && lines == 0:
		lines = -1 // none but those that follow
	}
	return agent.FollowLogs(ctx, container, lines)
}

// sendBuffer is how much of a log is held back before the answer begins.
const sendBuffer = 32 << 10

// sendLog copies the log. When that fails after the answer has begun, the
// connection is broken, so that nobody takes a part of a log for all of it.
func (s *Server) sendLog(w http.ResponseWriter, log io.Reader, options *corev1.PodLogOptions) error {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	begun := &begunWriter{to: w}
	out := bufio.NewWriterSize(begun, sendBuffer)
	if options.Follow {
		log = bufio.NewReaderSize(&promptReader{from: log, flush: func() error {
			begun.yes = true
			return errors.Join(out.Flush(), http.NewResponseController(w).Flush())
		}}, sendBuffer)
	}
	err := copyLog(out, log, selectionOf(options, s.options.Clock))
	if err == nil {
		err = out.Flush()
	}
	if err != nil && begun.yes {
		panic(http.ErrAbortHandler)
	}
	if err != nil {
		return fmt.Errorf("reading the log from its cell: %w", err)
	}
	return nil
}

type begunWriter struct {
	to  io.Writer
	yes bool
}

func (b *begunWriter) Write(p []byte) (int, error) {
	b.yes = true
	return b.to.Write(p)
}

// promptReader sends all that was read before it waits for more.
type promptReader struct {
	from  io.Reader
	flush func() error
}

func (p *promptReader) Read(b []byte) (int, error) {
	if err := p.flush(); err != nil {
		return 0, err
	}
	return p.from.Read(b)
}

func hasContainer(pod *corev1.Pod, name string) bool {
	for _, c := range pod.Spec.Containers {
		if c.Name == name {
			return true
		}
	}
	for _, c := range pod.Spec.InitContainers {
		if c.Name == name {
			return true
		}
	}
	for _, c := range pod.Spec.EphemeralContainers {
		if c.Name == name {
			return true
		}
	}
	return false
}

// checkLogSource says, in the kubelet's words where it has any, why there is
// no log to show.
func checkLogSource(pod *corev1.Pod, container string, options *corev1.PodLogOptions) error {
	bad := func(format string, args ...any) error {
		return refuse(http.StatusBadRequest, "container %q in pod %q "+format, append([]any{container, pod.Name}, args...)...)
	}
	status, found := containerStatus(pod, container)
	if !found {
		return bad("%s", whyNoStatus(pod))
	}
	last := status.LastTerminationState.Terminated
	hasRun := status.State.Running != nil || status.State.Terminated != nil || last != nil
	switch {
	case options.Previous && last == nil:
		return refuse(http.StatusBadRequest, "previous terminated container %q in pod %q not found", container, pod.Name)
	case !hasRun:
		return bad("is waiting to start%s", whyWaiting(status.State.Waiting))
	}
	return nil
}

func whyWaiting(waiting *corev1.ContainerStateWaiting) string {
	if waiting == nil {
		return " - no logs yet"
	}
	switch waiting.Reason {
	case "ErrImagePull":
		return ": image can't be pulled"
	case "ImagePullBackOff":
		return ": trying and failing to pull image"
	}
	return ": " + waiting.Reason
}

// ended says that the container will never write again: following its log ends
// where the log does.
func ended(pod *corev1.Pod, status corev1.ContainerStatus) bool {
	terminated := status.State.Terminated
	if terminated == nil {
		return false
	}
	return pod.Status.Phase == corev1.PodSucceeded || pod.Status.Phase == corev1.PodFailed ||
		pod.Spec.RestartPolicy == corev1.RestartPolicyNever ||
		pod.Spec.RestartPolicy == corev1.RestartPolicyOnFailure && terminated.ExitCode == 0
}

// whyNoStatus speaks for a pod that no agent has reported of.
func whyNoStatus(pod *corev1.Pod) string {
	switch {
	case pod.Status.Phase != corev1.PodPending:
		return "is not available"
	case pod.Status.Message != "":
		return "is waiting to start: " + pod.Status.Message
	}
	return "is waiting to start: its cell is being made"
}

func containerStatus(pod *corev1.Pod, name string) (corev1.ContainerStatus, bool) {
	for _, statuses := range [][]corev1.ContainerStatus{
		pod.Status.ContainerStatuses, pod.Status.InitContainerStatuses, pod.Status.EphemeralContainerStatuses,
	} {
		for _, status := range statuses {
			if status.Name == name {
				return status, true
			}
		}
	}
	return corev1.ContainerStatus{}, false
}
