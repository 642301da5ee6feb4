package kubeletapi

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	authorizationv1 "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	kuberuntime "k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apiserver/pkg/authentication/authenticator"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/client-go/kubernetes/fake"
	clienttesting "k8s.io/client-go/testing"
	clocktesting "k8s.io/utils/clock/testing"

	"kip.elotl.co/internal/delegated"
	"kip.elotl.co/internal/itzo"
	"kip.elotl.co/internal/itzo/itzotest"
)

// stubPods has one pod.
type stubPods struct {
	pod    *corev1.Pod
	podErr error
	agent  *itzo.Client
	err    error
}

func (s stubPods) Pod(_ context.Context, namespace, name string) (*corev1.Pod, error) {
	if s.podErr != nil {
		return nil, s.podErr
	}
	if s.pod == nil || s.pod.Namespace != namespace || s.pod.Name != name {
		return nil, fmt.Errorf("reading: %w", apierrors.NewNotFound(corev1.Resource("pods"), name))
	}
	return s.pod, nil
}

func (s stubPods) Agent(context.Context, *corev1.Pod) (*itzo.Client, error) { return s.agent, s.err }

type stubKept map[string]string

func (stubKept) WhyGone(types.UID, string, time.Time) string { return "there was no room" }

func (s stubKept) Get(_ types.UID, container string) ([]byte, bool) {
	log, ok := s[container]
	return []byte(log), ok
}

// newTestServer knows the user that header User names, who may do what allow
// says: "<verb> nodes/<subresource> <node>".
func newTestServer(pods Pods, kept Kept, allow ...string) *Server {
	clock := clocktesting.NewFakeClock(second(10))
	known := authenticator.RequestFunc(func(r *http.Request) (*authenticator.Response, bool, error) {
		switch name := r.Header.Get("User"); name {
		case "":
			return nil, false, nil
		case "broken":
			return nil, false, errors.New("certificate signed by unknown authority")
		default:
			return &authenticator.Response{User: &user.DefaultInfo{Name: name}}, true, nil
		}
	})
	kube := fake.NewClientset()
	kube.PrependReactor("create", "subjectaccessreviews", func(action clienttesting.Action) (bool, kuberuntime.Object, error) {
		review := action.(clienttesting.CreateAction).GetObject().(*authorizationv1.SubjectAccessReview).DeepCopy()
		if review.Spec.User == "unlucky" {
			return true, nil, errors.New("the API server is away")
		}
		what := review.Spec.ResourceAttributes
		review.Status.Allowed = slices.Contains(allow, fmt.Sprintf("%s %s/%s %s", what.Verb, what.Resource, what.Subresource, what.Name))
		return true, review, nil
	})
	return &Server{
		options: Options{Pods: pods, Kept: kept, Clock: clock},
		gate:    &gate{Gate: delegated.New(kube, clock, known)},
	}
}

func ask(s *Server, method, path, user string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, path, nil)
	r.Header.Set("User", user)
	recorder := httptest.NewRecorder()
	s.handler("kip-a").ServeHTTP(recorder, r)
	return recorder
}

const everything = "get nodes/proxy kip-a"

// webPod is a pod with container main and what is said of that.
func webPod(state, last corev1.ContainerState) *corev1.Pod {
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "web", UID: "uid"},
		Spec:       corev1.PodSpec{NodeName: "kip-a", Containers: []corev1.Container{{Name: "main"}, {Name: "side"}}},
		Status: corev1.PodStatus{Phase: corev1.PodRunning, ContainerStatuses: []corev1.ContainerStatus{
			{Name: "main", State: state, LastTerminationState: last},
		}},
	}
}

var (
	running  = corev1.ContainerState{Running: &corev1.ContainerStateRunning{}}
	finished = corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{}}
	failed   = corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{ExitCode: 1}}
	waiting  = func(reason string) corev1.ContainerState {
		return corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: reason}}
	}
	never = corev1.ContainerState{}
)

