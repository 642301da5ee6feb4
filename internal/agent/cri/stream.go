package cri

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"sync"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
	"k8s.io/cri-streaming/pkg/streaming/remotecommand"
	"k8s.io/streaming/pkg/httpstream"
	"k8s.io/streaming/pkg/httpstream/spdy"

	"kip.elotl.co/internal/itzo"
)

// maxStatus bounds what is read of a command's end, in bytes.
const maxStatus = 64 << 10

// ExecStream implements agent.Runtime.
func (r *Runtime) ExecStream(ctx context.Context, id string, command []string, tty bool, streams itzo.Streams) (int32, error) {
	quiet, runtime, _, err := r.services(ctx)
	if err != nil {
		return 0, err
	}
	answer, err := runtime.Exec(quiet, &runtimeapi.ExecRequest{
		ContainerId: id, Cmd: command, Tty: tty, Stdin: streams.Stdin != nil, Stdout: streams.Stdout != nil, Stderr: streams.Stderr != nil,
	})
	if err != nil {
		return 0, plain(err)
	}
	return converse(ctx, answer.Url, streams)
}

// AttachStream implements agent.Runtime.
func (r *Runtime) AttachStream(ctx context.Context, id string, tty bool, streams itzo.Streams) error {
	quiet, runtime, _, err := r.services(ctx)
	if err != nil {
		return err
	}
	answer, err := runtime.Attach(quiet, &runtimeapi.AttachRequest{
		ContainerId: id, Tty: tty, Stdin: streams.Stdin != nil, Stdout: streams.Stdout != nil, Stderr: streams.Stderr != nil,
	})
	if err != nil {
		return plain(err)
	}
	_, err = converse(ctx, answer.Url, streams)
	return err
}

// converse speaks version 4 of Kubernetes' remote command protocol, over SPDY,
// with the runtime's own server on the cell.
func converse(ctx context.Context, address string, streams itzo.Streams) (int32, error) {
	conn, err := dialStreams(ctx, address)
	if err != nil {
		return 0, fmt.Errorf("connecting to the container runtime's streams: %w", err)
	}
	defer conn.end()
	defer context.AfterFunc(ctx, conn.end)()
	status, err := createStream(conn, remotecommand.StreamTypeError)
	if err != nil {
		return 0, err
	}
	c := &conversation{conn: conn}
	if err := c.begin(streams); err != nil {
		return 0, err
	}
	end, err := io.ReadAll(io.LimitReader(status, maxStatus))
	c.outputs.Wait()
	switch {
	case ctx.Err() != nil:
		return 0, context.Cause(ctx)
	case c.failure != nil:
		return 0, c.failure
	case err != nil:
		return 0, fmt.Errorf("waiting for the end: %w", err)
	}
	return exitCodeOf(end)
}

// conversation is the streams of one command.
type conversation struct {
	conn    *streamConnection
	outputs sync.WaitGroup
	once    sync.Once
	failure error // of the first output that nobody takes
}

// begin makes the streams and copies them. Input and sizes are copied for as long
// as they last. All streams are made first: the runtime reads none before.
func (c *conversation) begin(streams itzo.Streams) error {
	var copies []func()
	for _, one := range []struct {
		kind   string
		wanted bool
		copy   func(httpstream.Stream)
	}{
		{remotecommand.StreamTypeStdin, streams.Stdin != nil, func(s httpstream.Stream) { go copyInput(s, streams.Stdin) }},
		{remotecommand.StreamTypeStdout, streams.Stdout != nil, func(s httpstream.Stream) { c.copyOutput(streams.Stdout, s) }},
		{remotecommand.StreamTypeStderr, streams.Stderr != nil, func(s httpstream.Stream) { c.copyOutput(streams.Stderr, s) }},
		{remotecommand.StreamTypeResize, streams.Resize != nil, func(s httpstream.Stream) { go sendSizes(c.conn, s, streams.Resize) }},
	} {
		if !one.wanted {
			continue
		}
		stream, err := createStream(c.conn, one.kind)
		if err != nil {
			return err
		}
		copies = append(copies, func() { one.copy(stream) })
	}
	for _, begin := range copies {
		begin()
	}
	return nil
}

