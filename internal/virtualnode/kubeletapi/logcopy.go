package kubeletapi

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"math"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/utils/clock"
)

// logSelection is what to copy of a log.
type logSelection struct {
	// since leaves out what was written before.
	since      time.Time
	timestamps bool
	// stream is the one to copy, stdout or stderr; both when empty.
	stream string
	// limit is how many bytes to copy at most.
	limit int64
}

func selectionOf(o *corev1.PodLogOptions, c clock.PassiveClock) logSelection {
	s := logSelection{timestamps: o.Timestamps, limit: math.MaxInt64}
	switch {
	case o.SinceTime != nil:
		s.since = o.SinceTime.Time
	case o.SinceSeconds != nil:
		// More seconds than a Duration holds reach back beyond any log.
		const most = int64(math.MaxInt64 / time.Second)
		s.since = c.Now().Add(-time.Duration(min(*o.SinceSeconds, most)) * time.Second)
	}
	if o.LimitBytes != nil {
		s.limit = *o.LimitBytes
	}
	if o.Stream != nil && *o.Stream != corev1.LogStreamAll {
		s.stream = strings.ToLower(*o.Stream)
	}
	return s
}

// timeFormat has a fixed width, as kubelets write it.
const timeFormat = "2006-01-02T15:04:05.000000000Z07:00"

// copyLog copies entries in the CRI's format, "<time> <stream> <tag> <text>",
// as the text that the container wrote. An entry with the tag P is continued
// by the next. What does not have that format is copied as it is, and counts
// as written when the entry before it was. It holds no whole entry in memory.
func copyLog(to io.Writer, from io.Reader, selection logSelection) error {
	out := &limitedWriter{to: to, left: selection.limit}
	c := logCopier{out: out, selection: selection, atLineStart: true}
	reader := bufio.NewReader(from)
	first := true
	for out.left > 0 {
		part, err := reader.ReadSlice('\n')
		if len(part) > 0 {
			if err := c.part(part, first); err != nil {
				return err
			}
			first = part[len(part)-1] == '\n'
		}
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil && !errors.Is(err, bufio.ErrBufferFull):
			return err
		}
	}
	return nil
}

// keptLines are the last lines, at least one, of a log of which the beginning
// may have been cut off, within an entry; all of them when tail is nil.
func keptLines(log []byte, tail *int64) []byte {
	if first, rest, _ := bytes.Cut(log, []byte("\n")); tail == nil {
		if _, _, ok := parseHeader(first); !ok {
			return rest
		}
		return log
	}
	log = keptLines(log, nil)
	var starts []int
	at, open := 0, false
	for entry := range bytes.Lines(log) {
		if !open {
			starts = append(starts, at)
		}
		header, _, ok := parseHeader(entry)
		open = ok && header.partial
		at += len(entry)
	}
	if int64(len(starts)) <= *tail {
		return log
	}
	return log[starts[int64(len(starts))-*tail]:]
}

type logCopier struct {
	out         io.Writer
	selection   logSelection
	entry       logHeader
	wanted      bool
	atLineStart bool
}

type logHeader struct {
	time    time.Time
	stream  string
	partial bool
}

// part copies a part of an entry, the last of which ends with a newline.
func (c *logCopier) part(part []byte, first bool) error {
	if first {
		part = c.begin(part)
	}
	text, last := bytes.CutSuffix(part, []byte("\n"))
	if !c.wanted {
		return nil
	}
	if first && c.atLineStart && c.selection.timestamps && !c.entry.time.IsZero() {
		if _, err := io.WriteString(c.out, c.entry.time.Format(timeFormat)+" "); err != nil {
			return err
		}
	}
	if last {
		c.atLineStart = !c.entry.partial
	}
	if last && !c.entry.partial {
		text = part
	}
	_, err := c.out.Write(text)
	return err
}

// begin reads an entry's header and returns the rest.
func (c *logCopier) begin(part []byte) []byte {
	header, rest, ok := parseHeader(part)
	if !ok {
		header, rest = logHeader{time: c.entry.time}, part
	}
	c.entry = header
	c.wanted = !header.time.Before(c.selection.since) &&
		(c.selection.stream == "" || header.stream == "" || header.stream == c.selection.stream)
	return rest
}

// parseHeader takes the header off an entry; the newline stays with the rest.
func parseHeader(entry []byte) (header logHeader, rest []byte, ok bool) {
	fields := bytes.SplitN(entry, []byte(" "), 4)
	if len(fields) != 4 {
		return logHeader{}, nil, false
	}
	at, err := time.Parse(time.RFC3339Nano, string(fields[0]))
	stream := string(fields[1])
	if err != nil || (stream != "stdout" && stream != "stderr") {
		return logHeader{}, nil, false
	}
	// The tag may have more parts, separated by colons; the first one counts.
	tag, _, _ := bytes.Cut(fields[2], []byte(":"))
	return logHeader{time: at, stream: stream, partial: string(tag) == "P"}, fields[3], true
}

// limitedWriter drops what is beyond the limit.
type limitedWriter struct {
	to   io.Writer
	left int64
}

func (l *limitedWriter) Write(p []byte) (int, error) {
	n, err := l.to.Write(p[:min(int64(len(p)), l.left)])
	l.left -= int64(n)
	if err != nil {
		return n, err
	}
	return len(p), nil
}
