package itzo

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"time"

	"golang.org/x/net/websocket"
)

// ExecRequest is a command for Exec; its keys have no tag in the agents of the
// field, hence the capitals on the wire.
type ExecRequest struct {
	PodName  string   `json:"PodName"`
	UnitName string   `json:"UnitName"`
	Command  []string `json:"Command"`
}

const (
	// execIdle is how long an agent may be silent on a stream, on which it pings
	// every 10 s (itzo-protocol.md §14).
	execIdle = 25 * time.Second
	// maxExecStream is what Exec reads at most, in bytes, and maxExecMessage the
	// longest message: 32 KiB in base64.
	maxExecStream  = 1 << 20
	maxExecMessage = 48 << 10
)

// The channels of a stream.
const (
	channelOutput   = '1'
	channelExitCode = '3'
)

// ExecResult is what became of a command.
type ExecResult struct {
	// ExitCode is -1 when a signal ended the command, or when it could not be
	// started.
	ExitCode int
	// Output is what it wrote to standard output, its first 4 KiB.
	Output []byte
}

// Exec runs a command in a running unit of an agent of the first Kip. The
// process outlives the stream, so the command has to end by itself.
func (c *Client) Exec(ctx context.Context, request ExecRequest) (ExecResult, error) {
	if err := CheckName(request.UnitName); err != nil {
		return ExecResult{}, fmt.Errorf("running a command: %w", err)
	}
	conn, err := c.config.dialFor(ctx, "tcp", c.config.Address, "http/1.1")
	if err != nil {
		return ExecResult{}, fmt.Errorf("running a command in unit %s: %w", request.UnitName, err)
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	result, err := exec(&boundedConn{Conn: conn, left: maxExecStream}, c.config.Address, request)
	if ctx.Err() != nil {
		err = ctx.Err()
	}
	if err != nil {
		return ExecResult{}, fmt.Errorf("running a command in unit %s: %w", request.UnitName, err)
	}
	return result, nil
}

func exec(conn net.Conn, address string, request ExecRequest) (result ExecResult, err error) {
	// An origin other than the host is refused.
	config, err := websocket.NewConfig("wss://"+address+pathPrefix+"exec/", "https://"+address)
	if err != nil {
		return result, err
	}
	stream, err := websocket.NewClient(config, conn)
	if err != nil {
		return result, err
	}
	defer stream.Close()
	stream.MaxPayloadBytes = maxExecMessage
	if err := websocket.JSON.Send(stream, request); err != nil {
		return result, err
	}
	for {
		var message []byte
		if err := websocket.Message.Receive(stream, &message); err != nil {
			if errors.Is(err, io.EOF) {
				err = errors.New("the agent ended the stream without an exit code")
			}
			return result, err
		}
		channel, payload, err := decodeMessage(message)
		if err != nil {
			return result, err
		}
		switch channel {
		case channelOutput:
			result.Output = append(result.Output, payload[:min(len(payload), maxTextBody-len(result.Output))]...)
		case channelExitCode:
			result.ExitCode, err = decodeExitCode(payload)
			return result, err
		}
	}
}

// decodeMessage takes a message of a stream apart: a digit, which is the
// channel, and the payload in base64.
func decodeMessage(message []byte) (channel byte, payload []byte, err error) {
	if len(message) == 0 || message[0] < '0' || message[0] > '9' {
		return 0, nil, errors.New("a message of the agent names no channel")
	}
	payload, err = base64.StdEncoding.DecodeString(string(message[1:]))
	if err != nil {
		return 0, nil, errors.New("a message of the agent is not in base64")
	}
	return message[0], payload, nil
}

func decodeExitCode(payload []byte) (int, error) {
	code, err := strconv.ParseInt(string(payload), 10, 32)
	if err != nil {
		return 0, errors.New("the agent's exit code is not a number")
	}
	return int(code), nil
}

// boundedConn bounds what is read, and how long each read may take.
type boundedConn struct {
	net.Conn
	left int
}

func (c *boundedConn) Read(p []byte) (int, error) {
	if c.left == 0 {
		return 0, fmt.Errorf("%w: over %d bytes", ErrTooLarge, maxExecStream)
	}
	if err := c.SetReadDeadline(time.Now().Add(execIdle)); err != nil {
		return 0, err
	}
	n, err := c.Conn.Read(p[:min(len(p), c.left)])
	c.left -= n
	return n, err
}
