package agent

import (
	"context"
	"net/http"

	"kip.elotl.co/internal/itzo"
)

// kipExec runs a command in a container.
func (a *Agent) kipExec(w http.ResponseWriter, r *http.Request) error {
	var request itzo.CommandRequest
	if err := readStreamRequest(w, r, &request); err != nil {
		return err
	}
	if len(request.Command) == 0 {
		return badRequest("command: you must specify at least one word")
	}
	if !request.Stdin && !request.Stdout && !request.Stderr {
		return badRequest("you must specify at least 1 of stdin, stdout, stderr")
	}
	id, _, err := a.runningContainer(request.PodUID, request.Container)
	if err != nil {
		return err
	}
	return a.serveStream(w, r, func(ctx context.Context, conn *itzo.StreamConn, frames *streamFrames) itzo.StreamResult {
		code, err := a.config.Runtime.ExecStream(ctx, id, request.Command, request.TTY, streamsOf(request, conn, frames))
		return streamResult(code, err)
	})
}

// kipAttach connects a container's first process.
func (a *Agent) kipAttach(w http.ResponseWriter, r *http.Request) error {
	var request itzo.CommandRequest
	if err := readStreamRequest(w, r, &request); err != nil {
		return err
	}
	if !request.Stdin && !request.Stdout && !request.Stderr {
		return badRequest("you must specify at least 1 of stdin, stdout, stderr")
	}
	id, tty, err := a.runningContainer(request.PodUID, request.Container)
	if err != nil {
		return err
	}
	// Whether there is a terminal was decided at the container's start.
	request.TTY = tty
	return a.serveStream(w, r, func(ctx context.Context, conn *itzo.StreamConn, frames *streamFrames) itzo.StreamResult {
		return streamResult(0, a.config.Runtime.AttachStream(ctx, id, tty, streamsOf(request, conn, frames)))
	})
}

// streamsOf are the streams that the client asked for.
func streamsOf(request itzo.CommandRequest, conn *itzo.StreamConn, frames *streamFrames) itzo.Streams {
	var streams itzo.Streams
	if request.Stdin {
		streams.Stdin = frames.input
	}
	if request.Stdout {
		streams.Stdout = conn.Writer(itzo.FrameOutput)
	}
	if request.Stderr && !request.TTY {
		streams.Stderr = conn.Writer(itzo.FrameErrors)
	}
	if request.TTY {
		streams.Resize = frames.sizes
	}
	return streams
}

func streamResult(code int32, err error) itzo.StreamResult {
	if err != nil {
		return itzo.StreamResult{Error: err.Error()}
	}
	return itzo.StreamResult{ExitCode: code}
}
