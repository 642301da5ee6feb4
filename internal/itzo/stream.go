package itzo

import (
	"context"
	"errors"
	"fmt"
	"io"

	"k8s.io/apimachinery/pkg/types"
)

// The bodies of requests for a stream.
type (
	// CommandRequest asks for a command in a running container, or, without a
	// command, for the container's own first process.
	CommandRequest struct {
		PodUID types.UID `json:"podUID"`
		// PodName, as FormatPodName gives it, is for agents of the first Kip.
		PodName   string `json:"-"`
		Container string `json:"container"`
		// Command is not looked for in a shell; exec only.
		Command []string `json:"command,omitempty"`
		// Which streams the client has; with TTY there is no Stderr.
		Stdin  bool `json:"stdin,omitempty"`
		Stdout bool `json:"stdout,omitempty"`
		Stderr bool `json:"stderr,omitempty"`
		TTY    bool `json:"tty,omitempty"`
	}
	// PortRequest asks for a connection to a port of the pod, seen from the pod.
	PortRequest struct {
		PodUID  types.UID `json:"podUID"`
		PodName string    `json:"-"`
		Port    uint16    `json:"port"`
	}
)

// Streams are the ends of a command's streams; nil: there is none.
type Streams struct {
	Stdin          io.Reader
	Stdout, Stderr io.Writer
	Resize         <-chan TerminalSize
}

// Command is a command, or a container's first process, that an agent is about
// to connect. One of Run and Close has to be called.
type Command interface {
	// Run copies until the command has ended, and answers its exit code, or until
	// ctx ends. What reads Stdin and Resize may outlive it until these end too.
	Run(ctx context.Context, streams Streams) (exitCode int32, err error)
	Close() error
}

// Tunnel is a connection to a port of a pod.
type Tunnel interface {
	// Run copies until both ends have no more to say, or until ctx ends. Close of
	// conn is to end its output only.
	Run(ctx context.Context, conn io.ReadWriteCloser) error
	Close() error
}

// errLost says that a stream has broken off.
var errLost = errors.New("the connection to the pod's cell was lost")

// lost tells of a stream that ended before its time.
func lost(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return fmt.Errorf("%w: %w", errLost, err)
}

// command is a Command of Kip's own agent.
type command struct{ conn *StreamConn }

// Close implements Command.
func (c *command) Close() error { return c.conn.Close() }

// Run implements Command.
func (c *command) Run(ctx context.Context, streams Streams) (int32, error) {
	defer c.conn.Close()
	defer context.AfterFunc(ctx, func() { _ = c.conn.Close() })()
	if err := c.conn.Send(FrameBegin, nil); err != nil {
		return 0, lost(ctx, err)
	}
	if streams.Stdin != nil {
		go sendInput(c.conn, streams.Stdin)
	}
	if streams.Resize != nil {
		go sendSizes(c.conn, streams.Resize)
	}
	for {
		frame, err := c.conn.Receive()
		if err != nil {
			return 0, lost(ctx, err)
		}
		switch frame.Kind {
		case FrameOutput:
			err = write(streams.Stdout, frame.Payload)
		case FrameErrors:
			err = write(streams.Stderr, frame.Payload)
		case FrameResult:
			result, err := decodeResult(frame)
			return result.ExitCode, err
		}
		if err != nil {
			return 0, fmt.Errorf("writing to the client: %w", err)
		}
	}
}

func write(to io.Writer, data []byte) error {
	if to == nil {
		return nil
	}
	_, err := to.Write(data)
	return err
}

// sendInput ends with the input, or once the connection is closed.
func sendInput(conn *StreamConn, from io.Reader) {
	buffer := make([]byte, MaxFrame)
	for {
		n, err := from.Read(buffer)
		if n > 0 && conn.Send(FrameInput, buffer[:n]) != nil {
			return
		}
		if err != nil {
			// Also where the client has broken off: then somebody closes the connection.
			_ = conn.Send(FrameClose, []byte{byte(FrameInput)})
			return
		}
	}
}

func sendSizes(conn *StreamConn, sizes <-chan TerminalSize) {
	for {
		select {
		case size, more := <-sizes:
			if !more || conn.Send(FrameResize, size.payload()) != nil {
				return
			}
		case <-conn.closed:
			return
		}
	}
}

// tunnel is a Tunnel of Kip's own agent.
type tunnel struct{ conn *StreamConn }

// Close implements Tunnel.
func (t *tunnel) Close() error { return t.conn.Close() }

// Run implements Tunnel.
func (t *tunnel) Run(ctx context.Context, conn io.ReadWriteCloser) error {
	defer t.conn.Close()
	defer context.AfterFunc(ctx, func() { _ = t.conn.Close() })()
	if err := t.conn.Send(FrameBegin, nil); err != nil {
		return lost(ctx, err)
	}
	go sendInput(t.conn, conn)
	for {
		frame, err := t.conn.Receive()
		if err != nil {
			return lost(ctx, err)
		}
		switch frame.Kind {
		case FrameOutput:
			if _, err := conn.Write(frame.Payload); err != nil {
				return nil // the client has hung up
			}
		case FrameClose:
			conn.Close()
		case FrameResult:
			_, err := decodeResult(frame)
			return err
		}
	}
}
