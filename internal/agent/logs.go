package agent

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
)

// logEntry is one line of a container's log in the CRI format. Entries of one
// long line, and of one that had no newline yet, are partial.
type logEntry struct {
	// raw is the whole entry without the newline.
	raw     []byte
	text    []byte
	partial bool
}

// maxLogEntry bounds one entry; runtimes cut at 16 KiB.
const maxLogEntry = 1 << 20

var errLogFormat = errors.New("log is not in the CRI format")

// readLogEntry answers io.EOF at the end, also when the last entry is not
// complete yet. The entry's bytes are its own.
func readLogEntry(r *bufio.Reader) (logEntry, error) {
	var raw []byte
	for {
		part, err := r.ReadSlice('\n')
		raw = append(raw, part...)
		if len(raw) > maxLogEntry {
			return logEntry{}, errLogFormat
		}
		if errors.Is(err, bufio.ErrBufferFull) {
			continue
		}
		if err != nil {
			return logEntry{}, err
		}
		break
	}
	return parseLogEntry(raw[:len(raw)-1])
}

func parseLogEntry(raw []byte) (logEntry, error) {
	fields := bytes.SplitN(raw, []byte(" "), 4)
	if len(fields) != 4 {
		return logEntry{}, errLogFormat
	}
	// The tag may have more parts, separated by colons; the first one counts.
	tag, _, _ := bytes.Cut(fields[2], []byte(":"))
	return logEntry{raw: raw, text: fields[3], partial: string(tag) == "P"}, nil
}

// logQuery selects from a log.
type logQuery struct {
	// lines and bytes keep the last n; 0 means all. Negative lines: nothing.
	lines, bytes int64
	metadata     bool
}

// size is how many bytes an entry has in the answer.
func (q logQuery) size(entry logEntry) int64 {
	switch {
	case q.metadata:
		return int64(len(entry.raw)) + 1
	case entry.partial:
		return int64(len(entry.text))
	default:
		return int64(len(entry.text)) + 1
	}
}

// logExtent is what a first reading of a log finds.
type logExtent struct {
	entries, skipLines int64
	skipBytes          int64
}

// writeLog writes the selected part of a log. It reads the log twice, so that
// it never holds more than an entry; what is written meanwhile is left out.
func writeLog(w io.Writer, log io.ReadSeeker, q logQuery) error {
	if q.lines < 0 {
		return nil
	}
	total, err := extentOf(log, q)
	if err != nil {
		return err
	}
	if _, err := log.Seek(0, io.SeekStart); err != nil {
		return fmt.Errorf("reading log: %w", err)
	}
	reader := bufio.NewReader(log)
	out := bufio.NewWriter(&skipWriter{w: w, skip: total.skipBytes})
	var line int64
	for range total.entries {
		entry, err := readLogEntry(reader)
		if err != nil {
			return fmt.Errorf("reading log: %w", err)
		}
		if line >= total.skipLines {
			writeEntry(out, entry, q)
		}
		if !entry.partial {
			line++
		}
	}
	return out.Flush()
}

func writeEntry(out *bufio.Writer, entry logEntry, q logQuery) {
	// A write error stays with the writer until Flush.
	if q.metadata {
		_, _ = out.Write(entry.raw)
	} else {
		_, _ = out.Write(entry.text)
	}
	if q.metadata || !entry.partial {
		_ = out.WriteByte('\n')
	}
}

// extentOf counts what there is and computes what to leave out.
func extentOf(log io.Reader, q logQuery) (logExtent, error) {
	var total logExtent
	reader := bufio.NewReader(log)
	sizes := newTail(q.lines)
	open1 := false
	for {
		entry, err := readLogEntry(reader)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return total, fmt.Errorf("reading log: %w", err)
		}
		total.entries++
		sizes.add(q.size(entry), open1)
		open1 = entry.partial
	}
	total.skipLines = sizes.dropped
	if q.bytes > 0 {
		total.skipBytes = max(sizes.sum-q.bytes, 0)
	}
	return total, nil
}

// tail sums the sizes of the last lines.
type tail struct {
	keep, dropped, sum int64
	sizes              []int64
}

func newTail(keep int64) *tail { return &tail{keep: keep} }

// add notes an entry, which belongs to the line before if that was partial.
func (t *tail) add(size int64, continued bool) {
	t.sum += size
	if t.keep == 0 {
		return
	}
	if continued && len(t.sizes) > 0 {
		t.sizes[len(t.sizes)-1] += size
		return
	}
	t.sizes = append(t.sizes, size)
	if int64(len(t.sizes)) > t.keep {
		t.sum -= t.sizes[0]
		t.sizes = t.sizes[1:]
		t.dropped++
	}
}

// skipWriter drops the first bytes written to it.
type skipWriter struct {
	w    io.Writer
	skip int64
}

func (s *skipWriter) Write(p []byte) (int, error) {
	dropped := min(s.skip, int64(len(p)))
	s.skip -= dropped
	n, err := s.w.Write(p[dropped:])
	return int(dropped) + n, err
}
