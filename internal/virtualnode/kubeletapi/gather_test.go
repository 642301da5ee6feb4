package kubeletapi

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	clocktesting "k8s.io/utils/clock/testing"

	"kip.elotl.co/internal/itzo"
	"kip.elotl.co/internal/itzo/itzotest"
)

// stubNodes are the names of the nodes that there are.
type stubNodes []string

func (n stubNodes) Any(context.Context) (string, error) { return n[0], nil }

func (s stubPods) OnNode(context.Context, string) ([]*corev1.Pod, error) {
	return []*corev1.Pod{s.pod}, s.podErr
}

// manyPods are those of node kip-a, with the agents of those that have a cell.
type manyPods struct {
	pods   []*corev1.Pod
	agents map[string]*itzo.Client
}

func (m manyPods) Pod(_ context.Context, _, name string) (*corev1.Pod, error) {
	return nil, apierrors.NewNotFound(corev1.Resource("pods"), name)
}

func (m manyPods) Agent(_ context.Context, pod *corev1.Pod) (*itzo.Client, error) {
	if agent := m.agents[pod.Name]; agent != nil {
		return agent, nil
	}
	return nil, fmt.Errorf("reading: %w", apierrors.NewNotFound(corev1.Resource("cells"), pod.Name))
}

func (m manyPods) OnNode(_ context.Context, node string) ([]*corev1.Pod, error) {
	if node != "kip-a" {
		return nil, nil
	}
	return m.pods, nil
}

func newStatsServer(pods Pods, allow ...string) *Server {
	s := newTestServer(pods, nil, allow...)
	s.gatherer = newGatherer(pods, s.options.Clock)
	return s
}

// crowd is a node whose cells answer over TLS.
type crowd struct {
	manyPods
	t         *testing.T
	authority *itzotest.Authority
	questions atomic.Int64
}

func newCrowd(t *testing.T) *crowd {
	t.Helper()
	return &crowd{t: t, authority: itzotest.NewAuthority(t), manyPods: manyPods{agents: map[string]*itzo.Client{}}}
}

// cell adds a pod whose cell answers so.
func (c *crowd) cell(name string, answer http.HandlerFunc) *corev1.Pod {
	c.t.Helper()
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c.questions.Add(1)
		answer(w, r)
	}))
	server.EnableHTTP2 = true
	server.TLS = &tls.Config{Certificates: []tls.Certificate{c.authority.Server("cell").TLS(c.t)},
		ClientCAs: c.authority.Pool(), ClientAuth: tls.RequireAndVerifyClientCert}
	server.StartTLS()
	client, err := itzo.NewClient(itzo.Config{Address: server.Listener.Addr().String(), ServerName: "cell",
		RootCAs: c.authority.Pool(), Certificate: c.authority.Client().TLS(c.t)})
	if err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(func() {
		client.Close()
		server.CloseClientConnections()
		server.Close()
	})
	pod := runningPod(name)
	c.pods, c.agents[name] = append(c.pods, pod), client
	return pod
}

func says(reply any) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { _ = json.NewEncoder(w).Encode(reply) }
}

// silence answers nothing for as long as somebody waits.
func silence(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }

// Those who ask at the same time, or soon after, share one question to each cell.
func TestOneQuestionPerCell(t *testing.T) {
	c := newCrowd(t)
	begun, goOn := make(chan struct{}), make(chan struct{})
	var once sync.Once
	for _, name := range []string{"a", "b", "c"} {
		c.cell(name, func(w http.ResponseWriter, r *http.Request) {
			once.Do(func() { close(begun) })
			<-goOn
			says(replyOf(runningPod(name), 10))(w, r)
		})
	}
	wall := clocktesting.NewFakeClock(second(10))
	g := newGatherer(c, wall)
	// Who began it goes away.
	left, leave := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() {
		_, err := g.ask(left, "kip-a")
		ended <- err
	}()
	<-begun
	leave()
	if err := <-ended; err == nil {
		t.Error("no error for who has gone")
	}
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			if got, err := g.ask(t.Context(), "kip-a"); err != nil || len(got.cells) != 3 || got.silent != 0 {
				t.Errorf("%+v, %v", got, err)
			}
		})
	}
	close(goOn)
	wg.Wait()
	wall.Step(gatherFresh - time.Millisecond)
	if _, err := g.ask(t.Context(), "kip-a"); err != nil || c.questions.Load() != 3 {
		t.Errorf("%d questions, %v", c.questions.Load(), err)
	}
	wall.Step(time.Millisecond)
	if _, err := g.ask(t.Context(), "kip-a"); err != nil || c.questions.Load() != 6 {
		t.Errorf("later %d questions, %v", c.questions.Load(), err)
	}
}

// Cells that do not answer, or nonsense, cost the others nothing.
func TestSilentCells(t *testing.T) {
	c := newCrowd(t)
	c.cell("silent", silence)
	good := c.cell("good", says(replyOf(runningPod("good"), 10)))
	c.cell("old", http.NotFound)
	c.cell("other", says(replyOf(runningPod("good"), 10)))
	c.cell("garbage", says("garbage"))
	c.cell("empty", says(itzo.StatsReply{}))
	c.cell("idle", says(itzo.StatsReply{Node: replyOf(good, 1).Node}))
	c.cell("ended", silence).Status.Phase = corev1.PodSucceeded
	c.cell("booting", silence).Status.ContainerStatuses = nil
	c.pods = append(c.pods, runningPod("gone"))
	wall := clocktesting.NewFakeClock(second(10))
	g := newGatherer(c, wall)
	g.timeout = 2 * time.Second
	for range 2 {
		got, err := g.ask(t.Context(), "kip-a")
		if err != nil {
			t.Fatal(err)
		}
		if len(got.cells) != 1 || got.cells[0].pod != good || got.silent != 4 || got.mute != 1 {
			t.Errorf("%d cells, %d silent, %d mute", len(got.cells), got.silent, got.mute)
		}
		wall.Step(gatherFresh)
	}
	s := newStatsServer(c, "get nodes/metrics kip-a")
	s.gatherer = g
	text := ask(s, http.MethodGet, "/metrics/resource", "ann").Body.String()
	for _, want := range []string{"resource_scrape_error 1\n", "kip_node_cells_silent 4\n", "kip_node_cells_without_stats 1\n", `pod="good"`} {
		if !strings.Contains(text, want) {
			t.Errorf("%s is not in\n%s", want, text)
		}
	}
}

// More cells are silent than are asked at once: those who answered before are
// asked first.
func TestManySilentCells(t *testing.T) {
	c := newCrowd(t)
	for i := range 12 {
		c.cell(fmt.Sprintf("silent-%d", i), silence)
	}
	c.cell("good", says(replyOf(runningPod("good"), 10)))
	wall := clocktesting.NewFakeClock(second(10))
	g := newGatherer(c, wall)
	g.timeout, g.atOnce = time.Second, 4
	for turn := range 2 {
		got, err := g.ask(t.Context(), "kip-a")
		if err != nil {
			t.Fatal(err)
		}
		if turn == 0 {
			// As if it had answered: what comes of the first turn is not certain.
			delete(g.nodes["kip-a"].quiet, "uid-good")
		} else if len(got.cells) != 1 || got.silent != 12 {
			t.Errorf("%d cells, %d silent", len(got.cells), got.silent)
		}
		wall.Step(gatherFresh)
	}
}
