package pod_test

import (
	"fmt"
	"io"
	"net"
	"net/netip"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"

	"kip.elotl.co/api/v1beta1"
	"kip.elotl.co/internal/itzo"
)

// blackHole accepts connections and stays silent.
type blackHole struct {
	mu          sync.Mutex
	open, total int
}

func (b *blackHole) count(change int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.open += change
	b.total += max(change, 0)
}

func (b *blackHole) seen() (open, total int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.open, b.total
}

// silence puts a black hole in the place of the agent.
func (h *hollow) silence(t *testing.T) *blackHole {
	t.Helper()
	h.stop()
	listener, err := net.Listen("tcp4", netip.AddrPortFrom(h.ip, itzo.Port).String())
	if err != nil {
		t.Fatal(err)
	}
	hole := &blackHole{}
	var serving sync.WaitGroup
	serving.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			hole.count(1)
			serving.Go(func() {
				defer hole.count(-1)
				defer conn.Close()
				_, _ = io.Copy(io.Discard, conn)
			})
		}
	})
	t.Cleanup(func() { listener.Close() })
	return hole
}

// left waits until nobody talks to the silent agent any more.
func (s *scene) left(hole *blackHole) {
	s.t.Helper()
	s.eventually("nobody talks to the silent agent", func() error {
		if open, _ := hole.seen(); open > 0 {
			return fmt.Errorf("%d connections are open", open)
		}
		return nil
	})
}

// More pods than there are workers, whose agents take the order to stop and
// never answer, or take nothing any more, hold up no other.
func TestSilentAgentsHoldUpNobody(t *testing.T) {
	const crowd, silent = 60, 5
	s := newScene(t)
	stop := s.operator()
	var pods []*corev1.Pod
	var holes []*blackHole
	var orders []<-chan struct{}
	for i := range crowd {
		pods = append(pods, s.add(fmt.Sprintf("mute-%d", i), grace(600)))
	}
	for i, p := range pods {
		_, h := s.boot(p)
		s.running(p)
		if i < silent {
			holes = append(holes, h.silence(t))
		} else {
			entered, _ := h.hold(t)
			orders = append(orders, entered)
		}
	}
	for _, p := range pods {
		s.delete(p)
	}
	p, cell, h := s.start("lively", grace(5))
	s.delete(p)
	s.podGone(p)
	if end := terminated(t, s, h, cell); end.ExitCode != 143 {
		t.Errorf("exit code is %d, want 143 of SIGTERM", end.ExitCode)
	}
	for _, entered := range orders {
		<-entered
	}
	// The silent ones have had their time: they go, and with them what was asked.
	s.clock.shift(time.Hour)
	s.poke(pods[0])
	s.podGone(pods[0])
	s.left(holes[0])
	stop()
	for _, hole := range holes {
		s.left(hole)
		if _, total := hole.seen(); total == 0 {
			t.Error("a silent agent was not asked: the test shows nothing")
		}
	}
}

// A pod that is deleted while its agent takes it is stopped as any other.
func TestDeletedWhileDispatched(t *testing.T) {
	s := newScene(t)
	s.operator()
	p := s.add("web", grace(30))
	cell, h, entered, open := s.bootHeld(p)
	<-entered
	s.delete(p)
	s.settled()
	if _, err := s.get(p); err != nil {
		t.Errorf("the pod did not wait for its agent: %v", err)
	}
	open()
	s.podGone(p)
	terminated(t, s, h, cell)
	s.cellEnds(cell)
}

// Nor for ever: an agent that never says whether it took the pod has its time.
func TestDispatchIsNeverAnswered(t *testing.T) {
	s := newScene(t)
	s.operator()
	p := s.add("web", grace(600))
	cell, _, entered, _ := s.bootHeld(p)
	<-entered
	s.clock.shift(time.Minute)
	s.poke(p)
	s.podIs(p, "saying what it waits for", func(p *corev1.Pod) bool { return p.Status.Reason == v1beta1.ReasonAgentSilent })
	s.delete(p)
	s.podIs(p, "being deleted", func(p *corev1.Pod) bool { return p.DeletionTimestamp != nil })
	s.clock.shift(time.Hour)
	s.poke(p)
	s.podGone(p)
	s.cellEnds(cell)
}

// The operator dies when the agent has the pod and the pod does not say so yet,
// and then the cell is lost: the pod may have run, and must not run twice.
func TestLostBeforeTheStatusSaysThatItRan(t *testing.T) {
	s := newScene(t)
	stop := s.operator()
	p := s.add("job")
	cell, h, entered, open := s.bootHeld(p)
	<-entered
	stop()
	open()
	s.eventually("the agent runs the pod", func() error {
		if starts, _, _ := h.runtime.seen(); starts == 0 {
			return fmt.Errorf("it does not")
		}
		return nil
	})
	if found, err := s.get(p); err != nil || found.Status.StartTime != nil {
		t.Fatalf("the pod says that it runs, error %v: the test shows nothing", err)
	}
	s.delete(cell)
	s.release(cell)
	s.operator()
	p = s.podIs(p, "failed", func(p *corev1.Pod) bool { return p.Status.Phase == corev1.PodFailed })
	if p.Status.Reason != v1beta1.ReasonCellLost {
		t.Errorf("reason is %s", p.Status.Reason)
	}
	s.settled()
	if cells := s.cells(); len(cells) > 0 {
		t.Errorf("the pod got another Cell: %v", cells)
	}
}

// A copy of a pod that was dispatched has not been.
func TestCopiedMarkIsNone(t *testing.T) {
	s := newScene(t)
	s.operator()
	first, _, _ := s.start("web")
	again := s.add("again", func(p *corev1.Pod) { p.Annotations = first.Annotations })
	s.boot(again)
	s.running(again)
}
