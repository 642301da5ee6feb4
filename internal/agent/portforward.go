package agent

import (
	"context"
	"io"
	"net/http"

	"kip.elotl.co/internal/itzo"
)

// kipPortForward connects to a port of the pod.
func (a *Agent) kipPortForward(w http.ResponseWriter, r *http.Request) error {
	var request itzo.PortRequest
	if err := readStreamRequest(w, r, &request); err != nil {
		return err
	}
	if request.Port == 0 {
		return badRequest("port: must be from 1 to 65535")
	}
	sandbox, err := a.readySandbox(request.PodUID)
	if err != nil {
		return err
	}
	pod, err := a.config.Runtime.DialPod(r.Context(), sandbox, request.Port)
	if err != nil {
		return badRequest("%v", err)
	}
	defer pod.Close()
	return a.serveStream(w, r, func(ctx context.Context, conn *itzo.StreamConn, frames *streamFrames) itzo.StreamResult {
		return streamResult(0, tunnel(ctx, pod, conn, frames.input))
	})
}

// tunnel copies both ways until both have no more to say.
func tunnel(ctx context.Context, pod PodConn, conn *itzo.StreamConn, input *io.PipeReader) error {
	defer context.AfterFunc(ctx, func() { _ = pod.Close() })()
	sent := make(chan struct{})
	go func() {
		defer close(sent)
		if _, err := io.Copy(pod, input); err == nil {
			// Where the pod has hung up already it says so itself.
			_ = pod.CloseWrite()
		}
		input.CloseWithError(io.ErrClosedPipe)
	}()
	defer func() { <-sent }()
	_, err := io.Copy(conn.Writer(itzo.FrameOutput), pod)
	if err == nil {
		err = conn.Send(itzo.FrameClose, []byte{byte(itzo.FrameOutput)})
	}
	if err != nil {
		// What is still sent would not come to an end by itself.
		input.CloseWithError(err)
		pod.Close()
	}
	return err
}
