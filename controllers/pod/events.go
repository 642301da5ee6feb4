package pod

import (
	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/tools/record"
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

// What was told before in the same words costs no more than a count, of as many
// texts and as often.
const (
	knownTexts    = 64
	repeatBurst   = 100
	repeatsPerSec = 10
)

// teller records what a pod's agent tells as Kubernetes Events of the pod.
type teller struct {
	recorder       record.EventRecorder
	limit, repeats flowcontrol.PassiveRateLimiter
	known          map[text]struct{}
	// last is the number of the last event that was recorded.
	last int64
}

// text is what makes two events the same, happening again.
type text struct{ kind, reason, message, fieldPath string }

func newTeller(recorder record.EventRecorder, c clock.PassiveClock) *teller {
	return &teller{
		recorder: recorder, known: map[text]struct{}{},
		limit:   flowcontrol.NewTokenBucketPassiveRateLimiterWithClock(1.0/eventSeconds, eventBurst, c),
		repeats: flowcontrol.NewTokenBucketPassiveRateLimiterWithClock(repeatsPerSec, repeatBurst, c),
	}
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
		if t.accept(clean) {
			t.recorder.Event(reference(pod, clean.FieldPath), clean.Type, clean.Reason, clean.Message)
		}
	}
}

// accept says whether an event is within the limits.
func (t *teller) accept(event itzo.Event) bool {
	told := text{event.Type, event.Reason, event.Message, event.FieldPath}
	if _, known := t.known[told]; known {
		return t.repeats.TryAccept()
	}
	if !t.limit.TryAccept() {
		return false
	}
	if len(t.known) >= knownTexts {
		clear(t.known)
	}
	t.known[told] = struct{}{}
	return true
}

// reference names a pod, or a field of it, in an event.
func reference(pod *corev1.Pod, fieldPath string) *corev1.ObjectReference {
	return &corev1.ObjectReference{
		APIVersion: "v1", Kind: "Pod", Namespace: pod.Namespace, Name: pod.Name, UID: pod.UID, FieldPath: fieldPath,
	}
}
