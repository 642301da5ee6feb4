package kubeletapi_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/httpstream" //nolint:staticcheck // client-go still has its types
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/portforward"
	"k8s.io/client-go/tools/remotecommand"
	"k8s.io/client-go/transport/spdy"
	utilexec "k8s.io/client-go/util/exec"
)

// executors are both ways of a client to run a command, through the API server.
func (w *world) executors(t *testing.T, pod, verb string, options any) map[string]remotecommand.Executor {
	t.Helper()
	config := must[*rest.Config](t)(w.cluster.RESTConfig())
	client := w.admin.CoreV1().RESTClient()
	post := client.Post().Resource("pods").Namespace(namespace).Name(pod).SubResource(verb)
	get := client.Get().Resource("pods").Namespace(namespace).Name(pod).SubResource(verb)
	switch options := options.(type) {
	case *corev1.PodExecOptions:
		post.VersionedParams(options, scheme.ParameterCodec)
		get.VersionedParams(options, scheme.ParameterCodec)
	case *corev1.PodAttachOptions:
		post.VersionedParams(options, scheme.ParameterCodec)
		get.VersionedParams(options, scheme.ParameterCodec)
	}
	return map[string]remotecommand.Executor{
		"SPDY":      must[remotecommand.Executor](t)(remotecommand.NewSPDYExecutor(config, http.MethodPost, post.URL())),
		"WebSocket": must[remotecommand.Executor](t)(remotecommand.NewWebSocketExecutor(config, http.MethodGet, get.URL().String())),
	}
}

// testStreams looks into a pod with all that kubectl has.
func (w *world) testStreams(t *testing.T) {
	terminal := mainContainer()
	terminal.Name, terminal.TTY, terminal.Stdin = "terminal", true, true
	w.runPod("streams", `{"main":[{"forever":true,"log":"one\n","exec":{"fail":[42]}}]}`, mainContainer(), terminal)
	t.Run("exec", w.testExec)
	t.Run("terminal", w.testTerminal)
	t.Run("attach and logs -f", w.testFollow)
	t.Run("port-forward", w.testPortForward)
	t.Run("refusals", w.testStreamRefusals)
}

func eachExecutor(t *testing.T, executors map[string]remotecommand.Executor, run func(*testing.T, remotecommand.Executor)) {
	for name, executor := range executors {
		t.Run(name, func(t *testing.T) { run(t, executor) })
	}
}

// A command gets its input to the end, and gives back its output, its errors and
// its exit code.
func (w *world) testExec(t *testing.T) {
	input := make([]byte, 3<<20)
	must[int](t)(rand.Read(input))
	options := &corev1.PodExecOptions{Container: "main", Command: []string{"cat", "-"}, Stdin: true, Stdout: true, Stderr: true}
	eachExecutor(t, w.executors(t, "streams", "exec", options), func(t *testing.T, executor remotecommand.Executor) {
		var stdout, stderr bytes.Buffer
		err := executor.StreamWithContext(t.Context(), remotecommand.StreamOptions{Stdin: bytes.NewReader(input), Stdout: &stdout, Stderr: &stderr})
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(stdout.Bytes(), input) || stderr.String() != "hollow: cat -\n" {
			t.Errorf("%d bytes came back of %d; errors %q", stdout.Len(), len(input), stderr.String())
		}
	})
	fails := &corev1.PodExecOptions{Container: "main", Command: []string{"fail"}, Stdout: true}
	eachExecutor(t, w.executors(t, "streams", "exec", fails), func(t *testing.T, executor remotecommand.Executor) {
		err := executor.StreamWithContext(t.Context(), remotecommand.StreamOptions{Stdout: io.Discard})
		if code := (utilexec.CodeExitError{}); !errors.As(err, &code) || code.Code != 42 {
			t.Errorf("it ended with %v, want exit code 42", err)
		}
	})
}

