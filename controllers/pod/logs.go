package pod

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"kip.elotl.co/internal/itzo"
)

// LogKeeper keeps the logs of containers whose cell is about to end.
type LogKeeper interface {
	// Limit is how many bytes of a container's log are kept.
	Limit() int
	Keep(pod types.UID, container string, data []byte)
	Get(pod types.UID, container string) ([]byte, bool)
	Forget(pod types.UID, container string)
}

// keepLogsTimeout bounds how long the end of a cell waits for its logs.
const keepLogsTimeout = 5 * time.Second

// finish ends the cell of a pod that has ended, when its last logs are kept:
// best effort, for a cell that does not give them costs money all the same.
func (c *Controller) finish(ctx context.Context, s *scope) error {
	if cellState(s.cell) == cellReady && !c.logsKept(s.pod) {
		agent, err := c.Agents.ForCell(s.cell)
		if err != nil {
			return err
		}
		switch c.observers.known(s.pod, s.cell).calls[callLogs].state {
		case notMade:
			pod := s.pod.DeepCopy()
			c.observers.start(pod.UID, callLogs, keepLogsTimeout, func(ctx context.Context) error {
				return c.keepLogs(ctx, pod, agent)
			})
			return nil
		case underWay:
			return nil
		case answered:
		}
	}
	return c.endCell(ctx, s)
}

func (c *Controller) logsKept(pod *corev1.Pod) bool {
	for _, name := range haveRun(pod) {
		if _, kept := c.Logs.Get(pod.UID, name); !kept {
			return false
		}
	}
	return true
}

// haveRun names the pod's containers without those of which its status says that
// they never ran.
func haveRun(pod *corev1.Pod) []string {
	never := map[string]bool{}
	for _, status := range slices.Concat(pod.Status.InitContainerStatuses, pod.Status.ContainerStatuses, pod.Status.EphemeralContainerStatuses) {
		never[status.Name] = status.ContainerID == ""
	}
	return slices.DeleteFunc(containerNames(pod), func(name string) bool { return never[name] })
}

// containerNames are those of all containers, of whichever kind.
func containerNames(pod *corev1.Pod) []string {
	var names []string
	for _, container := range slices.Concat(pod.Spec.InitContainers, pod.Spec.Containers) {
		names = append(names, container.Name)
	}
	for i := range pod.Spec.EphemeralContainers {
		names = append(names, pod.Spec.EphemeralContainers[i].Name)
	}
	return names
}

// logsAtOnce is how many pods' logs are fetched at a time, so that what is under
// way takes little memory when many end together.
const logsAtOnce = 16

// keepLogs fetches the last logs of all containers.
func (c *Controller) keepLogs(ctx context.Context, pod *corev1.Pod, agent *itzo.Client) error {
	select {
	case c.fetching <- struct{}{}:
		defer func() { <-c.fetching }()
	case <-ctx.Done():
		return fmt.Errorf("waiting to fetch the last logs: %w", ctx.Err())
	}
	var errs []error
	for _, name := range haveRun(pod) {
		if err := c.keepLog(ctx, pod, name, agent); err != nil {
			errs = append(errs, fmt.Errorf("keeping the last log of container %s: %w", name, err))
		}
	}
	return errors.Join(errs...)
}

func (c *Controller) keepLog(ctx context.Context, pod *corev1.Pod, container string, agent *itzo.Client) error {
	stream, err := agent.Logs(ctx, container, itzo.LogOptions{Metadata: true, Bytes: c.Logs.Limit()})
	if err != nil {
		return err
	}
	defer stream.Close()
	data, err := io.ReadAll(io.LimitReader(stream, int64(c.Logs.Limit())))
	if err != nil {
		return err
	}
	c.Logs.Keep(pod.UID, container, data)
	return nil
}

// forgetLogs drops what is kept of a pod whose object goes.
func (c *Controller) forgetLogs(pod *corev1.Pod) {
	for _, name := range containerNames(pod) {
		c.Logs.Forget(pod.UID, name)
	}
}
