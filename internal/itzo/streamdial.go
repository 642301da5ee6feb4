package itzo

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"time"
)

// OpenExec asks the agent to run a command in a running container. A StatusError
// with code 400 says that it does not run.
func (c *Client) OpenExec(ctx context.Context, request CommandRequest) (Command, error) {
	conn, err := c.openStream(ctx, "kip/exec", request)
	if IsCode(err, http.StatusNotFound) {
		return c.openOldCommand(ctx, "exec/", request)
	}
	if err != nil {
		return nil, fmt.Errorf("running a command in container %s: %w", request.Container, err)
	}
	return &command{conn}, nil
}

// OpenAttach asks the agent to connect a running container's first process.
func (c *Client) OpenAttach(ctx context.Context, request CommandRequest) (Command, error) {
	conn, err := c.openStream(ctx, "kip/attach", request)
	if IsCode(err, http.StatusNotFound) {
		return c.openOldCommand(ctx, "attach/", request)
	}
	if err != nil {
		return nil, fmt.Errorf("attaching to container %s: %w", request.Container, err)
	}
	return &command{conn}, nil
}

// OpenPort asks the agent to connect to a port of the pod.
func (c *Client) OpenPort(ctx context.Context, request PortRequest) (Tunnel, error) {
	conn, err := c.openStream(ctx, "kip/portforward", request)
	if IsCode(err, http.StatusNotFound) {
		return c.openOldPort(ctx, request)
	}
	if err != nil {
		return nil, fmt.Errorf("connecting to port %d: %w", request.Port, err)
	}
	return &tunnel{conn}, nil
}

// openOldCommand is for agents of the first Kip.
func (c *Client) openOldCommand(ctx context.Context, path string, request CommandRequest) (Command, error) {
	s, err := c.openOld(ctx, path, oldRequest{
		PodName: request.PodName, UnitName: request.Container, Command: request.Command, Interactive: request.Stdin, TTY: request.TTY,
	})
	if err != nil {
		return nil, fmt.Errorf("connecting to container %s: %w", request.Container, err)
	}
	return oldCommand{s}, nil
}

// openStream makes a connection of its own for a stream: none waits for another.
func (c *Client) openStream(ctx context.Context, path string, body any) (*StreamConn, error) {
	conn, err := c.config.dialFor(ctx, "tcp", c.config.Address, "http/1.1")
	if err != nil {
		return nil, err
	}
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	reader, err := c.upgrade(ctx, conn, path, body)
	if !stop() && err == nil {
		err = context.Cause(ctx)
	}
	if err != nil {
		conn.Close()
		return nil, err
	}
	return NewStreamConn(conn, reader, StreamIdle), nil
}

// upgrade asks for the stream, and gives what holds what was read ahead.
func (c *Client) upgrade(ctx context.Context, conn net.Conn, path string, body any) (*bufio.Reader, error) {
	data, err := json.Marshal(body)
	if err != nil {
		return nil, err
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, c.url(path, nil), bytes.NewReader(data))
	if err != nil {
		return nil, err
	}
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("Connection", "Upgrade")
	request.Header.Set("Upgrade", StreamProtocol)
	if err := conn.SetDeadline(time.Now().Add(c.config.RequestTimeout)); err != nil {
		return nil, err
	}
	if err := request.Write(conn); err != nil {
		return nil, err
	}
	bounded := &io.LimitedReader{R: conn, N: maxHeaders}
	reader := bufio.NewReaderSize(bounded, frameHeader+MaxFrame)
	answer, err := http.ReadResponse(reader, request)
	if err != nil {
		return nil, err
	}
	if answer.StatusCode != http.StatusSwitchingProtocols {
		defer answer.Body.Close()
		return nil, statusError(answer)
	}
	bounded.N = math.MaxInt64
	return reader, conn.SetDeadline(time.Time{})
}

// FollowLogs streams the lines that a unit wrote, with metadata, and goes on as
// it writes, until it ends: the last lines and what follows; 0: all that there
// are, fewer: only what follows. When the stream ends otherwise its error is not
// io.EOF. The caller closes it.
func (c *Client) FollowLogs(ctx context.Context, unit string, lines int) (io.ReadCloser, error) {
	if err := CheckName(unit); err != nil {
		return nil, fmt.Errorf("following logs: %w", err)
	}
	query := url.Values{}
	if lines != 0 {
		query.Set("lines", strconv.Itoa(lines))
	}
	ctx, cancel := context.WithCancel(ctx)
	// The answer begins at once; it may take as long as it likes.
	late := time.AfterFunc(c.config.RequestTimeout, cancel)
	body, err := c.open(ctx, "kip/logs/"+unit, query)
	late.Stop()
	if IsCode(err, http.StatusNotFound) {
		body, err = c.followOld(ctx, unit, lines)
	}
	if err != nil {
		cancel()
		return nil, fmt.Errorf("following logs of unit %s: %w", unit, err)
	}
	return &cancelOnClose{ReadCloser: body, cancel: cancel}, nil
}
