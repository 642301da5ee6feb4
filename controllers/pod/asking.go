package pod

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/utils/clock"

	"kip.elotl.co/api/v1beta1"
	"kip.elotl.co/internal/itzo"
	"kip.elotl.co/internal/podspec"
)

const (
	// pollStarting and pollRunning are how often an agent is asked that knows no
	// long poll, by whether its pod is only starting.
	pollStarting = time.Second
	pollRunning  = 3 * time.Second
	// pollTimeout bounds one question.
	pollTimeout = 15 * time.Second
	// maxStatus is how long the status of a pod may be, in bytes of JSON: as much
	// as the API server takes with the rest of the pod.
	maxStatus = 512 << 10
)

// asking asks one agent for the status of one pod: in long polls, and, when that
// turns out to be an agent of the first Kip, again and again.
type asking struct {
	agent *itzo.Client
	clock clock.WithTicker
	// view is the pod as it was when the asking began; of what may change of it
	// nothing matters here.
	view       podspec.UnitsView
	generation itzo.Generation
	// given: the agent has, or had, the pod.
	given bool
	// last is the last answer made of an agent's that has no revisions.
	last itzo.StatusReply
}

func newAsking(pod *corev1.Pod, cell *v1beta1.Cell, agent *itzo.Client, clock clock.WithTicker) *asking {
	a := &asking{agent: agent, clock: clock, given: pod.Status.StartTime != nil}
	a.view = podspec.UnitsView{Pod: pod.DeepCopy(), Before: *pod.Status.DeepCopy()}
	// What is no address stays invalid, and is not sent.
	a.view.PodIP, _ = netip.ParseAddr(cell.Status.PodIP)
	a.view.Host, _ = netip.ParseAddr(cell.Status.IP)
	return a
}

// next gives the first status that is another than the query's, or the same
// after a while. What cannot be the pod's is an error.
func (a *asking) next(ctx context.Context, query itzo.StatusQuery) (itzo.StatusReply, error) {
	if a.generation == "" {
		reply, err := a.agent.Poll(ctx, query)
		if err == nil {
			err = checkReply(a.view.Pod, reply)
		}
		if !itzo.IsCode(err, http.StatusNotFound) {
			return reply, err
		}
		ctx, cancel := context.WithTimeout(ctx, pollTimeout)
		defer cancel()
		if a.generation, err = a.agent.Generation(ctx); err != nil {
			return itzo.StatusReply{}, err
		}
	}
	return a.poll(ctx)
}

// poll asks at once the first time, and then after a pause.
func (a *asking) poll(ctx context.Context) (itzo.StatusReply, error) {
	if a.last.Epoch != "" {
		pause := pollRunning
		if a.last.PodUID == "" || a.last.Status.Phase == corev1.PodPending {
			pause = pollStarting
		}
		select {
		case <-ctx.Done():
			return itzo.StatusReply{}, ctx.Err()
		case <-a.clock.After(pause):
		}
	}
	ctx, cancel := context.WithTimeout(ctx, pollTimeout)
	defer cancel()
	units, err := a.agent.Status(ctx)
	if err != nil {
		return itzo.StatusReply{}, err
	}
	reply, err := a.reply(units)
	if err != nil {
		return itzo.StatusReply{}, err
	}
	if reply.PodUID == a.last.PodUID && equality.Semantic.DeepEqual(reply.Status, a.last.Status) && a.last.Epoch != "" {
		return a.last, nil
	}
	reply.Epoch, reply.Revision = string(a.generation), a.last.Revision+1
	a.last = reply
	return reply, nil
}

// reply makes of an agent's answer what one of ours would have answered. An
// agent that was given a pod has an address for it, until it is started anew.
func (a *asking) reply(units itzo.PodStatusReply) (itzo.StatusReply, error) {
	if units.PodIP == "" && !a.given {
		return itzo.StatusReply{}, nil
	}
	a.view.Now = a.clock.Now()
	reply := itzo.StatusReply{PodUID: a.view.Pod.UID}
	var err error
	if units.PodIP == "" {
		reply.Status = a.view.Lost()
	} else if reply.Status, err = a.view.Status(units); err != nil {
		return itzo.StatusReply{}, err
	}
	if err := checkReply(a.view.Pod, reply); err != nil {
		return itzo.StatusReply{}, err
	}
	a.given, a.view.Before = true, reply.Status
	return reply, nil
}

// errOtherPod and errStatus are what is wrong with an answer. They tell nothing
// of what it holds.
var (
	errOtherPod = errors.New("it answers with another pod's status")
	errStatus   = errors.New("what it answers cannot be the pod's status")
)

// checkReply refuses what no agent of the pod would say, so that it is taken for
// no answer.
func checkReply(pod *corev1.Pod, reply itzo.StatusReply) error {
	if reply.PodUID == "" {
		return nil
	}
	if reply.PodUID != pod.UID {
		return errOtherPod
	}
	status := &reply.Status
	if data, err := json.Marshal(status); err != nil || len(data) > maxStatus {
		return fmt.Errorf("%w: it is longer than %d bytes", errStatus, maxStatus)
	}
	if !slices.Contains([]corev1.PodPhase{corev1.PodPending, corev1.PodRunning, corev1.PodSucceeded, corev1.PodFailed}, status.Phase) {
		return fmt.Errorf("%w: the phase is none", errStatus)
	}
	names := map[string]bool{}
	for _, container := range slices.Concat(pod.Spec.InitContainers, pod.Spec.Containers) {
		names[container.Name] = true
	}
	for _, container := range slices.Concat(status.InitContainerStatuses, status.ContainerStatuses) {
		if !names[container.Name] {
			return fmt.Errorf("%w: a container is none of the pod's", errStatus)
		}
		names[container.Name] = false // each is there once
	}
	return checkEphemeral(names, status.EphemeralContainerStatuses)
}

// checkEphemeral refuses ephemeral containers that have the names of others. What
// the pod has of them changes: merge keeps those only that it has.
func checkEphemeral(others map[string]bool, ephemeral []corev1.ContainerStatus) error {
	seen := map[string]bool{}
	for _, container := range ephemeral {
		if _, taken := others[container.Name]; taken || seen[container.Name] {
			return fmt.Errorf("%w: an ephemeral container has the name of another", errStatus)
		}
		seen[container.Name] = true
	}
	return nil
}
