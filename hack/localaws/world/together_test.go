package world

import (
	"fmt"
	"net/netip"
	"sync"
	"testing"
	"time"

	"kip.elotl.co/hack/localaws/boot/boottest"
)

// However launches, terminations and tags fall together: no address is given
// twice at a time, no quota is exceeded, and in the end nothing is left, here
// and after a restart.
func TestEverythingTogether(t *testing.T) {
	dir, backend := t.TempDir(), &boottest.Backend{}
	w := open(t, dir, backend)
	var mu sync.Mutex
	held := map[netip.Addr]string{}
	var wg sync.WaitGroup
	for n := range 8 {
		wg.Go(func() {
			for round := range 10 {
				out, err := w.Launch(request(fmt.Sprint(n, "-", round)))
				if err != nil {
					t.Error(err)
					return
				}
				i := out.Instances[0]
				mu.Lock()
				if other := held[i.PrivateIP()]; other != "" {
					t.Errorf("%s of %s is given to %s", i.PrivateIP(), other, i.ID)
				}
				held[i.PrivateIP()] = i.ID
				mu.Unlock()
				if err := w.SetTags([]string{i.ID, w.Catalog.VPC.ID}, map[string]string{"round": fmt.Sprint(round)}); err != nil {
					t.Error(err)
				}
				// From the call on the address may be another's.
				mu.Lock()
				delete(held, i.PrivateIP())
				mu.Unlock()
				if _, err := w.Terminate([]string{i.ID}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	waitFor(t, func() bool { return w.Counts()["terminated"] == 80 })
	if free, usable := w.Free(w.Catalog.Subnets[0]), w.Catalog.Subnets[0].Usable(); free != usable || backend.Running() != 0 {
		t.Errorf("%d of %d addresses are free, %d machines run", free, usable, backend.Running())
	}
	if err := w.Close(t.Context(), false); err != nil {
		t.Fatal(err)
	}
	again := open(t, dir, backend)
	if n := again.Counts()["terminated"]; n != 80 || again.TagsOf(again.Catalog.VPC.ID)["round"] == "" {
		t.Errorf("after a restart %d are terminated", n)
	}
}

// Every reason that an instance can end for, from every state it can end in.
func TestEndsByReason(t *testing.T) {
	for _, reason := range []StateReason{InternalError, SpotTermination} {
		for _, booting := range []bool{true, false} {
			backend := &boottest.Backend{}
			w := open(t, t.TempDir(), backend)
			release := func() {}
			if booting {
				release = backend.Hold()
			}
			id := launch(t, w, "").ID
			if !booting {
				waitFor(t, func() bool { return stateOf(t, w, id) == Running })
			}
			if err := w.Kill(t.Context(), id, reason, false); err != nil {
				t.Fatal(err)
			}
			waitFor(t, func() bool { return stateOf(t, w, id) == Terminated })
			release()
			if i, _ := w.Instance(id); i.StateReason != reason || i.EndedAt.IsZero() || i.PrivateIP().IsValid() || backend.Running() != 0 {
				t.Errorf("ended as %+v, %d machines run", i, backend.Running())
			}
			if err := w.Kill(t.Context(), id, reason, false); codeOf(err) != "InvalidInstanceID.NotFound" {
				t.Errorf("killed twice: %v", err)
			}
		}
	}
}

// The first reason counts: who comes later changes nothing.
func TestTheFirstReasonCounts(t *testing.T) {
	w := open(t, t.TempDir(), &boottest.Backend{}, func(c *Config) { c.ShutdownDelay = 20 * time.Millisecond })
	id := launch(t, w, "").ID
	waitFor(t, func() bool { return stateOf(t, w, id) == Running })
	if err := w.Kill(t.Context(), id, SpotTermination, false); err != nil {
		t.Fatal(err)
	}
	changes, err := w.Terminate([]string{id, id})
	if err != nil || len(changes) != 2 || changes[0].Before == Running {
		t.Errorf("%+v, %v", changes, err)
	}
	waitFor(t, func() bool { return stateOf(t, w, id) == Terminated })
	if i, _ := w.Instance(id); i.StateReason != SpotTermination {
		t.Errorf("reason %+v", i.StateReason)
	}
}

// A machine that is not up yet cannot die unnoticed.
func TestUnnoticedDeathNeedsAMachine(t *testing.T) {
	backend := &boottest.Backend{}
	w := open(t, t.TempDir(), backend)
	release := backend.Hold()
	id := launch(t, w, "").ID
	if err := w.Kill(t.Context(), id, InternalError, true); codeOf(err) != "IncorrectInstanceState" {
		t.Errorf("got %v", err)
	}
	release()
	waitFor(t, func() bool { return stateOf(t, w, id) == Running })
	if err := w.Kill(t.Context(), id, InternalError, true); err != nil {
		t.Fatal(err)
	}
	if stateOf(t, w, id) != Running || backend.Running() != 0 {
		t.Errorf("%v, %d machines run", stateOf(t, w, id), backend.Running())
	}
}
