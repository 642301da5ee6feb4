package kubeletapi

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/httpstream" //nolint:staticcheck // client-go still has its types
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/remotecommand"
	"k8s.io/client-go/transport/spdy"

	"kip.elotl.co/internal/agent"
	agentfake "kip.elotl.co/internal/agent/fake"
	"kip.elotl.co/internal/itzo"
	"kip.elotl.co/internal/itzo/itzotest"
)

// startHollowAgent runs a pod on a hollow cell, and gives the agent's address.
func startHollowAgent(t *testing.T, pod *corev1.Pod) (authority *itzotest.Authority, address string) {
	t.Helper()
	authority = itzotest.NewAuthority(t)
	server := authority.Server("cell")
	a, err := agent.New(agent.Config{Runtime: agentfake.NewRuntime(), Host: agentfake.NewHost(agent.Resources{})})
	if err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() {
		ended <- a.Serve(ctx, listener, agent.PEM{CA: authority.PEM(), Certificate: server.Certificate, Key: server.Key})
	}()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	address = listener.Addr().String()
	client := hollowClient(t, authority, address)
	eventually(t, "the agent takes the pod", func() error {
		return client.UpdatePod(t.Context(), &itzo.PodParameters{PodName: itzo.FormatPodName(pod.Namespace, pod.Name), PodIP: "10.0.0.2", Pod: &corev1.Pod{
			ObjectMeta: pod.ObjectMeta, Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "main", Image: "busybox", ImagePullPolicy: corev1.PullAlways}}},
		}})
	})
	eventually(t, "the pod runs", func() error {
		reply, err := client.WaitStatus(t.Context(), "", 0, 0)
		if err == nil && reply.Status.Phase != corev1.PodRunning {
			err = fmt.Errorf("it is %s", reply.Status.Phase)
		}
		return err
	})
	return authority, address
}

func hollowClient(t *testing.T, authority *itzotest.Authority, address string) *itzo.Client {
	t.Helper()
	client, err := itzo.NewClient(itzo.Config{
		Address: address, ServerName: "cell", RootCAs: authority.Pool(), Certificate: authority.Client().TLS(t),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	return client
}

func eventually(t *testing.T, what string, check func() error) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); ; runtime.Gosched() {
		err := check()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s: %v", what, err)
		}
	}
}

// lookers is a client of a kubelet API that has many streams at once.
type lookers struct {
	t      *testing.T
	host   string
	config *rest.Config
	failed atomic.Int64
}

// fail notes a stream that did not do what it should.
func (c *lookers) fail(format string, args ...any) {
	c.failed.Add(1)
	c.t.Logf(format, args...)
}

type asUser struct{ http.RoundTripper }

func (a asUser) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.Header.Set("User", "ann")
	return a.RoundTripper.RoundTrip(r)
}

func newLookers(t *testing.T, s *Server) *lookers {
	server := httptest.NewUnstartedServer(s.handler("kip-a"))
	server.TLS = &tls.Config{Certificates: []tls.Certificate{itzotest.NewAuthority(t).Server("node").TLS(t)}}
	server.StartTLS()
	t.Cleanup(server.Close)
	return &lookers{t: t, host: strings.TrimPrefix(server.URL, "https://"), config: &rest.Config{
		Host: server.URL, TLSClientConfig: rest.TLSClientConfig{Insecure: true},
		WrapTransport: func(next http.RoundTripper) http.RoundTripper { return asUser{next} },
	}}
}

func (c *lookers) url(path, query string) *url.URL {
	return &url.URL{Scheme: "https", Host: c.host, Path: path, RawQuery: query}
}

// command runs one to its end, or goes away in the middle.
func (c *lookers) command(path, query string, stay bool, hold func()) {
	executor, err := remotecommand.NewSPDYExecutor(c.config, http.MethodPost, c.url(path, query))
	if err != nil {
		c.fail("%v", err)
		return
	}
	ctx, cancel := context.WithTimeout(c.t.Context(), 5*time.Minute)
	defer cancel()
	stdin, keyboard := io.Pipe()
	defer keyboard.Close()
	picture, stdout := io.Pipe()
	go func() {
		_, _ = io.WriteString(keyboard, "hello\n")
		_, _ = io.ReadFull(picture, make([]byte, len("hello\n")))
		hold()
		if stay {
			keyboard.Close()
		} else {
			cancel()
		}
		_, _ = io.Copy(io.Discard, picture)
	}()
	err = executor.StreamWithContext(ctx, remotecommand.StreamOptions{Stdin: stdin, Stdout: stdout, Stderr: io.Discard})
	stdout.Close()
	if stay && err != nil {
		c.fail("%s: %v", path, err)
	}
}

