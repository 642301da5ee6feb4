package aws

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"testing"
	"testing/synctest"
	"time"
)

// fill takes all places.
func fillGate(t *testing.T, g *gate) {
	t.Helper()
	for range mostUnderWay {
		if err := g.enter(t.Context(), last); err != nil {
			t.Fatal(err)
		}
	}
}

func TestGateLetsInByPriority(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGate()
		fillGate(t, g)
		var order []string
		for i, p := range []priority{last, second, first, last, second, first} {
			go func() {
				if err := g.enter(t.Context(), p); err != nil {
					t.Error(err)
				}
				order = append(order, strconv.Itoa(int(p))+"-"+strconv.Itoa(i))
			}()
			synctest.Wait()
		}
		if len(order) > 0 {
			t.Errorf("%v got in where there is no place", order)
		}
		for range 6 {
			g.leave(false)
			synctest.Wait()
		}
		if want := []string{"0-2", "0-5", "1-1", "1-4", "2-0", "2-3"}; !slices.Equal(order, want) {
			t.Errorf("the order was %v, want %v", order, want)
		}
	})
}

func TestWhoGivesUpLeavesNoGap(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGate()
		fillGate(t, g)
		ctx, cancel := context.WithCancel(t.Context())
		gaveUp := make(chan error)
		go func() { gaveUp <- g.enter(ctx, first) }()
		synctest.Wait()
		cancel()
		if err := <-gaveUp; !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
		in := make(chan error)
		go func() { in <- g.enter(t.Context(), last) }()
		g.leave(false)
		if err := <-in; err != nil {
			t.Error(err)
		}
		for range mostUnderWay {
			g.leave(false)
		}
		if g.underWay != 0 {
			t.Errorf("%d are under way", g.underWay)
		}
		fillGate(t, g)
	})
}

func TestThrottlingNarrowsTheGate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGate()
		fillGate(t, g)
		for range mostUnderWay { // all that was under way is refused at once
			g.leave(true)
		}
		if got := g.limitNow(time.Now()); got != mostUnderWay/2 {
			t.Errorf("%d after the first refusals", got)
		}
		for range 100 {
			time.Sleep(oneMoreAfter)
			if err := g.enter(t.Context(), first); err != nil {
				t.Fatal(err)
			}
			g.leave(true)
		}
		if got := g.limitNow(time.Now()); got != leastUnderWay {
			t.Errorf("%d after a hundred refusals", got)
		}
		time.Sleep(mostUnderWay * oneMoreAfter)
		fillGate(t, g)
	})
}

// Where calls compete, terminations are sent before descriptions, and these
// before launches.
func TestTerminationsGoBeforeLaunches(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, c := newFarSide(t, 1000, 1000)
		c.limits.limits = Unlimited()
		fillGate(t, c.limits.gate)
		for _, call := range []func(){
			func() { _, _ = c.Launch(t.Context(), request("a")) },
			func() { _, _ = c.FindByToken(t.Context(), "a") },
			func() { _ = c.Terminate(t.Context(), "i-0123") },
		} {
			go call()
			synctest.Wait()
		}
		time.Sleep(time.Second) // until the batch of terminations is sent
		for range mostUnderWay {
			c.limits.gate.leave(false)
			synctest.Wait()
			time.Sleep(time.Second)
		}
		if want := []string{"TerminateInstances", "DescribeInstances", "RunInstances"}; !slices.Equal(f.order, want) {
			t.Errorf("sent in the order %v, want %v", f.order, want)
		}
	})
}
