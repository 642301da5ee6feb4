package agent

import (
	"net/http"

	corev1 "k8s.io/api/core/v1"

	"kip.elotl.co/internal/itzo"
)

// status answers in Itzo's own words, for clients that know no better.
func (a *Agent) status(w http.ResponseWriter, _ *http.Request) error {
	reply, _ := a.hub.current()
	return writeJSON(w, podStatusReply(&reply.Status))
}

func podStatusReply(status *corev1.PodStatus) itzo.PodStatusReply {
	reply := itzo.PodStatusReply{PodIP: status.PodIP}
	for i := range status.ContainerStatuses {
		container := &status.ContainerStatuses[i]
		reply.UnitStatus = append(reply.UnitStatus, itzo.UnitStatus{
			Name:         container.Name,
			State:        unitState(container.State),
			LastState:    unitState(container.LastTerminationState),
			RestartCount: container.RestartCount,
			Image:        container.Image,
			Ready:        container.Ready,
			Started:      container.Started,
		})
	}
	return reply
}

func unitState(state corev1.ContainerState) itzo.UnitState {
	switch {
	case state.Running != nil:
		return itzo.UnitState{Running: &itzo.UnitStateRunning{StartedAt: state.Running.StartedAt}}
	case state.Terminated != nil:
		return itzo.UnitState{Terminated: &itzo.UnitStateTerminated{
			ExitCode:   state.Terminated.ExitCode,
			StartedAt:  state.Terminated.StartedAt,
			FinishedAt: state.Terminated.FinishedAt,
			Reason:     state.Terminated.Reason,
			Message:    state.Terminated.Message,
		}}
	case state.Waiting != nil:
		return itzo.UnitState{Waiting: &itzo.UnitStateWaiting{Reason: state.Waiting.Reason}}
	}
	return itzo.UnitState{}
}
