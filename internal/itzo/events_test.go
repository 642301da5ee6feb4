package itzo_test

import (
	"strings"
	"testing"
	"unicode/utf8"

	"kip.elotl.co/internal/itzo"
)

func TestEventIsCleaned(t *testing.T) {
	long := strings.Repeat("é", itzo.MaxEventMessage)
	tests := map[string]struct{ told, want itzo.Event }{
		"as a kubelet's": {
			itzo.Event{Type: "Normal", Reason: "Pulling", Message: "Pulling image \"x\"\n\tagain", FieldPath: "spec.containers{web-1}"},
			itzo.Event{Type: "Normal", Reason: "Pulling", Message: "Pulling image \"x\"\n\tagain", FieldPath: "spec.containers{web-1}"}},
		"control characters": {
			itzo.Event{Type: "Warning", Reason: "Failed", Message: "a\x1b[2Jb\x00\u202ec\xff"},
			itzo.Event{Type: "Warning", Reason: "Failed", Message: "a [2Jb  c"}},
		"another type": {itzo.Event{Type: "Alarm", Reason: "X"}, itzo.Event{Type: "Warning", Reason: "X"}},
		"too long": {itzo.Event{Type: "Normal", Reason: "X", Message: long},
			itzo.Event{Type: "Normal", Reason: "X", Message: long[:itzo.MaxEventMessage]}},
		"a field path of something else": {itzo.Event{Type: "Normal", Reason: "X", FieldPath: "spec.containers{../x}"},
			itzo.Event{Type: "Normal", Reason: "X"}},
	}
	for name, test := range tests {
		if got, ok := test.told.Clean(); !ok || got != test.want {
			t.Errorf("%s: got %+v, %v", name, got, ok)
		}
	}
	for _, reason := range []string{"", "two words", "lower", "A\n", strings.Repeat("A", 129)} {
		if _, ok := (itzo.Event{Type: "Normal", Reason: reason}).Clean(); ok {
			t.Errorf("reason %q must not pass", reason)
		}
	}
}

func FuzzEventClean(f *testing.F) {
	f.Add("Normal", "Pulled", "text", "spec.containers{web}")
	f.Add("", "A", "\x80\u0085", "spec.containers{}")
	f.Fuzz(func(t *testing.T, kind, reason, message, path string) {
		got, ok := itzo.Event{Type: kind, Reason: reason, Message: message, FieldPath: path}.Clean()
		if !ok {
			return
		}
		if len(got.Message) > itzo.MaxEventMessage || !utf8.ValidString(got.Message) || strings.ContainsAny(got.Message, "\x00\x1b\r") {
			t.Errorf("message %q", got.Message)
		}
		if again, ok := got.Clean(); !ok || again != got {
			t.Errorf("cleaned twice: %+v, was %+v", again, got)
		}
	})
}
