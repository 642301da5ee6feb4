package itzo

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/net/websocket"
)

// The channels and times of the streams of the agents of the first Kip
// (itzo-protocol.md §14).
const (
	channelInput  = '0'
	channelErrors = '2'
	channelSize   = '4'

	oldPing = 10 * time.Second
	// oldChunk is how much input a message carries at most, in bytes.
	oldChunk = 32 << 10
	// oldLinger is for how long a server may be silent that cannot be told that the
	// client has no more to say.
	oldLinger = 10 * time.Second
)

// oldRequest is the first message of a stream; its keys have no tags there.
type oldRequest struct {
	PodName     string   `json:"PodName"`
	UnitName    string   `json:"UnitName,omitempty"`
	Command     []string `json:"Command,omitempty"`
	Interactive bool     `json:"Interactive"`
	TTY         bool     `json:"TTY"`
	Port        string   `json:"Port,omitempty"`
}

// oldStream is a stream of an agent of the first Kip.
type oldStream struct {
	conn    *websocket.Conn
	exec    bool
	unit    string
	tty     bool
	sending sync.Mutex
	done    chan struct{}
	close   func() error
}

// openOld begins a stream with an agent that does not know Kip's own. What none
// of the first Kip knows either is an error that says so.
func (c *Client) openOld(ctx context.Context, path string, request oldRequest) (*oldStream, error) {
	if request.UnitName != "" {
		if err := CheckName(request.UnitName); err != nil {
			return nil, err
		}
	}
	raw, err := c.config.dialFor(ctx, "tcp", c.config.Address, "http/1.1")
	if err != nil {
		return nil, err
	}
	stop := context.AfterFunc(ctx, func() { raw.Close() })
	conn, err := handshakeOld(&idleConn{raw}, c.config.Address, path)
	if err == nil && request.PodName != "" {
		err = websocket.JSON.Send(conn, request)
	}
	if !stop() && err == nil {
		err = context.Cause(ctx)
	}
	if err != nil {
		raw.Close()
		return nil, err
	}
	conn.MaxPayloadBytes = maxExecMessage
	s := &oldStream{conn: conn, unit: request.UnitName, tty: request.TTY, exec: len(request.Command) > 0, done: make(chan struct{})}
	s.close = sync.OnceValue(func() error {
		close(s.done)
		return raw.Close()
	})
	go s.keepAlive()
	return s, nil
}

func handshakeOld(conn net.Conn, address, path string) (*websocket.Conn, error) {
	// An origin other than the host is refused.
	config, err := websocket.NewConfig("wss://"+address+pathPrefix+path, "https://"+address)
	if err != nil {
		return nil, err
	}
	stream, err := websocket.NewClient(config, conn)
	if errors.Is(err, websocket.ErrBadStatus) {
		return nil, &StatusError{Code: http.StatusBadRequest, Message: "the agent of the pod's cell is too old for this"}
	}
	return stream, err
}

// idleConn gives up an agent that is silent for too long: it pings.
type idleConn struct{ net.Conn }

func (c *idleConn) Read(p []byte) (int, error) {
	if err := c.SetReadDeadline(time.Now().Add(execIdle)); err != nil {
		return 0, err
	}
	return c.Conn.Read(p)
}

// Close implements Command and Tunnel.
func (s *oldStream) Close() error { return s.close() }

func (s *oldStream) keepAlive() {
	ping := websocket.Codec{Marshal: func(any) ([]byte, byte, error) { return nil, websocket.PingFrame, nil }}
	ticker := time.NewTicker(oldPing)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
			s.sending.Lock()
			err := ping.Send(s.conn, nil)
			s.sending.Unlock()
			if err != nil {
				_ = s.Close()
				return
			}
		case <-s.done:
			return
		}
	}
}

func (s *oldStream) send(channel byte, payload []byte) error {
	s.sending.Lock()
	defer s.sending.Unlock()
	return websocket.Message.Send(s.conn, string(channel)+base64.StdEncoding.EncodeToString(payload))
}

func (s *oldStream) receive() (channel byte, payload []byte, err error) {
	var message []byte
	if err := websocket.Message.Receive(s.conn, &message); err != nil {
		return 0, nil, err
	}
	return decodeMessage(message)
}

// sendInput sends until there is no more, and answers whether that was the end.
func (s *oldStream) sendInput(from io.Reader) bool {
	buffer := make([]byte, oldChunk)
	for {
		n, err := from.Read(buffer)
		if n > 0 && s.send(channelInput, buffer[:n]) != nil {
			return false
		}
		if err != nil {
			return errors.Is(err, io.EOF)
		}
	}
}