func TestWhoMayAsk(t *testing.T) {
	const logs = "/containerLogs/default/web/main"
	allow := []string{
		"get nodes/proxy kip-a", "get nodes/healthz kip-a", "create nodes/proxy kip-a",
	}
	tests := []struct {
		name, method, path, user string
		want                     int
		text                     string
	}{
		{"nobody", "GET", logs, "", http.StatusUnauthorized, "Unauthorized"},
		{"nobody, an unknown path", "GET", "/nothing", "", http.StatusUnauthorized, "Unauthorized"},
		{"nobody, a path to be cleaned", "GET", "//healthz", "", http.StatusUnauthorized, "Unauthorized"},
		{"nobody, healthz", "GET", "/healthz", "", http.StatusUnauthorized, "Unauthorized"},
		{"a bad certificate", "GET", logs, "broken", http.StatusUnauthorized, "Unauthorized"},
		{"with rights", "GET", logs, "ann", http.StatusOK, "one"},
		{"healthz by its own right", "GET", "/healthz", "ann", http.StatusOK, "ok"},
		{"a path of another right", "GET", "/stats/summary", "ann", http.StatusForbidden, "user=ann, verb=get, resource=nodes, subresource(s)=[stats]"},
		{"an unknown path", "GET", "/configz", "ann", http.StatusNotFound, "does not serve /configz"},
		{"another method", "DELETE", logs, "ann", http.StatusForbidden, "verb=delete"},
		{"no verb", "OPTIONS", logs, "ann", http.StatusForbidden, "Forbidden"},
		{"an unknown pod", "GET", "/containerLogs/default/other/main", "ann", http.StatusNotFound, `pod "other" does not exist on node "kip-a"`},
		{"rights that cannot be looked up", "GET", logs, "unlucky", http.StatusInternalServerError, "Authorization error (user=unlucky"},
	}
	s := newTestServer(stubPods{pod: webPod(running, never)}, stubKept{"main": sample}, allow...)
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := ask(s, tt.method, tt.path, tt.user)
			if got.Code != tt.want || !strings.Contains(got.Body.String(), tt.text) {
				t.Errorf("got %d %q, want %d with %q", got.Code, got.Body, tt.want, tt.text)
			}
		})
	}
}

func TestWhatIsNotThere(t *testing.T) {
	s := newTestServer(stubPods{pod: webPod(running, never)}, stubKept{}, everything)
	for path, want := range map[string]string{
		"/containerLogs/default/other/main": `pod "other" does not exist`,
		"/containerLogs/kube-system/web/x":  `pod "web" does not exist`,
		"/logs/":                            "the virtual node does not serve /logs/",
		"/containerLogs/default/web":        "does not serve",
	} {
		if got := ask(s, "GET", path, "ann"); got.Code != http.StatusNotFound || !strings.Contains(got.Body.String(), want) {
			t.Errorf("%s: got %d %q", path, got.Code, got.Body)
		}
	}
	broken := newTestServer(stubPods{podErr: errors.New("the cache is not there")}, stubKept{}, everything)
	if got := ask(broken, "GET", "/containerLogs/default/web/main", "ann"); got.Code != http.StatusInternalServerError {
		t.Errorf("a pod that cannot be read: got %d %q", got.Code, got.Body)
	}
}

// Why there is no log is said in the kubelet's words.
func TestNoLog(t *testing.T) {
	pending := webPod(never, never)
	pending.Status = corev1.PodStatus{Phase: corev1.PodPending}
	noCapacity := pending.DeepCopy()
	noCapacity.Status.Message = "no capacity for m5.large"
	onFailure := webPod(failed, never)
	onFailure.Spec.RestartPolicy = corev1.RestartPolicyOnFailure
	tests := []struct {
		name  string
		pod   *corev1.Pod
		query string
		code  int
		want  string
	}{
		{"container unknown", webPod(running, never), "other", http.StatusNotFound, `container "other" not found in pod "web"`},
		{"no status of it", webPod(running, never), "side", http.StatusBadRequest, `container "side" in pod "web" is not available`},
		{"no cell yet", pending, "main", http.StatusBadRequest, `container "main" in pod "web" is waiting to start: its cell is being made`},
		{"no cell for a reason", noCapacity, "main", http.StatusBadRequest, "is waiting to start: no capacity for m5.large"},
		{"waiting", webPod(waiting("ContainerCreating"), never), "main", http.StatusBadRequest, `container "main" in pod "web" is waiting to start: ContainerCreating`},
		{"waiting for an image", webPod(waiting("ErrImagePull"), never), "main", http.StatusBadRequest, "is waiting to start: image can't be pulled"},
		{"waiting long for an image", webPod(waiting("ImagePullBackOff"), never), "main", http.StatusBadRequest, "is waiting to start: trying and failing to pull image"},
		{"no state", webPod(never, never), "main", http.StatusBadRequest, "is waiting to start - no logs yet"},
		{"waiting, followed", webPod(waiting("ContainerCreating"), never), "main?follow=true", http.StatusBadRequest, "is waiting to start: ContainerCreating"},
		{"no previous run", webPod(running, never), "main?previous=true", http.StatusBadRequest, `previous terminated container "main" in pod "web" not found`},
		{"running, followed", webPod(running, never), "main?follow=true", http.StatusBadRequest, `the logs of container "main" in pod "web" are gone`},
		{"to be started again, followed", webPod(failed, never), "main?follow=true", http.StatusBadRequest, `the logs of container "main" in pod "web" are gone`},
		{"to be tried again, followed", onFailure, "main?follow=true", http.StatusBadRequest, `the logs of container "main" in pod "web" are gone`},
		{"a bad query", webPod(running, never), "main?tailLines=x", http.StatusBadRequest, `tailLines: "x" is not a whole number`},
		{"a senseless query", webPod(running, never), "main?tailLines=-1", http.StatusUnprocessableEntity, "tailLines"},
		{"cell gone", webPod(finished, never), "main", http.StatusBadRequest, `the logs of container "main" in pod "web" are gone with its cell: there was no room`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			gone := apierrors.NewNotFound(corev1.Resource("cells"), "cell")
			got := ask(newTestServer(stubPods{pod: tt.pod, err: gone}, stubKept{}, everything), "GET", "/containerLogs/default/web/"+tt.query, "ann")
			if got.Code != tt.code || !strings.Contains(got.Body.String(), tt.want) {
				t.Errorf("got %d %q, want %d %q", got.Code, got.Body, tt.code, tt.want)
			}
		})
	}
}