// sizes are those of a terminal that is made larger once.
type sizes chan remotecommand.TerminalSize

func (s sizes) Next() *remotecommand.TerminalSize {
	if size, more := <-s; more {
		return &size
	}
	return nil
}

// expect reads from a terminal until it has shown that.
func expect(t *testing.T, from io.Reader, want string) {
	t.Helper()
	var seen strings.Builder
	buffer := make([]byte, 1024)
	for !strings.Contains(seen.String(), want) {
		n, err := from.Read(buffer)
		seen.Write(buffer[:n])
		if err != nil {
			t.Fatalf("%v after %q, want %q", err, seen.String(), want)
		}
	}
}

// A terminal tells its sizes and what is typed, while it is open.
func (w *world) testTerminal(t *testing.T) {
	for verb, options := range map[string]any{
		"exec":   &corev1.PodExecOptions{Container: "main", Command: []string{"sh"}, Stdin: true, Stdout: true, TTY: true},
		"attach": &corev1.PodAttachOptions{Container: "terminal", Stdin: true, Stdout: true, TTY: true},
	} {
		eachExecutor(t, w.executors(t, "streams", verb, options), func(t *testing.T, executor remotecommand.Executor) {
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			stdin, keyboard := io.Pipe()
			screen, stdout := io.Pipe()
			resize := make(sizes, 1)
			ended := make(chan error, 1)
			go func() {
				err := executor.StreamWithContext(ctx, remotecommand.StreamOptions{Stdin: stdin, Stdout: stdout, Tty: true, TerminalSizeQueue: resize})
				stdout.CloseWithError(err)
				ended <- err
			}()
			resize <- remotecommand.TerminalSize{Width: 80, Height: 24}
			expect(t, screen, "80x24\n")
			resize <- remotecommand.TerminalSize{Width: 132, Height: 50}
			expect(t, screen, "132x50\n")
			must[int](t)(io.WriteString(keyboard, "hello"))
			expect(t, screen, "hello")
			go func() { _, _ = io.Copy(io.Discard, screen) }()
			if verb == "attach" {
				cancel() // the container goes on
				<-ended  //nolint:errcheck // it was told to go away
				return
			}
			keyboard.Close()
			close(resize)
			if err := <-ended; err != nil {
				t.Errorf("it ended with %v", err)
			}
		})
	}
}

// Whoever attaches speaks to the container itself, whose log can be followed.
func (w *world) testFollow(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	nothing := int64(0)
	log := must[io.ReadCloser](t)(w.admin.CoreV1().Pods(namespace).GetLogs("streams", &corev1.PodLogOptions{
		Container: "main", Follow: true, TailLines: &nothing,
	}).Stream(ctx))
	defer log.Close()
	options := &corev1.PodAttachOptions{Container: "main", Stdin: true, Stdout: true, Stderr: true}
	eachExecutor(t, w.executors(t, "streams", "attach", options), func(t *testing.T, executor remotecommand.Executor) {
		ctx, cancel := context.WithCancel(ctx)
		stdin, keyboard := io.Pipe()
		screen, stdout := io.Pipe()
		ended := make(chan error, 1)
		go func() {
			ended <- executor.StreamWithContext(ctx, remotecommand.StreamOptions{Stdin: stdin, Stdout: stdout, Stderr: io.Discard})
		}()
		line := "a line by " + t.Name() + "\n"
		must[int](t)(io.WriteString(keyboard, line))
		expect(t, screen, line)
		expect(t, log, line)
		cancel()
		<-ended //nolint:errcheck // it was told to go away
	})
}

