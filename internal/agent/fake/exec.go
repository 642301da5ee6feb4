package fake

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"time"

	"kip.elotl.co/internal/agent"
)

// Exec implements agent.Runtime: commands end at once, as the script says.
func (r *Runtime) Exec(ctx context.Context, id string, command []string, timeout time.Duration) ([]byte, int32, error) {
	exitCode, ended, err := r.command(id, strings.Join(command, " "))
	if err != nil || exitCode >= 0 {
		return nil, exitCode, err
	}
	if timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, timeout)
		defer cancel()
	}
	select {
	case <-ended:
		return nil, exitKilled, nil
	case <-ctx.Done():
		return nil, 0, fmt.Errorf("%w: %w", agent.ErrExecTimeout, ctx.Err())
	}
}

// command answers the exit code of a command's next call in a container, and
// what is closed at the container's end.
func (r *Runtime) command(id, command string) (exitCode int32, ended <-chan struct{}, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	c := r.find(id)
	if c == nil || c.State != agent.ContainerRunning {
		return 0, nil, errors.New("the container does not run")
	}
	codes := c.run.Exec[command]
	n := c.execs[command]
	c.execs[command]++
	if len(codes) == 0 {
		return 0, c.ended, nil
	}
	return codes[min(n, len(codes)-1)], c.ended, nil
}

// Dial implements agent.Host: every port is open and answers one HTTP request
// as the Host was told, with 200 at first.
func (h *Host) Dial(_ context.Context, address string) (net.Conn, error) {
	h.mu.Lock()
	code, told := h.ports[address]
	h.mu.Unlock()
	if !told {
		code = http.StatusOK
	}
	if code == 0 {
		return nil, fmt.Errorf("dial tcp %s: connection refused", address)
	}
	near, far := net.Pipe()
	go answer(far, code)
	return near, nil
}

// SetPort has the pod answer HTTP requests at an address with a status; 0:
// nothing listens there.
func (h *Host) SetPort(address string, status int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.ports[address] = status
}

// tlsHandshake is the first byte of a TLS client's (RFC 8446, 5.1).
const tlsHandshake = 0x16

// answer serves one request; a connection that brings none is closed by the
// other end.
func answer(conn net.Conn, code int) {
	defer conn.Close()
	reader := bufio.NewReader(conn)
	if begin, err := reader.Peek(len(http2Preface)); err == nil && string(begin) == http2Preface {
		answerHealth(&readConn{conn, reader}, code)
		return
	}
	if begin, err := reader.Peek(1); err == nil && begin[0] == tlsHandshake {
		// As servers of plain HTTP do.
		_, _ = conn.Write([]byte("HTTP/1.0 400 Bad Request\r\n\r\n"))
		return
	}
	request, err := http.ReadRequest(reader)
	if err != nil {
		return
	}
	response := http.Response{
		StatusCode: code, ProtoMajor: 1, ProtoMinor: 1, Request: request, Body: http.NoBody, Close: true,
	}
	// Who asked has gone when this fails.
	_ = response.Write(conn)
}
