package garbage

import (
	"context"
	"fmt"
	"testing"
	"time"

	clocktesting "k8s.io/utils/clock/testing"

	"kip.elotl.co/api/v1beta1"
	"kip.elotl.co/test/fixture"
)

const (
	orphan0 = "/kip/cells/i-orphan/config-0"
	orphan1 = "/kip/cells/i-orphan/config-1"
	another = "/kip/cells/i-another/config"
	owned   = "/kip/cells/i-owned/config"
)

// TestOrphansGo when they are old enough and were seen twice; what another
// cluster or a Cell has stays.
func TestOrphansGo(t *testing.T) {
	b := newBench(t)
	c := b.cluster("ours")
	c.put(orphan0)
	c.put(orphan1)
	b.cluster("theirs").put(another)
	c.put(owned)
	b.clock.Advance(DefaultMinAge + time.Minute)
	c.cell("owner", v1beta1.CellStatus{InstanceID: "i-owned"})
	c.look()
	b.wantParameters(another, orphan0, orphan1, owned)
	c.look()
	b.wantParameters(another, owned)
	c.wantFigure("kip_garbage_removed_total", kindParameter, 1)
	c.wantEvents([]string{"Namespace/default GarbageRemoved", "/kip/cells/i-orphan", "no Cell has instance i-orphan"})
}

func TestYoungOrphansStay(t *testing.T) {
	b := newBench(t)
	c := b.cluster("ours")
	c.put(orphan0)
	c.look()
	c.look()
	b.wantParameters(orphan0)
	c.wantFigure("kip_garbage_found", kindParameter, 1)
	c.wantEvents()
}

// TestCollectorRuns on its own.
func TestCollectorRuns(t *testing.T) {
	b := newBench(t)
	c := b.cluster("ours")
	c.put(orphan0) // and there is no Cell at all
	turned := clocktesting.NewFakeClock(time.Now().Add(DefaultMinAge + time.Minute))
	c.collector.Clock = turned
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- c.collector.Start(ctx) }()
	fixture.Eventually(t, "the orphan is gone", func(context.Context) error {
		turned.Step(mostBetween)
		if n := len(b.cloud.Account.Parameters.List()); n > 0 {
			return fmt.Errorf("there are %d", n)
		}
		return nil
	})
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}