// port connects twice to a port and hangs up in the middle of the second.
func (c *lookers) port(hold func()) {
	transport, upgrader, err := spdy.RoundTripperFor(c.config)
	if err != nil {
		c.fail("%v", err)
		return
	}
	dialer := spdy.NewDialer(upgrader, &http.Client{Transport: transport}, http.MethodPost, c.url("/portForward/default/web", ""))
	conn, _, err := dialer.Dial("portforward.k8s.io")
	if err != nil {
		c.fail("%v", err)
		return
	}
	defer conn.Close()
	for i := range 2 {
		c.connection(conn, i, hold)
	}
}

func (c *lookers) connection(conn httpstream.Connection, i int, hold func()) {
	headers := http.Header{}
	headers.Set("port", "8080")
	headers.Set("requestID", strconv.Itoa(i))
	headers.Set("streamType", "error")
	failures, err := conn.CreateStream(headers)
	if err != nil {
		c.fail("%v", err)
		return
	}
	headers.Set("streamType", "data")
	data, err := conn.CreateStream(headers)
	if err != nil {
		c.fail("%v", err)
		return
	}
	_, _ = io.WriteString(data, "hello")
	if _, err := io.ReadFull(data, make([]byte, len("hello"))); err != nil {
		c.fail("%v", err)
	}
	hold()
	if i > 0 {
		return
	}
	data.Close()
	if rest, err := io.ReadAll(data); err != nil || len(rest) > 0 {
		c.fail("at the end came %q, %v", rest, err)
	}
	if told, err := io.ReadAll(failures); err != nil || len(told) > 0 {
		c.fail("told was %q, %v", told, err)
	}
}

// follow reads the beginning of a log and goes away.
func (c *lookers) follow(hold func()) {
	ctx, cancel := context.WithCancel(c.t.Context())
	defer cancel()
	transport, err := rest.TransportFor(c.config)
	if err != nil {
		c.fail("%v", err)
		return
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, c.url("/containerLogs/default/web/main", "follow=true").String(), http.NoBody)
	if err != nil {
		c.fail("%v", err)
		return
	}
	answer, err := transport.RoundTrip(request)
	if err != nil {
		c.fail("%v", err)
		return
	}
	defer answer.Body.Close()
	if _, err := io.ReadFull(answer.Body, make([]byte, len("hollow"))); err != nil {
		c.fail("%v", err)
	}
	hold()
}

// together opens that many streams, a few at a time, and has them end when all
// are open.
func (c *lookers) together(streams int) {
	opening := make(chan struct{}, 10)
	var open, all sync.WaitGroup
	open.Add(streams)
	for i := range streams {
		all.Go(func() {
			opening <- struct{}{}
			opened := sync.OnceFunc(func() { <-opening; open.Done() })
			defer opened()
			c.one(i, func() { opened(); open.Wait() })
		})
	}
	all.Wait()
}

// one has a stream of one of the kinds, which calls hold when it is open.
func (c *lookers) one(i int, hold func()) {
	const command = "command=cat&input=1&output=1&error=1"
	switch i % 5 {
	case 0:
		c.command("/exec/default/web/main", command, true, hold)
	case 1:
		c.command("/exec/default/web/main", command, false, hold)
	case 2:
		c.command("/attach/default/web/main", "input=1&output=1&error=1", false, hold)
	case 3:
		c.port(hold)
	case 4:
		c.follow(hold)
	}
}

// descriptors are the sockets that this process has open.
func descriptors(t *testing.T) int {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(entries)
}

// A thousand streams, two hundred at once, of which most go away in the middle,
// leave nothing behind: no goroutine, no connection, no descriptor.
func TestManyStreams(t *testing.T) {
	pod := webPod(running, never)
	authority, address := startHollowAgent(t, pod)
	agent := hollowClient(t, authority, address)
	c := newLookers(t, newTestServer(stubPods{pod: pod, agent: agent}, stubKept{}, everything, "create nodes/proxy kip-a"))
	settle := func() {
		if transport, err := rest.TransportFor(c.config); err == nil {
			(&http.Client{Transport: transport}).CloseIdleConnections()
		}
		agent.Close()
	}
	settle()
	goroutines, files := runtime.NumGoroutine(), descriptors(t)
	for range 5 {
		c.together(200)
	}
	if failed := c.failed.Load(); failed > 0 {
		t.Errorf("%d of 1000 streams failed", failed)
	}
	eventually(t, "all streams end", func() error {
		settle()
		if now, open := runtime.NumGoroutine(), descriptors(t); now > goroutines+10 || open > files+10 {
			return fmt.Errorf("%d goroutines and %d descriptors before, %d and %d after", goroutines, files, now, open)
		}
		return nil
	})
}
