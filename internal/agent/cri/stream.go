package cri

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
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
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.Close() })()
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
	conn    httpstream.Connection
	outputs sync.WaitGroup
	once    sync.Once
	failure error // of the first output that nobody takes
}

// begin makes the streams and copies them. Input and sizes are copied for as long
// as they last.
func (c *conversation) begin(streams itzo.Streams) error {
	if streams.Stdin != nil {
		stdin, err := createStream(c.conn, remotecommand.StreamTypeStdin)
		if err != nil {
			return err
		}
		go func() {
			// What fails here shows at the other streams.
			_, _ = io.Copy(stdin, streams.Stdin)
			stdin.Close()
		}()
	}
	for kind, to := range map[string]io.Writer{remotecommand.StreamTypeStdout: streams.Stdout, remotecommand.StreamTypeStderr: streams.Stderr} {
		if to == nil {
			continue
		}
		from, err := createStream(c.conn, kind)
		if err != nil {
			return err
		}
		c.outputs.Go(func() { c.copyOutput(to, from) })
	}
	if streams.Resize == nil {
		return nil
	}
	sizes, err := createStream(c.conn, remotecommand.StreamTypeResize)
	if err != nil {
		return err
	}
	go sendSizes(c.conn, sizes, streams.Resize)
	return nil
}

// copyOutput ends the whole conversation where the output cannot be passed on.
func (c *conversation) copyOutput(to io.Writer, from io.Reader) {
	if _, err := io.Copy(to, from); err != nil {
		c.once.Do(func() { c.failure = err })
		c.conn.Close()
	}
}

func sendSizes(conn httpstream.Connection, to io.Writer, sizes <-chan itzo.TerminalSize) {
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

func dialStreams(ctx context.Context, address string) (httpstream.Connection, error) {
	// The runtime is on this cell: no proxy is asked, whatever the environment says.
	direct := func(*http.Request) (*url.URL, error) { return nil, nil } //nolint:nilnil // the way to say so
	transport, err := spdy.NewRoundTripperWithConfig(spdy.RoundTripperConfig{Proxier: direct})
	if err != nil {
		return nil, err
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, address, http.NoBody)
	if err != nil {
		return nil, err
	}
	request.Header.Set(httpstream.HeaderProtocolVersion, remotecommand.StreamProtocolV4Name)
	answer, err := transport.RoundTrip(request)
	if err != nil {
		return nil, err
	}
	return transport.NewConnection(answer)
}

func createStream(conn httpstream.Connection, kind string) (httpstream.Stream, error) {
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
