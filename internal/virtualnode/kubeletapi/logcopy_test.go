package kubeletapi

import (
	"bytes"
	"errors"
	"io"
	"math"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	clocktesting "k8s.io/utils/clock/testing"
)

// sample is a log with lines of both streams, a line in three parts, and a last
// line that has not ended.
const sample = `2026-01-01T00:00:00.5Z stdout F one
2026-01-01T00:00:01Z stderr F two
2026-01-01T00:00:02Z stdout P thr
2026-01-01T00:00:02.1Z stdout P e
2026-01-01T00:00:02.2Z stdout F e
2026-01-01T00:00:03.000000001Z stdout F 
2026-01-01T00:00:04Z stderr F:x four  and more
2026-01-01T00:00:05Z stdout P unfin
`

var second = func(n int) time.Time { return time.Date(2026, 1, 1, 0, 0, n, 0, time.UTC) }

func TestCopyLog(t *testing.T) {
	all := int64(math.MaxInt64)
	long := strings.Repeat("0123456789", 10000)
	tests := []struct {
		name      string
		log       string
		selection logSelection
		want      string
	}{
		{"all", sample, logSelection{limit: all}, "one\ntwo\nthree\n\nfour  and more\nunfin"},
		{"nothing", "", logSelection{limit: all, timestamps: true}, ""},
		{"timestamps", sample, logSelection{limit: all, timestamps: true},
			"2026-01-01T00:00:00.500000000Z one\n2026-01-01T00:00:01.000000000Z two\n2026-01-01T00:00:02.000000000Z three\n" +
				"2026-01-01T00:00:03.000000001Z \n2026-01-01T00:00:04.000000000Z four  and more\n2026-01-01T00:00:05.000000000Z unfin"},
		{"since", sample, logSelection{limit: all, since: second(3)}, "\nfour  and more\nunfin"},
		{"since is inclusive", sample, logSelection{limit: all, since: second(4)}, "four  and more\nunfin"},
		{"since the future", sample, logSelection{limit: all, since: second(50)}, ""},
		{"stdout", sample, logSelection{limit: all, stream: "stdout"}, "one\nthree\n\nunfin"},
		{"stderr with timestamps", sample, logSelection{limit: all, stream: "stderr", timestamps: true},
			"2026-01-01T00:00:01.000000000Z two\n2026-01-01T00:00:04.000000000Z four  and more\n"},
		{"limit within a line", sample, logSelection{limit: 6}, "one\ntw"},
		{"limit at its end", sample, logSelection{limit: 8}, "one\ntwo\n"},
		{"limit within a timestamp", sample, logSelection{limit: 4, timestamps: true}, "2026"},
		{"a long line", "2026-01-01T00:00:00Z stdout F " + long + "\n2026-01-01T00:00:00Z stdout F next\n", logSelection{limit: all}, long + "\nnext\n"},
		{"a long line left out", "2026-01-01T00:00:00Z stdout F " + long + "\n2026-01-01T00:00:09Z stdout F next\n",
			logSelection{limit: all, since: second(1)}, "next\n"},
		{"cut within an entry", "2026-01-01T00:00:00Z stdout F one\n2026-01-01T00:00:01Z stdout F tw", logSelection{limit: all}, "one\ntw"},
		{"other formats as they are", "plain text\n2026-01-01T00:00:00Z stdin F x\n{}\n", logSelection{limit: all, timestamps: true},
			"plain text\n2026-01-01T00:00:00Z stdin F x\n{}\n"},
		{"other formats belong to the time before", "2026-01-01T00:00:01Z stdout F one\n  at line 3\n2026-01-01T00:00:05Z stdout F two\n  at line 4\n",
			logSelection{limit: all, since: second(2)}, "two\n  at line 4\n"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			for name, reader := range map[string]io.Reader{
				"at once":      strings.NewReader(tt.log),
				"byte by byte": iotest.OneByteReader(strings.NewReader(tt.log)),
			} {
				var got bytes.Buffer
				if err := copyLog(&got, reader, tt.selection); err != nil {
					t.Fatal(err)
				}
				if diff := cmp.Diff(tt.want, got.String()); diff != "" {
					t.Errorf("%s: %s", name, diff)
				}
			}
		})
	}
}

