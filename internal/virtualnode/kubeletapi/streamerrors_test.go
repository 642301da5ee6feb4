package kubeletapi

import (
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/client-go/tools/remotecommand"
)

const makesStreams = "create nodes/proxy kip-a"

func askForStream(s *Server, path string) *httptest.ResponseRecorder {
	return ask(s, http.MethodPost, path, "ann")
}

// Why there is no stream is said in the kubelet's words, with its code.
func TestNoStream(t *testing.T) {
	pending := webPod(never, never)
	pending.Status = corev1.PodStatus{Phase: corev1.PodPending, Message: "no capacity for m5.large"}
	over := webPod(finished, never)
	over.Status.Phase = corev1.PodSucceeded
	ended := webPod(failed, never)
	ended.Status.ContainerStatuses[0].State.Terminated.Reason = "Error"
	noCell := apierrors.NewNotFound(corev1.Resource("cells"), "cell")
	const command = "?command=true&output=1"
	tests := []struct {
		name, path string
		pod        *corev1.Pod
		err        error
		code       int
		want       string
	}{
		{"exec, pod unknown", "/exec/default/other/main" + command, webPod(running, never), nil, 404, `pod "other" does not exist on node "kip-a"`},
		{"exec, container unknown", "/exec/default/web/other" + command, webPod(running, never), nil, 500, `container not found ("other")`},
		{"exec, another pod of that name", "/exec/default/web/another-uid/main" + command, webPod(running, never), nil, 500, `container not found ("main")`},
		{"exec, not started", "/exec/default/web/main" + command, pending, nil, 500, `container not found ("main"): it is waiting to start: no capacity for m5.large`},
		{"exec, being made", "/exec/default/web/main" + command, webPod(waiting("ContainerCreating"), never), nil, 500, `container not found ("main"): it is waiting to start: ContainerCreating`},
		{"exec, container ended", "/exec/default/web/main" + command, ended, nil, 500, `container not found ("main"): it has ended: Error`},
		{"exec, pod ended", "/exec/default/web/main" + command, over, nil, 500, `container not found ("main"): the pod has ended: Succeeded`},
		{"exec, cell gone", "/exec/default/web/main" + command, webPod(running, never), noCell, 500, `pod "web" has no cell: it is not there yet, or has ended`},
		{"exec, cell not to be found", "/exec/default/web/main" + command, webPod(running, never), errors.New("the cache is away"), 500, `finding the cell of pod "web": the cache is away`},
		{"exec, no stream wanted", "/exec/default/web/main?command=true", webPod(running, never), nil, 400, "you must specify at least 1 of stdin, stdout, stderr"},
		{"attach, container unknown", "/attach/default/web/other?output=1", webPod(running, never), nil, 500, `container not found ("other")`},
		{"attach, pod ended", "/attach/default/web/main?output=1", over, nil, 500, `container not found ("main"): the pod has ended: Succeeded`},
		{"attach, cell gone", "/attach/default/web/main?output=1", webPod(running, never), noCell, 500, `pod "web" has no cell`},
		{"port-forward, pod ended", "/portForward/default/web", over, nil, 500, `pod not found ("web_default")`},
		{"port-forward, another pod of that name", "/portForward/default/web/another-uid", webPod(running, never), nil, 500, `pod not found ("web_default")`},
		{"port-forward, cell gone", "/portForward/default/web", webPod(running, never), noCell, 500, `pod "web" has no cell`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := askForStream(newTestServer(stubPods{pod: tt.pod, err: tt.err}, stubKept{}, makesStreams), tt.path)
			if got.Code != tt.code || !strings.Contains(got.Body.String(), tt.want) {
				t.Errorf("got %d %q, want %d %q", got.Code, got.Body, tt.code, tt.want)
			}
		})
	}
}

// What the agent refuses, and that it is not there, is told before the stream begins.
func TestAgentRefusesStream(t *testing.T) {
	for name, tt := range map[string]struct {
		answer http.HandlerFunc
		want   string
	}{
		"it runs no more": {func(w http.ResponseWriter, _ *http.Request) {
			http.Error(w, `400 Bad Request: container "main" is not running`, http.StatusBadRequest)
		}, `container "main" is not running`},
		"lost at once": {func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, `asking the cell of pod "web"`},
	} {
		t.Run(name, func(t *testing.T) {
			s := newTestServer(stubPods{pod: webPod(running, never), agent: agentOf(t, tt.answer)}, stubKept{}, makesStreams)
			got := askForStream(s, "/exec/default/web/main?command=true&output=1")
			if got.Code != http.StatusInternalServerError || !strings.Contains(got.Body.String(), tt.want) {
				t.Errorf("got %d %q, want 500 %q", got.Code, got.Body, tt.want)
			}
		})
	}
}

// cable carries connections to an agent, and can be cut.
type cable struct {
	net.Listener
	to    string
	mu    sync.Mutex
	conns []net.Conn
}

func newCable(t *testing.T, to string) *cable {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	c := &cable{Listener: listener, to: to}
	t.Cleanup(c.cut)
	go c.carry()
	return c
}

func (c *cable) carry() {
	for {
		near, err := c.Accept()
		if err != nil {
			return
		}
		far, err := net.Dial("tcp", c.to)
		if err != nil {
			near.Close()
			continue
		}
		c.mu.Lock()
		c.conns = append(c.conns, near, far)
		c.mu.Unlock()
		go func() { _, _ = io.Copy(near, far) }()
		go func() { _, _ = io.Copy(far, near) }()
	}
}

// cut ends all connections as a host does that is gone: by resets.
func (c *cable) cut() {
	c.Close()
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, conn := range c.conns {
		_ = conn.(*net.TCPConn).SetLinger(0)
		conn.Close()
	}
}

// A stream whose agent is lost ends with an error that says so.
func TestAgentLostMidStream(t *testing.T) {
	pod := webPod(running, never)
	authority, address := startHollowAgent(t, pod)
	for verb, query := range map[string]string{
		"exec":   "command=cat&input=1&output=1",
		"attach": "input=1&output=1",
	} {
		t.Run(verb, func(t *testing.T) {
			line := newCable(t, address)
			agent := hollowClient(t, authority, line.Addr().String())
			c := newLookers(t, newTestServer(stubPods{pod: pod, agent: agent}, stubKept{}, makesStreams))
			executor, err := remotecommand.NewSPDYExecutor(c.config, http.MethodPost, c.url("/"+verb+"/default/web/main", query))
			if err != nil {
				t.Fatal(err)
			}
			stdin, keyboard := io.Pipe()
			screen, stdout := io.Pipe()
			ended := make(chan error, 1)
			go func() {
				ended <- executor.StreamWithContext(t.Context(), remotecommand.StreamOptions{Stdin: stdin, Stdout: stdout})
			}()
			defer keyboard.Close()
			if _, err := io.WriteString(keyboard, "hello"); err != nil {
				t.Fatal(err)
			}
			if _, err := io.ReadFull(screen, make([]byte, len("hello"))); err != nil {
				t.Fatal(err)
			}
			go func() { _, _ = io.Copy(io.Discard, screen) }()
			line.cut()
			select {
			case err := <-ended:
				if err == nil || !strings.Contains(err.Error(), "the connection to the pod's cell was lost") {
					t.Errorf("it ended with %v", err)
				}
			case <-time.After(time.Minute):
				t.Error("it has not ended")
			}
		})
	}
}