// copyInput tells the command where its input ends.
func copyInput(to io.WriteCloser, from io.Reader) {
	// What fails here shows at the other streams.
	_, _ = io.Copy(to, from)
	to.Close()
}

// copyOutput ends the whole conversation where the output cannot be passed on.
func (c *conversation) copyOutput(to io.Writer, from io.Reader) {
	c.outputs.Go(func() {
		if _, err := io.Copy(to, from); err != nil {
			c.once.Do(func() { c.failure = err })
			c.conn.end()
		}
	})
}

func sendSizes(conn *streamConnection, to io.Writer, sizes <-chan itzo.TerminalSize) {
	encoder := json.NewEncoder(to)
	for {
		select {
		case size := <-sizes:
			if encoder.Encode(remotecommand.TerminalSize{Width: size.Width, Height: size.Height}) != nil {
				return
			}
		case <-conn.CloseChan():
			return
		}
	}
}

// streamConnection is one over SPDY, and what carries it.
type streamConnection struct {
	httpstream.Connection
	raw net.Conn
}

// end closes what carries the streams first: to close them properly waits for
// whoever is still sending input that nobody reads.
func (c *streamConnection) end() {
	c.raw.Close()
	c.Close()
}

func dialStreams(ctx context.Context, address string) (*streamConnection, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, address, http.NoBody)
	if err != nil {
		return nil, err
	}
	request.Header.Set(httpstream.HeaderConnection, httpstream.HeaderUpgrade)
	request.Header.Set(httpstream.HeaderUpgrade, spdy.HeaderSpdy31)
	request.Header.Set(httpstream.HeaderProtocolVersion, remotecommand.StreamProtocolV4Name)
	var dialer net.Dialer
	raw, err := dialer.DialContext(ctx, "tcp", request.URL.Host)
	if err != nil {
		return nil, err
	}
	stop := context.AfterFunc(ctx, func() { raw.Close() })
	reader, err := upgrade(raw, request)
	if !stop() && err == nil {
		err = context.Cause(ctx)
	}
	if err != nil {
		raw.Close()
		return nil, err
	}
	conn, err := spdy.NewClientConnection(readAheadConn{raw, reader})
	if err != nil {
		raw.Close()
		return nil, err
	}
	return &streamConnection{conn, raw}, nil
}

// readAheadConn is a connection of which something may have been read already.
type readAheadConn struct {
	net.Conn
	reader *bufio.Reader
}

func (c readAheadConn) Read(p []byte) (int, error) { return c.reader.Read(p) }

func upgrade(conn net.Conn, request *http.Request) (*bufio.Reader, error) {
	if err := request.Write(conn); err != nil {
		return nil, err
	}
	reader := bufio.NewReader(conn)
	answer, err := http.ReadResponse(reader, request)
	if err != nil {
		return nil, err
	}
	if answer.StatusCode != http.StatusSwitchingProtocols {
		defer answer.Body.Close()
		text, err := io.ReadAll(io.LimitReader(answer.Body, maxStatus))
		return nil, errors.Join(fmt.Errorf("%s: %s", answer.Status, text), err)
	}
	return reader, nil
}

func createStream(conn *streamConnection, kind string) (httpstream.Stream, error) {
	stream, err := conn.CreateStream(http.Header{remotecommand.StreamType: {kind}})
	if err != nil {
		return nil, fmt.Errorf("making stream %s: %w", kind, err)
	}
	return stream, nil
}

// exitCodeOf reads the status with which a command ends.
func exitCodeOf(end []byte) (int32, error) {
	if len(end) == 0 {
		return 0, errors.New("the container runtime broke off")
	}
	var status metav1.Status
	if err := json.Unmarshal(end, &status); err != nil {
		return 0, fmt.Errorf("decoding the command's end: %w", err)
	}
	if status.Status == metav1.StatusSuccess {
		return 0, nil
	}
	if status.Reason != remotecommand.NonZeroExitCodeReason || status.Details == nil {
		return 0, errors.New(status.Message)
	}
	for _, cause := range status.Details.Causes {
		if cause.Type == remotecommand.ExitCodeCauseType {
			code, err := strconv.ParseInt(cause.Message, 10, 32)
			if err != nil {
				return 0, fmt.Errorf("decoding the command's end: %w", err)
			}
			return int32(code), nil
		}
	}
	return 0, errors.New(status.Message)
}