func TestCopyLogFails(t *testing.T) {
	broken := errors.New("broken")
	selection := logSelection{limit: math.MaxInt64}
	reader := io.MultiReader(strings.NewReader(sample), iotest.ErrReader(broken))
	if err := copyLog(io.Discard, reader, selection); !errors.Is(err, broken) {
		t.Errorf("reading: got %v", err)
	}
	to, from := io.Pipe()
	to.CloseWithError(broken)
	if err := copyLog(from, strings.NewReader(sample), selection); !errors.Is(err, broken) {
		t.Errorf("writing: got %v", err)
	}
}

// With the limit reached nothing more is read.
func TestCopyLogStopsAtTheLimit(t *testing.T) {
	reader := io.MultiReader(strings.NewReader(sample), iotest.ErrReader(errors.New("read on")))
	if err := copyLog(io.Discard, iotest.OneByteReader(reader), logSelection{limit: 3}); err != nil {
		t.Error(err)
	}
}

func TestSelectionOf(t *testing.T) {
	clock := clocktesting.NewFakePassiveClock(second(100))
	tests := []struct {
		name    string
		options corev1.PodLogOptions
		want    logSelection
	}{
		{"nothing asked for", corev1.PodLogOptions{}, logSelection{limit: math.MaxInt64}},
		{"all", corev1.PodLogOptions{Timestamps: true, SinceSeconds: ptr(int64(60)), LimitBytes: ptr(int64(5)), Stream: ptr("Stderr")},
			logSelection{since: second(40), timestamps: true, stream: "stderr", limit: 5}},
		{"a time", corev1.PodLogOptions{SinceTime: &metav1.Time{Time: second(7)}, Stream: ptr("All")}, logSelection{since: second(7), limit: math.MaxInt64}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if diff := cmp.Diff(tt.want, selectionOf(&tt.options, clock), cmp.AllowUnexported(logSelection{})); diff != "" {
				t.Error(diff)
			}
		})
	}
	got := selectionOf(&corev1.PodLogOptions{SinceSeconds: ptr(int64(math.MaxInt64))}, clock)
	if !got.since.Before(second(0)) {
		t.Errorf("more seconds than there were reach back to %s", got.since)
	}
}

func TestKeptLines(t *testing.T) {
	const entry = "2026-01-01T00:00:00Z stdout F "
	lines := strings.SplitAfter(sample, "\n")
	tests := []struct {
		name string
		log  string
		tail *int64
		want string
	}{
		{"all", sample, nil, sample},
		{"the last", sample, ptr(int64(1)), lines[7]},
		{"two", sample, ptr(int64(2)), lines[6] + lines[7]},
		{"a line in parts is one", sample, ptr(int64(4)), strings.Join(lines[2:], "")},
		{"more than there are", sample, ptr(int64(400)), sample},
		{"nothing", "", ptr(int64(3)), ""},
		{"a beginning that was cut off", "Z stdout F x\n" + entry + "y\n", nil, entry + "y\n"},
		{"a beginning that was cut off is no line", "Z stdout F x\n" + entry + "y\n", ptr(int64(2)), entry + "y\n"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if diff := cmp.Diff(tt.want, string(keptLines([]byte(tt.log), tt.tail))); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func FuzzCopyLog(f *testing.F) {
	f.Add([]byte(sample), int64(5), true, int64(3))
	f.Add([]byte("x\n\n stdout F \n2026-01-01T00:00:00Z stdout P"), int64(1000), false, int64(1))
	f.Fuzz(func(t *testing.T, log []byte, limit int64, timestamps bool, tail int64) {
		if limit < 1 || tail < 1 {
			t.Skip()
		}
		var whole, limited, slow bytes.Buffer
		selection := logSelection{limit: math.MaxInt64, timestamps: timestamps}
		if err := copyLog(&whole, bytes.NewReader(log), selection); err != nil {
			t.Fatal(err)
		}
		if err := copyLog(&slow, iotest.HalfReader(bytes.NewReader(log)), selection); err != nil || slow.String() != whole.String() {
			t.Fatalf("read in pieces: %q, %v; at once %q", slow.String(), err, whole.String())
		}
		selection.limit = limit
		if err := copyLog(&limited, bytes.NewReader(log), selection); err != nil {
			t.Fatal(err)
		}
		if want := whole.Bytes()[:min(limit, int64(whole.Len()))]; !bytes.Equal(want, limited.Bytes()) {
			t.Fatalf("limited to %d: %q of %q", limit, limited.Bytes(), whole.Bytes())
		}
		if kept := keptLines(log, &tail); !bytes.HasSuffix(log, kept) {
			t.Fatalf("the last lines %q are not the end", kept)
		}
	})
}
