package agent

import (
	"bufio"
	"context"
	"errors"
	"io/fs"
	"strings"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
)

// The kubelet's limits of a termination message.
const (
	maxMessage      = 4096
	maxMessageLog   = 2048
	maxMessageLines = 80
)

// readMessages adds to ended containers what they left as termination message.
func (a *Agent) readMessages(ctx context.Context, pod *corev1.Pod, obs *Observation) {
	present := make(map[string]string, len(obs.Containers))
	for i := range obs.Containers {
		container := &obs.Containers[i]
		if container.State != ContainerExited {
			continue
		}
		message, known := a.messages[container.ID]
		if !known {
			message = a.terminationMessage(ctx, pod, container)
		}
		present[container.ID] = message
		if message != "" && container.Message != "" {
			container.Message += ": "
		}
		container.Message += message
	}
	a.messages = present
}

func (a *Agent) terminationMessage(ctx context.Context, pod *corev1.Pod, container *Container) string {
	spec := containerNamed(pod, container.Name)
	if spec == nil || spec.TerminationMessagePath == "" {
		return ""
	}
	log := logr.FromContextOrDiscard(ctx).WithValues("container", container.Name)
	id := containerID(pod, container.Name, container.Attempt)
	message, err := a.config.Host.TerminationMessage(id, maxMessage)
	if err != nil {
		log.Error(err, "Cannot read the termination message")
	}
	if message != "" || spec.TerminationMessagePolicy != corev1.TerminationMessageFallbackToLogsOnError || container.ExitCode == 0 {
		return message
	}
	message, err = a.logTail(ctx, id)
	if err != nil {
		log.Error(err, "Cannot read the log for the termination message")
	}
	return message
}

// logTail gives the last lines of a container's log, at most as many as a
// termination message may have.
func (a *Agent) logTail(ctx context.Context, id ContainerID) (string, error) {
	log, err := a.config.Runtime.Log(ctx, id)
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	defer log.Close()
	var tail []byte
	reader := bufio.NewReader(log)
	for {
		entry, err := readLogEntry(reader)
		if err != nil {
			break
		}
		tail = append(tail, entry.text...)
		if !entry.partial {
			tail = append(tail, '\n')
		}
		if len(tail) > 2*maxMessageLog {
			tail = append(tail[:0], tail[len(tail)-maxMessageLog:]...)
		}
	}
	tail = tail[max(len(tail)-maxMessageLog, 0):]
	lines := strings.SplitAfter(string(tail), "\n")
	if lines[len(lines)-1] == "" {
		lines = lines[:len(lines)-1]
	}
	return strings.Join(lines[max(len(lines)-maxMessageLines, 0):], ""), nil
}

func containerNamed(pod *corev1.Pod, name string) *corev1.Container {
	for _, container := range allContainers(pod) {
		if container.Name == name {
			return container
		}
	}
	return nil
}
