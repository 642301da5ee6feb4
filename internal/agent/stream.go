package agent

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"kip.elotl.co/internal/hangup"
	"kip.elotl.co/internal/itzo"
)

// StreamRuntime is what a Runtime does for those who look into a running pod.
type StreamRuntime interface {
	// ExecStream runs a command in a running container until it ends, or ctx does,
	// and answers its exit code. It does not wait for Stdin's end.
	ExecStream(ctx context.Context, id string, command []string, tty bool, streams itzo.Streams) (exitCode int32, err error)
	// AttachStream connects the first process of a running container until that
	// ends, or ctx does; tty says whether the container has a terminal.
	AttachStream(ctx context.Context, id string, tty bool, streams itzo.Streams) error
	// DialPod connects to a port at the loopback address of the pod's network.
	DialPod(ctx context.Context, sandboxID string, port uint16) (PodConn, error)
	// FollowLog opens a container's log as Log does, and can go on with it.
	FollowLog(ctx context.Context, container ContainerID) (LogFollower, error)
}

// PodConn is a connection into the pod. CloseWrite ends what it sends, no more.
type PodConn interface {
	io.ReadWriteCloser
	CloseWrite() error
}

const (
	// maxStreamBody bounds the request for a stream: a command may be long.
	maxStreamBody = 1 << 20
	// lingerTimeout is how long an agent waits for the client to hang up after a
	// stream's result: hanging up first could destroy what is under way.
	lingerTimeout = 10 * time.Second
)

// streamHandler serves a stream that has been accepted; it sends no result.
type streamHandler func(ctx context.Context, conn *itzo.StreamConn, frames *streamFrames) itzo.StreamResult

// readStreamRequest decodes the body of a request for a stream.
func readStreamRequest(w http.ResponseWriter, r *http.Request, into any) error {
	if !strings.EqualFold(r.Header.Get("Upgrade"), itzo.StreamProtocol) || r.ProtoMajor != 1 {
		return badRequest("a stream needs HTTP/1.1 and the header Upgrade: %s", itzo.StreamProtocol)
	}
	data, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxStreamBody))
	if err != nil {
		return err
	}
	if err := json.Unmarshal(data, into); err != nil {
		return badRequest("decoding request: %v", err)
	}
	return nil
}

// serveStream turns the request's connection into a stream and serves it to its
// end.
func (a *Agent) serveStream(w http.ResponseWriter, r *http.Request, serve streamHandler) error {
	// Whoever ends the agent waits for this too, of which the server does not know.
	a.work.Add(1)
	defer a.work.Done()
	raw, buffered, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	if err := raw.SetDeadline(time.Time{}); err != nil {
		return errors.Join(err, raw.Close())
	}
	if err := acceptStream(buffered.Writer); err != nil {
		return errors.Join(err, raw.Close())
	}
	conn := itzo.NewStreamConn(raw, buffered.Reader, itzo.StreamIdle)
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { _ = conn.Close() })()
	defer hangup.Watch(raw, cancel)()
	frames := receiveFrames(conn, cancel)
	defer frames.wait()
	defer conn.Close()
	select {
	case <-frames.begun:
	case <-ctx.Done():
		return nil
	}
	result := serve(ctx, conn, frames)
	frames.discard()
	if conn.SendResult(result) == nil {
		hungUp := time.AfterFunc(lingerTimeout, func() { _ = conn.Close() })
		<-frames.ended
		hungUp.Stop()
	}
	return nil
}

func acceptStream(w *bufio.Writer) error {
	if _, err := w.WriteString("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: " + itzo.StreamProtocol + "\r\n\r\n"); err != nil {
		return err
	}
	return w.Flush()
}

// streamFrames is what a client sends, taken apart.
type streamFrames struct {
	// input ends where the client's does.
	input *io.PipeReader
	sizes chan itzo.TerminalSize
	// begun is closed at the client's first word, ended after the last.
	begun, ended chan struct{}
	receiving    sync.WaitGroup
}

// receiveFrames takes frames until the connection ends, and calls lost then.
func receiveFrames(conn *itzo.StreamConn, lost func()) *streamFrames {
	input, feed := io.Pipe()
	f := &streamFrames{input: input, sizes: make(chan itzo.TerminalSize, 1), begun: make(chan struct{}), ended: make(chan struct{})}
	f.receiving.Go(func() {
		defer close(f.ended)
		defer lost()
		begin := sync.OnceFunc(func() { close(f.begun) })
		for {
			frame, err := conn.Receive()
			if err != nil {
				feed.CloseWithError(err)
				return
			}
			f.take(frame, feed, begin)
		}
	})
	return f
}

func (f *streamFrames) take(frame itzo.Frame, feed *io.PipeWriter, begin func()) {
	switch frame.Kind {
	case itzo.FrameBegin:
		begin()
	case itzo.FrameInput:
		// Nobody reads any more when this fails.
		_, _ = feed.Write(frame.Payload)
	case itzo.FrameClose:
		feed.Close()
	case itzo.FrameResize:
		f.resize(frame.Size())
	}
}

// resize keeps the last size only.
func (f *streamFrames) resize(size itzo.TerminalSize) {
	select {
	case <-f.sizes:
	default:
	}
	f.sizes <- size
}

// discard makes nothing of the input that still comes.
func (f *streamFrames) discard() { f.input.CloseWithError(io.ErrClosedPipe) }

func (f *streamFrames) wait() {
	f.discard()
	f.receiving.Wait()
}

// runningContainer is the runtime's ID of a container that runs. What is said
// otherwise are the kubelet's words.
func (a *Agent) runningContainer(uid types.UID, name string) (id string, tty bool, err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if err := a.checkUID(uid); err != nil {
		return "", false, err
	}
	state := a.machine.containerState(name)
	if state == nil {
		return "", false, badRequest("container not found (%q)", name)
	}
	run := a.machine.latest(name)
	switch {
	case run == nil:
		return "", false, badRequest("container not found (%q)", name)
	case run.State != ContainerRunning:
		return "", false, badRequest("container %q is not running", name)
	}
	return run.ID, state.spec.TTY, nil
}

// readySandbox is the ID of the sandbox whose network the pod has.
func (a *Agent) readySandbox(uid types.UID) (string, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if err := a.checkUID(uid); err != nil {
		return "", err
	}
	for _, sandbox := range a.machine.obs.Sandboxes {
		if sandbox.Ready {
			return sandbox.ID, nil
		}
	}
	return "", badRequest("the pod has no network: it has not started yet, or has ended")
}
