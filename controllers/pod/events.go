package pod

import (
	"regexp"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/tools/events"
	"k8s.io/client-go/util/flowcontrol"
	"k8s.io/utils/clock"

	"kip.elotl.co/internal/itzo"
)

// How many events of one pod's agent are recorded: as many at once, and one more
// in so many seconds. The usual start of a container makes four.
const (
	eventBurst   = 100
	eventSeconds = 10
)

// teller records what a pod's agent tells as Kubernetes Events of the pod.
type teller struct {
	recorder events.EventRecorder
	limit    flowcontrol.PassiveRateLimiter
	// last is the number of the last event that was recorded.
	last int64
}

func newTeller(recorder events.EventRecorder, c clock.PassiveClock) *teller {
	return &teller{recorder: recorder, limit: flowcontrol.NewTokenBucketPassiveRateLimiterWithClock(1.0/eventSeconds, eventBurst, c)}
}

// tell records the events of an answer that were not recorded before. What an
// agent says is not to be trusted: only this pod can get events of it, not too
// many, and clean ones.
func (t *teller) tell(pod *corev1.Pod, reply itzo.StatusReply) {
	if reply.PodUID != pod.UID {
		t.last = 0 // should it get the pod, numbers begin anew
		return
	}
	told := reply.Events[max(len(reply.Events)-itzo.MaxEvents, 0):]
	for _, event := range told {
		clean, ok := event.Clean()
		if !ok || event.Number <= t.last || event.Number > reply.LastEvent {
			continue
		}
		t.last = event.Number
		if t.limit.TryAccept() {
			t.record(pod, clean)
		}
	}
}

func (t *teller) record(pod *corev1.Pod, event itzo.Event) {
	regarding := &corev1.ObjectReference{
		APIVersion: "v1", Kind: "Pod", Namespace: pod.Namespace, Name: pod.Name, UID: pod.UID, FieldPath: event.FieldPath,
	}
	t.recorder.Eventf(regarding, nil, event.Type, event.Reason, actionOf(event.Message), "%s", event.Message)
}

// actionWords are how many words of an event's text make its action.
const actionWords = 3

// actionOf names what was done by the first words of an event's text. The recorder
// takes events that differ in their texts only for the same one, happening again:
// with it, a failed liveness probe is not one more failed readiness probe.
func actionOf(message string) string {
	var action strings.Builder
	words := regexp.MustCompile(`[A-Za-z0-9]+`).FindAllString(message[:min(len(message), 128)], actionWords)
	for _, word := range words {
		action.WriteString(strings.ToUpper(word[:1]) + word[1:])
	}
	if action.Len() == 0 {
		return "Run"
	}
	return action.String()
}
