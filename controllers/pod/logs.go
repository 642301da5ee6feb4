package pod

import (
	"context"
	"io"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"kip.elotl.co/internal/itzo"
	"kip.elotl.co/internal/lastlogs"
)

// LogKeeper keeps the logs of containers whose cell is about to end.
type LogKeeper interface {
	Keep(pod types.UID, container string, data []byte)
	Get(pod types.UID, container string) ([]byte, bool)
	Forget(pod types.UID, container string)
}

// keepLogsTimeout bounds how long the end of a cell waits for its logs.
const keepLogsTimeout = 5 * time.Second

// keepLogs fetches the last logs of a pod that has ended, best effort: a cell
// that does not give them costs money all the same.
func (c *Controller) keepLogs(ctx context.Context, s *scope) {
	if cellState(s.cell) != cellReady {
		return
	}
	agent, err := c.Agents.ForCell(s.cell)
	if err != nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, keepLogsTimeout)
	defer cancel()
	for i := range s.pod.Spec.Containers {
		name := s.pod.Spec.Containers[i].Name
		if _, kept := c.Logs.Get(s.pod.UID, name); kept {
			continue
		}
		if err := c.keepLog(ctx, s.pod, name, agent); err != nil {
			log.FromContext(ctx).Info("the last logs of a container are lost", "container", name, "error", err.Error())
		}
	}
}

func (c *Controller) keepLog(ctx context.Context, pod *corev1.Pod, container string, agent *itzo.Client) error {
	stream, err := agent.Logs(ctx, container, itzo.LogOptions{Metadata: true, Bytes: lastlogs.MaxContainer})
	if err != nil {
		return err
	}
	defer stream.Close()
	data, err := io.ReadAll(io.LimitReader(stream, lastlogs.MaxContainer))
	if err != nil {
		return err
	}
	c.Logs.Keep(pod.UID, container, data)
	return nil
}

// forgetLogs drops what is kept of a pod whose object goes.
func (c *Controller) forgetLogs(pod *corev1.Pod) {
	for i := range pod.Spec.Containers {
		c.Logs.Forget(pod.UID, pod.Spec.Containers[i].Name)
	}
}