// Both ways of kubectl to a port, and several connections at once on each.
func (w *world) testPortForward(t *testing.T) {
	config := must[*rest.Config](t)(w.cluster.RESTConfig())
	url := w.admin.CoreV1().RESTClient().Post().Resource("pods").Namespace(namespace).Name("streams").SubResource("portforward").URL()
	transport, upgrader, err := spdy.RoundTripperFor(config)
	if err != nil {
		t.Fatal(err)
	}
	tunneling, err := portforward.NewSPDYOverWebsocketDialer(url, config)
	if err != nil {
		t.Fatal(err)
	}
	for name, dialer := range map[string]httpstream.Dialer{
		"SPDY":      spdy.NewDialer(upgrader, &http.Client{Transport: transport}, http.MethodPost, url),
		"WebSocket": tunneling,
	} {
		t.Run(name, func(t *testing.T) {
			stop, ready := make(chan struct{}), make(chan struct{})
			forwarder := must[*portforward.PortForwarder](t)(portforward.New(dialer, []string{"0:8080", "0:1"}, stop, ready, io.Discard, io.Discard))
			ended := make(chan error, 1)
			go func() { ended <- forwarder.ForwardPorts() }()
			select {
			case <-ready:
			case err := <-ended:
				t.Fatal(err)
			}
			ports := must[[]portforward.ForwardedPort](t)(forwarder.GetPorts())
			var all sync.WaitGroup
			for range 20 {
				all.Go(func() { echoThrough(t, ports[0].Local) })
			}
			all.Wait()
			conn := must[net.Conn](t)(net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", ports[1].Local)))
			if n, _ := conn.Read(make([]byte, 1)); n != 0 {
				t.Error("a port at which nothing listens answers")
			}
			conn.Close()
			close(stop)
			// The refusal had the client give up all of it.
			if err := <-ended; err != nil && !errors.Is(err, portforward.ErrLostConnectionToPod) {
				t.Error(err)
			}
		})
	}
}

// echoThrough sends, says that this was all, and reads the same back.
func echoThrough(t *testing.T, port uint16) {
	conn, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", port))
	if err != nil {
		t.Error(err)
		return
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Error(err)
		return
	}
	data := make([]byte, 200_000)
	_, _ = rand.Read(data)
	go func() {
		_, _ = conn.Write(data)
		_ = conn.(*net.TCPConn).CloseWrite()
	}()
	got, err := io.ReadAll(conn)
	if err != nil || !bytes.Equal(got, data) {
		t.Errorf("%d bytes of %d came back, %v", len(got), len(data), err)
	}
}

// What cannot be is refused as a kubelet does.
func (w *world) testStreamRefusals(t *testing.T) {
	over := corev1.PodStatus{Phase: corev1.PodRunning, ContainerStatuses: []corev1.ContainerStatus{
		{Name: "main", State: corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{ExitCode: 1, Reason: "Error"}}},
	}}
	w.addPod("over", "", "", over)
	w.addPod("early", "", "", corev1.PodStatus{Phase: corev1.PodPending, Message: "no capacity"})
	w.addPod("lost", "", "", corev1.PodStatus{Phase: corev1.PodRunning, ContainerStatuses: []corev1.ContainerStatus{
		{Name: "main", State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: metav1.Now()}}},
	}})
	for args, want := range map[string]string{
		"exec over -- true":                   `container not found ("main"): it has ended: Error`,
		"exec early -- true":                  `container not found ("main"): it is waiting to start: no capacity`,
		"exec lost -- true":                   `pod "lost" has no cell`,
		"exec streams -c other -- true":       "container other is not valid for pod streams",
		"attach over":                         `container not found ("main"): it has ended: Error`,
		"exec streams --as=mallory -- true":   `User "mallory" cannot get resource "pods"`,
		"exec streams -c main -- fail":        "command terminated with exit code 42",
		"port-forward early 0:8080":           "pod is not running",
		"attach streams -c main --as mallory": `User "mallory" cannot get resource "pods"`,
	} {
		if got, err := w.kubectl(strings.Fields(args)...); err == nil || !strings.Contains(got, want) {
			t.Errorf("kubectl %s: %q, %v; want %q", args, got, err, want)
		}
	}
}
