package itzo

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"time"
)

// StreamProtocol is what the Upgrade header of a stream says.
const StreamProtocol = "kip-stream/1"

// StreamIdle is how long the other end of a stream may be silent, which sends a
// ping in each third of that.
const StreamIdle = 45 * time.Second

// StreamConn sends and receives frames. Frames may be sent by several goroutines
// at once, and received by one. A receiver that takes its time holds the other
// end back: that is all the flow control there is, and what it needs.
type StreamConn struct {
	conn   net.Conn
	reader *bufio.Reader
	idle   time.Duration
	buffer []byte

	writing sync.Mutex
	out     []byte

	closing sync.Once
	closed  chan struct{}
}

// NewStreamConn makes the frames' end of a connection, of which the reader may
// hold what was read ahead; nil: nothing was. It sends pings until it is closed.
func NewStreamConn(conn net.Conn, reader *bufio.Reader, idle time.Duration) *StreamConn {
	if reader == nil {
		reader = bufio.NewReader(conn)
	}
	s := &StreamConn{
		conn: conn, reader: reader, idle: idle, closed: make(chan struct{}),
		buffer: make([]byte, MaxFrame), out: make([]byte, 0, frameHeader+MaxFrame),
	}
	go s.keepAlive()
	return s
}

// Close ends the connection, and whoever sends or receives.
func (s *StreamConn) Close() error {
	var err error
	s.closing.Do(func() {
		close(s.closed)
		err = s.conn.Close()
	})
	return err
}

// Send sends one frame.
func (s *StreamConn) Send(kind FrameKind, payload []byte) error {
	if len(payload) > MaxFrame {
		return fmt.Errorf("%w: %d bytes", ErrFrame, len(payload))
	}
	s.writing.Lock()
	defer s.writing.Unlock()
	s.out = AppendFrame(s.out[:0], kind, payload)
	_, err := s.conn.Write(s.out)
	return err
}

// SendResult sends the last frame, after which nothing can be sent.
func (s *StreamConn) SendResult(result StreamResult) error {
	result.Error = result.Error[:min(len(result.Error), maxTextBody)]
	payload, err := json.Marshal(result)
	if err != nil {
		return err
	}
	return s.Send(FrameResult, payload)
}

// Writer sends what is written to it as frames of one kind.
func (s *StreamConn) Writer(kind FrameKind) io.Writer { return frameWriter{s, kind} }

type frameWriter struct {
	conn *StreamConn
	kind FrameKind
}

func (w frameWriter) Write(p []byte) (int, error) {
	for sent := 0; sent < len(p); {
		n := min(len(p)-sent, MaxFrame)
		if err := w.conn.Send(w.kind, p[sent:sent+n]); err != nil {
			return sent, err
		}
		sent += n
	}
	return len(p), nil
}

// Receive waits for the next frame that is no ping. The payload is good until
// the next call.
func (s *StreamConn) Receive() (Frame, error) {
	for {
		if err := s.conn.SetReadDeadline(time.Now().Add(s.idle)); err != nil {
			return Frame{}, err
		}
		frame, err := ReadFrame(s.reader, s.buffer)
		if err != nil || frame.Kind != FramePing {
			return frame, err
		}
	}
}

// keepAlive says every now and then that this end is there.
func (s *StreamConn) keepAlive() {
	ticker := time.NewTicker(s.idle / 3)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
			if s.Send(FramePing, nil) != nil {
				_ = s.Close()
				return
			}
		case <-s.closed:
			return
		}
	}
}

// StreamResult is how a stream ended.
type StreamResult struct {
	// ExitCode is the command's; 0 for streams without one.
	ExitCode int32 `json:"exitCode"`
	// Error says what went wrong; empty: nothing did. At most 4 KiB.
	Error string `json:"error,omitempty"`
}

// decodeResult takes a FrameResult apart.
func decodeResult(frame Frame) (StreamResult, error) {
	var result StreamResult
	if err := decode(frame.Payload, &result); err != nil {
		return StreamResult{}, err
	}
	if result.Error != "" {
		return result, errors.New(printable(result.Error))
	}
	return result, nil
}
