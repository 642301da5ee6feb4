package kubeletapi

import (
	"context"
	"errors"
	"net/netip"
	"runtime"
	"testing"
	"time"

	"k8s.io/client-go/kubernetes"
	clocktesting "k8s.io/utils/clock/testing"

	"kip.elotl.co/internal/virtualnode"
)

// noClients says each time that there is none.
type noClients chan struct{}

func (c noClients) ForNode(string) (kubernetes.Interface, error) {
	c <- struct{}{}
	return nil, errors.New("no client")
}

// A certificate that cannot be had is asked for again, each time later; until
// then nobody is served.
func TestNoCertificate(t *testing.T) {
	clock := clocktesting.NewFakeClock(second(0))
	asked := make(noClients)
	c := &servingCertificate{clients: asked, nodes: stubNodes{"kip-a"}, address: netip.MustParseAddr("192.0.2.1"), clock: clock, tell: func(virtualnode.Serving) {}}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		c.run(ctx)
	}()
	for _, pause := range []time.Duration{1, 2, 4, 8} {
		<-asked
		if _, err := c.get(nil); !errors.Is(err, errNoCertificate) {
			t.Errorf("got %v", err)
		}
		waitForWaiter(t, clock)
		clock.Step(pause*time.Second - time.Millisecond)
		if !clock.HasWaiters() {
			t.Errorf("asked again before %d s were over", pause)
		}
		clock.Step(time.Millisecond)
	}
	<-asked
	cancel()
	<-ended
}

func waitForWaiter(t *testing.T, clock *clocktesting.FakeClock) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !clock.HasWaiters(); {
		if time.Now().After(deadline) {
			t.Fatal("nobody waits for the clock")
		}
		runtime.Gosched()
	}
}
