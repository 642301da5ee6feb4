package itzo

import (
	"regexp"
	"strings"
	"time"
	"unicode"

	corev1 "k8s.io/api/core/v1"
)

// What of events passes the wire at most.
const (
	// MaxEvents is how many an agent keeps, and a status answer has.
	MaxEvents = 64
	// MaxEventMessage is the API server's limit for the text of an event, in bytes.
	MaxEventMessage = 1024
)

// Event is something that happened to the pod, told as a kubelet tells it.
type Event struct {
	// Number grows with every event of the pod, also over restarts of the agent.
	Number int64 `json:"number"`
	// At is when it happened last, by the cell's clock.
	At time.Time `json:"at"`
	// Count is how often it happened since it was last acknowledged.
	Count int64 `json:"count"`
	// Type is Normal or Warning, Reason a word in CamelCase, e.g. BackOff.
	Type    string `json:"type"`
	Reason  string `json:"reason"`
	Message string `json:"message"`
	// FieldPath names the container, e.g. spec.containers{web}; empty: the pod.
	FieldPath string `json:"fieldPath,omitempty"`
}

// EventsAfter are the events with a larger number, of a list that is in order.
func EventsAfter(events []Event, number int64) []Event {
	for i := range events {
		if events[i].Number > number {
			return events[i:]
		}
	}
	return nil
}

// Clean answers the event as it may be shown, whoever told it: with a text that is
// short enough and has no control characters, and without a field path that is
// not a container's. ok is false for what is no event: its reason is no word.
func (e Event) Clean() (clean Event, ok bool) {
	if !reasonForm().MatchString(e.Reason) {
		return Event{}, false
	}
	if e.Type != corev1.EventTypeNormal {
		e.Type = corev1.EventTypeWarning
	}
	if !fieldPathForm().MatchString(e.FieldPath) {
		e.FieldPath = ""
	}
	e.Message = cleanText(e.Message)
	return e, true
}

func reasonForm() *regexp.Regexp { return regexp.MustCompile(`^[A-Z][A-Za-z0-9]{0,127}$`) }

func fieldPathForm() *regexp.Regexp {
	return regexp.MustCompile(`^spec\.(initContainers|containers|ephemeralContainers)\{[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?\}$`)
}

// cleanText keeps line breaks and tabs, which kubelets' texts have too.
func cleanText(text string) string {
	text = strings.ToValidUTF8(text[:min(len(text), MaxEventMessage)], "")
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\n' || r == '\t':
			return r
		case unicode.IsPrint(r):
			return r
		}
		return ' '
	}, text)
}