// What was kept of a container whose cell has ended is selected from as any log.
func TestKeptLog(t *testing.T) {
	never := webPod(failed, corev1.ContainerState{})
	never.Spec.RestartPolicy = corev1.RestartPolicyNever
	once := webPod(finished, corev1.ContainerState{})
	once.Spec.RestartPolicy = corev1.RestartPolicyOnFailure
	over := webPod(failed, corev1.ContainerState{})
	over.Status.Phase = corev1.PodFailed
	for _, pod := range []*corev1.Pod{never, once, over} {
		s := newTestServer(stubPods{pod: pod, err: errors.New("not to be asked")}, stubKept{"main": sample}, everything)
		for query, want := range map[string]string{
			"":                                   "one\ntwo\nthree\n\nfour  and more\nunfin",
			"follow=true":                        "one\ntwo\nthree\n\nfour  and more\nunfin",
			"tailLines=2":                        "four  and more\nunfin",
			"tailLines=0":                        "",
			"tailLines=3&limitBytes=5":           "\nfour",
			"sinceSeconds=6&timestamps=true":     "2026-01-01T00:00:04.000000000Z four  and more\n2026-01-01T00:00:05.000000000Z unfin",
			"sinceTime=2026-01-01T00:00:04Z":     "four  and more\nunfin",
			"stream=Stderr":                      "two\nfour  and more\n",
			"tailLines=1&sinceSeconds=1":         "",
			"insecureSkipTLSVerifyBackend=false": "one\ntwo\nthree\n\nfour  and more\nunfin",
		} {
			got := ask(s, "GET", "/containerLogs/default/web/main?"+query, "ann")
			if got.Code != http.StatusOK || got.Body.String() != want {
				t.Errorf("%s: got %d %q, want %q", query, got.Code, got.Body, want)
			}
		}
	}
}