// oldCommand is a Command of an agent of the first Kip.
type oldCommand struct{ *oldStream }

// noInputEnd is what a user has to know who waits for the command to end.
const noInputEnd = "\nkip: the input has ended, but the agent of this pod's cell cannot tell the command so: one that waits for its input's end goes on until you break off\n"

// Run implements Command. The input's end cannot be told: who has standard error
// reads so there.
func (c oldCommand) Run(ctx context.Context, streams Streams) (int32, error) {
	defer c.Close()
	defer context.AfterFunc(ctx, func() { _ = c.Close() })()
	errs := &lockedOutput{to: streams.Stderr}
	c.feed(streams, errs)
	defer errs.end()
	for {
		channel, payload, err := c.receive()
		switch {
		case errors.Is(err, io.EOF) && !c.exec && ctx.Err() == nil:
			return 0, nil
		case err != nil:
			return 0, lost(ctx, err)
		}
		switch channel {
		case channelOutput:
			err = write(streams.Stdout, payload)
		case channelErrors:
			if !c.exec && c.saysNotRunning(payload) {
				return 0, nil
			}
			err = errs.write(payload)
		case channelExitCode:
			return oldExitCode(payload)
		}
		if err != nil {
			return 0, fmt.Errorf("writing to the client: %w", err)
		}
	}
}

// feed sends in the background what comes from the client.
func (c oldCommand) feed(streams Streams, errs *lockedOutput) {
	if streams.Stdin != nil {
		go func() {
			if c.sendInput(streams.Stdin) && !c.tty && c.exec {
				_ = errs.write([]byte(noInputEnd))
			}
		}()
	}
	if streams.Resize != nil {
		go c.sendSizes(streams.Resize)
	}
}

func oldExitCode(payload []byte) (int32, error) {
	code, err := decodeExitCode(payload)
	if err == nil && code < 0 {
		err = errors.New("the command could not be started, or was ended by a signal")
	}
	return int32(code), err
}

func (s *oldStream) saysNotRunning(payload []byte) bool {
	return strings.TrimSpace(string(payload)) == "Unit "+s.unit+" is not running"
}

func (c oldCommand) sendSizes(sizes <-chan TerminalSize) {
	for {
		select {
		case size, more := <-sizes:
			if !more {
				return
			}
			payload, err := json.Marshal(struct{ Rows, Cols, X, Y uint16 }{Rows: size.Height, Cols: size.Width})
			if err != nil || c.send(channelSize, payload) != nil {
				return
			}
		case <-c.done:
			return
		}
	}
}

// lockedOutput lets two write, until the end.
type lockedOutput struct {
	mu sync.Mutex
	to io.Writer
}

func (l *lockedOutput) write(data []byte) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return write(l.to, data)
}

func (l *lockedOutput) end() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.to = nil
}

// oldTunnel is a Tunnel of an agent of the first Kip, in which either end closes
// both ways.
type oldTunnel struct{ *oldStream }

// openOldPort waits until the agent has connected.
func (c *Client) openOldPort(ctx context.Context, request PortRequest) (Tunnel, error) {
	s, err := c.openOld(ctx, "portforward/", oldRequest{PodName: request.PodName, Port: strconv.Itoa(int(request.Port))})
	if err != nil {
		return nil, err
	}
	defer context.AfterFunc(ctx, func() { _ = s.Close() })()
	channel, payload, err := s.receive()
	if err == nil && channel == channelErrors {
		err = &StatusError{Code: http.StatusBadRequest, Message: strings.TrimSpace(printable(string(payload)))}
	}
	if err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return oldTunnel{s}, nil
}

// Run implements Tunnel.
func (t oldTunnel) Run(ctx context.Context, conn io.ReadWriteCloser) error {
	defer t.Close()
	defer context.AfterFunc(ctx, func() { _ = t.Close() })()
	silent := time.AfterFunc(time.Hour, func() { _ = t.Close() })
	silent.Stop()
	defer silent.Stop()
	over := make(chan struct{})
	go func() {
		defer close(over)
		t.sendInput(conn)
		silent.Reset(oldLinger)
	}()
	for {
		channel, payload, err := t.receive()
		if err != nil {
			conn.Close()
			if errors.Is(err, io.EOF) || ctx.Err() != nil || isClosed(over) {
				return nil
			}
			return lost(ctx, err)
		}
		if isClosed(over) {
			silent.Reset(oldLinger)
		}
		if channel != channelOutput {
			continue
		}
		if _, err := conn.Write(payload); err != nil {
			return nil // the client has hung up
		}
	}
}

func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}
