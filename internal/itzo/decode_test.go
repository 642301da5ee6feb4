package itzo

import (
	"strings"
	"testing"
	"unicode/utf8"
)

func fuzzDecode[T any](f *testing.F, seeds ...string) {
	for _, seed := range seeds {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var into T
		if err := decode(data, &into); err != nil && len(err.Error()) > 200 {
			t.Fatalf("the error repeats the answer: %v", err)
		}
	})
}

func FuzzDecodeInfo(f *testing.F) {
	fuzzDecode[Info](f, `{"agent":"kip","version":"v2","protocol":1,"features":["pod"],"memoryBytes":1,"cpus":1,"runtime":{"name":"containerd"},"podUID":"u"}`)
}

func FuzzDecodeStatusReply(f *testing.F) {
	fuzzDecode[StatusReply](f, `{"revision":1,"epoch":"e","podUID":"u","status":{"phase":"Running","startTime":"2026-11-20T15:17:02Z","containerStatuses":[{"name":"main"}]}}`)
}

func FuzzDecodePodStatusReply(f *testing.F) {
	fuzzDecode[PodStatusReply](f, `{"unitStatus":null,"initUnitStatus":null,"podIP":""}`,
		`{"unitStatus":[{"name":"main","state":{"running":{"startedAt":null}},"lastState":{},"started":null}],"resourceUsage":{"cpu":1.5}}`)
}

func FuzzDecodeMessage(f *testing.F) {
	f.Add([]byte("3MA=="))
	f.Add([]byte("3LTE="))
	f.Add([]byte("1"))
	f.Fuzz(func(t *testing.T, message []byte) {
		channel, payload, err := decodeMessage(message)
		if err == nil && (channel < '0' || channel > '9' || len(payload) > len(message)) {
			t.Fatalf("%q became channel %q with %q", message, channel, payload)
		}
		if _, err := decodeExitCode(payload); err != nil && len(payload) > 50 && strings.Contains(err.Error(), string(payload)) {
			t.Fatalf("the error repeats the answer: %v", err)
		}
	})
}

func FuzzErrorMessage(f *testing.F) {
	f.Add(400, "400 Bad Request: spec: no\n")
	f.Fuzz(func(t *testing.T, code int, text string) {
		message := errorMessage(code, text)
		if !utf8.ValidString(message) || strings.ContainsAny(message, "\n\r\x00\x1b") {
			t.Fatalf("%q became %q", text, message)
		}
	})
}
