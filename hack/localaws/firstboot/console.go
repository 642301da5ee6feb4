package firstboot

import (
	"fmt"
	"io"
	"os"
	"sync"
	"time"
)

const (
	// consoleMax is how far the console's file grows, in bytes, before all but
	// the last consoleKeep are cut off.
	consoleMax  = 1 << 20
	consoleKeep = 128 << 10
)

// console is the only writer of the cell's console: an append-only file of
// the host, open for reading too.
type console struct {
	mu      sync.Mutex
	file    *os.File
	written int64
	started time.Time
}

func newConsole(file *os.File) *console {
	c := &console{file: file, started: time.Now()}
	if info, err := file.Stat(); err == nil {
		c.written = info.Size()
	}
	return c
}

// Write never fails: a console that cannot be written must not end a copy to
// a log.
func (c *console) Write(b []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	n, _ := c.file.Write(b)
	c.written += int64(n)
	if c.written > consoleMax {
		c.cut()
	}
	return len(b), nil
}

// cut rewrites the file with its end only. When that fails it tries again
// with the next write.
func (c *console) cut() {
	tail := make([]byte, consoleKeep)
	n, err := c.file.ReadAt(tail, c.written-consoleKeep)
	if err != nil && err != io.EOF {
		return
	}
	if err := c.file.Truncate(0); err != nil {
		return
	}
	n, _ = c.file.Write(tail[:n])
	c.written = int64(n)
}

// printf writes one line, with the seconds since the start as the kernel does.
func (c *console) printf(format string, args ...any) {
	fmt.Fprintf(c, "[%8.3f] cellinit: %s\n", time.Since(c.started).Seconds(), fmt.Sprintf(format, args...))
}

// logPipe returns what children write to so that it reaches both a log file
// and the console, for as long as any of them lives.
func logPipe(log io.Writer, c *console) (*os.File, error) {
	r, w, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	go func() { _, _ = io.Copy(io.MultiWriter(c, log), r) }()
	return w, nil
}
