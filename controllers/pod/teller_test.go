package pod

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	clocktesting "k8s.io/utils/clock/testing"

	"kip.elotl.co/internal/itzo"
)

// recorded is a recorder that keeps one line for each event.
type recorded []string

// Event implements record.EventRecorder.
func (r *recorded) Event(about runtime.Object, kind, reason, message string) {
	ref := about.(*corev1.ObjectReference)
	*r = append(*r, fmt.Sprintf("%s/%s(%s) %s: %s %s %s", ref.Namespace, ref.Name, ref.UID, ref.FieldPath, kind, reason, message))
}

// Eventf implements record.EventRecorder.
func (r *recorded) Eventf(about runtime.Object, kind, reason, format string, args ...any) {
	r.Event(about, kind, reason, fmt.Sprintf(format, args...))
}

// AnnotatedEventf implements record.EventRecorder.
func (r *recorded) AnnotatedEventf(about runtime.Object, _ map[string]string, kind, reason, format string, args ...any) {
	r.Eventf(about, kind, reason, format, args...)
}

func newTestTeller() (*teller, *recorded, *clocktesting.FakePassiveClock, *corev1.Pod) {
	seen, clock := &recorded{}, clocktesting.NewFakePassiveClock(time.Now())
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "web", UID: "u"}}
	return newTeller(seen, clock), seen, clock, pod
}

func TestTeller(t *testing.T) {
	teller, seen, _, pod := newTestTeller()
	killing := itzo.Event{Number: 1, Type: "Normal", Reason: "Killing", Message: "Stopping container main", FieldPath: "spec.containers{main}"}
	failed := itzo.Event{Number: 2, Type: "Warning", Reason: "Failed", Message: "100%d wrong"}
	teller.tell(pod, itzo.StatusReply{PodUID: "u", Events: []itzo.Event{killing}, LastEvent: 1})
	teller.tell(pod, itzo.StatusReply{PodUID: "u", Events: []itzo.Event{killing, failed}, LastEvent: 2})
	teller.tell(pod, itzo.StatusReply{PodUID: "u", Events: []itzo.Event{killing, failed}, LastEvent: 2})
	want := recorded{
		"ns/web(u) spec.containers{main}: Normal Killing Stopping container main",
		"ns/web(u) : Warning Failed 100%d wrong",
	}
	if diff := cmp.Diff(want, *seen); diff != "" {
		t.Error(diff)
	}
}

// An agent can neither write about another pod nor as much as it likes.
func TestTellerOfAHostileAgent(t *testing.T) {
	teller, seen, clock, pod := newTestTeller()
	flood := func(uid string, from, count int64, change func(*itzo.Event)) int {
		before := len(*seen)
		reply := itzo.StatusReply{PodUID: pod.UID, LastEvent: from + count}
		if uid != "" {
			reply.PodUID = "other"
		}
		for i := range count {
			event := itzo.Event{Number: from + i, Type: "Normal", Reason: "Killing", Message: "x"}
			change(&event)
			event.Message = fmt.Sprint(event.Number, event.Message)
			reply.Events = append(reply.Events, event)
		}
		teller.tell(pod, reply)
		return len(*seen) - before
	}
	same := func(*itzo.Event) {}
	if got := flood("other", 1, 5, same); got != 0 {
		t.Errorf("%d events of another pod", got)
	}
	if got := flood("", 1, 5, func(e *itzo.Event) { e.Reason = "no word" }); got != 0 {
		t.Errorf("%d events without a reason: %v", got, *seen)
	}
	if got := flood("", 10, 5, func(e *itzo.Event) { e.Number += 1 << 40 }); got != 0 {
		t.Errorf("%d events with numbers beyond the last", got)
	}
	if got := flood("", 100, 1000, same); got != itzo.MaxEvents {
		t.Errorf("%d events at once", got)
	}
	if got := flood("", 2000, 1000, same); got != eventBurst-itzo.MaxEvents {
		t.Errorf("%d events more", got)
	}
	clock.SetTime(clock.Now().Add(3*eventSeconds*time.Second + time.Second))
	if got := flood("", 4000, 1000, func(e *itzo.Event) { e.Message = "\x1b[31m" + strings.Repeat("é", 1<<16) }); got != 3 {
		t.Errorf("%d events a while later", got)
	}
	if last := (*seen)[len(*seen)-1]; strings.Contains(last, "\x1b") || len(last) > 2*itzo.MaxEventMessage {
		t.Errorf("%d bytes: %.40q", len(last), last)
	}
}

// What is told again and again in the same words does not take the place of what
// is new, and has its own limit.
func TestTellerOfRepeats(t *testing.T) {
	teller, seen, _, pod := newTestTeller()
	number := int64(0)
	tell := func(message string) {
		number++
		event := itzo.Event{Number: number, Type: "Warning", Reason: "Unhealthy", Message: message}
		teller.tell(pod, itzo.StatusReply{PodUID: pod.UID, Events: []itzo.Event{event}, LastEvent: number})
	}
	for range 1000 {
		tell("refused")
	}
	if got := len(*seen); got != 1+repeatBurst {
		t.Errorf("%d events in the same words", got)
	}
	for i := range eventBurst {
		tell(fmt.Sprint("other ", i))
	}
	if got := len(*seen); got != 1+repeatBurst+eventBurst-1 {
		t.Errorf("%d events in all", got)
	}
	if got := len(teller.known); got > knownTexts {
		t.Errorf("%d texts are kept", got)
	}
}