// agentOf is the client of an agent that answers logs as told.
func agentOf(t *testing.T, answer http.HandlerFunc) *itzo.Client {
	t.Helper()
	authority := itzotest.NewAuthority(t)
	server := httptest.NewUnstartedServer(answer)
	server.TLS = &tls.Config{Certificates: []tls.Certificate{authority.Server("cell").TLS(t)}}
	server.EnableHTTP2 = true
	server.StartTLS()
	t.Cleanup(server.Close)
	client, err := itzo.NewClient(itzo.Config{Address: server.Listener.Addr().String(), ServerName: "cell", RootCAs: authority.Pool()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	return client
}

// serve gives a client of the server that is user ann.
func serve(t *testing.T, s *Server) func(ctx context.Context, path string) (*http.Response, error) {
	t.Helper()
	server := httptest.NewUnstartedServer(s.handler("kip-a"))
	server.EnableHTTP2 = true
	server.StartTLS()
	t.Cleanup(server.Close)
	return func(ctx context.Context, path string) (*http.Response, error) {
		r, err := http.NewRequestWithContext(ctx, http.MethodGet, server.URL+path, nil)
		if err != nil {
			return nil, err
		}
		r.Header.Set("User", "ann")
		return server.Client().Do(r)
	}
}

func TestAgentIsAsked(t *testing.T) {
	var query string
	agent := agentOf(t, func(w http.ResponseWriter, r *http.Request) {
		query = r.URL.String()
		fmt.Fprint(w, sample)
	})
	s := newTestServer(stubPods{pod: webPod(running, never), agent: agent}, stubKept{}, everything)
	got := ask(s, "GET", "/containerLogs/default/web/main?tailLines=7&timestamps=true&limitBytes=34", "ann")
	if want := "2026-01-01T00:00:00.500000000Z one"; got.Code != http.StatusOK || got.Body.String() != want {
		t.Errorf("got %d %q, want %q", got.Code, got.Body, want)
	}
	if want := "/rest/v1/logs/main?lines=7&metadata=1"; query != want {
		t.Errorf("the agent was asked for %s, want %s", query, want)
	}
}

func TestAgentFails(t *testing.T) {
	tests := []struct {
		name   string
		answer http.HandlerFunc
		code   int
		want   string
	}{
		{"no such log", func(w http.ResponseWriter, _ *http.Request) {
			http.Error(w, "400 Bad Request: Could not find logs for unit named main", http.StatusBadRequest)
		}, http.StatusBadRequest, `container "main" in pod "web" has no logs: Could not find logs for unit named main`},
		{"its own fault", func(w http.ResponseWriter, _ *http.Request) {
			http.Error(w, "500 Server Error: disk", http.StatusInternalServerError)
		}, http.StatusInternalServerError, "disk"},
		{"lost at once", func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, http.StatusInternalServerError, "asking the cell of pod"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := newTestServer(stubPods{pod: webPod(running, never), agent: agentOf(t, tt.answer)}, stubKept{}, everything)
			got := ask(s, "GET", "/containerLogs/default/web/main", "ann")
			if got.Code != tt.code || !strings.Contains(got.Body.String(), tt.want) {
				t.Errorf("got %d %q, want %d %q", got.Code, got.Body, tt.code, tt.want)
			}
		})
	}
}

func writeMany(w io.Writer) error {
	line := "2026-01-01T00:00:00Z stdout F " + strings.Repeat("x", 1000) + "\n"
	for range 100 {
		if _, err := io.WriteString(w, line); err != nil {
			return err
		}
	}
	return nil
}

// A part of a log is not taken for all of it.
func TestAgentLostInTheMiddle(t *testing.T) {
	agent := agentOf(t, func(w http.ResponseWriter, _ *http.Request) {
		_ = writeMany(w)
		panic(http.ErrAbortHandler)
	})
	get := serve(t, newTestServer(stubPods{pod: webPod(running, never), agent: agent}, stubKept{}, everything))
	answer, err := get(t.Context(), "/containerLogs/default/web/main")
	if err != nil {
		return // broken before its headers were read
	}
	defer answer.Body.Close()
	if body, err := io.ReadAll(answer.Body); err == nil {
		t.Errorf("got %s and %d bytes without any error", answer.Status, len(body))
	}
}

// Who goes away in the middle leaves nothing behind at the agent.
func TestClientGoesAway(t *testing.T) {
	left := make(chan struct{})
	agent := agentOf(t, func(w http.ResponseWriter, r *http.Request) {
		defer close(left)
		for writeMany(w) == nil && r.Context().Err() == nil {
		}
	})
	get := serve(t, newTestServer(stubPods{pod: webPod(running, never), agent: agent}, stubKept{}, everything))
	ctx, cancel := context.WithCancel(t.Context())
	answer, err := get(ctx, "/containerLogs/default/web/main")
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	if _, err := io.ReadFull(answer.Body, make([]byte, 10)); err != nil {
		t.Fatal(err)
	}
	cancel()
	select {
	case <-left:
	case <-time.After(30 * time.Second):
		t.Error("the agent is still being read from")
	}
}

// Many at once, half of whom go away in the middle, leave nothing behind.
func TestManyAtOnce(t *testing.T) {
	agent := agentOf(t, func(w http.ResponseWriter, r *http.Request) {
		for range 10 {
			if writeMany(w) != nil || r.Context().Err() != nil {
				return
			}
		}
	})
	get := serve(t, newTestServer(stubPods{pod: webPod(running, never), agent: agent}, stubKept{}, everything))
	round := func(clients int) {
		var all sync.WaitGroup
		for i := range clients {
			all.Go(func() { readLog(t, get, i%2 == 0) })
		}
		all.Wait()
	}
	round(2) // opens the connections that stay
	before := runtime.NumGoroutine()
	for range 5 {
		round(40)
	}
	deadline := time.Now().Add(30 * time.Second)
	for runtime.NumGoroutine() > before+5 {
		if time.Now().After(deadline) {
			t.Fatalf("%d goroutines before, %d after", before, runtime.NumGoroutine())
		}
		runtime.Gosched()
	}
}

// readLog reads all of it, or goes away.
func readLog(t *testing.T, get func(context.Context, string) (*http.Response, error), all bool) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	answer, err := get(ctx, "/containerLogs/default/web/main")
	if err != nil {
		t.Error(err)
		return
	}
	defer answer.Body.Close()
	if !all {
		return
	}
	if n, err := io.Copy(io.Discard, answer.Body); err != nil || n != 1_001_000 {
		t.Errorf("got %d bytes, %v", n, err)
	}
}
