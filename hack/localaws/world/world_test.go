package world

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-logr/logr"
	"k8s.io/utils/clock"

	"kip.elotl.co/hack/localaws/awserr"
	"kip.elotl.co/hack/localaws/boot/boottest"
	"kip.elotl.co/hack/localaws/catalog"
	"kip.elotl.co/hack/localaws/faults"
)

// open makes a world on a directory. In a bubble of testing/synctest time is
// the bubble's.
func open(t *testing.T, dir string, backend *boottest.Backend, edit ...func(*Config)) *World {
	t.Helper()
	c, err := catalog.New("us-east-1", netip.MustParsePrefix("10.9.0.0/26"))
	if err != nil {
		t.Fatal(err)
	}
	cfg := Config{Catalog: c, Backend: backend, Capacity: &faults.Set{}, Clock: clock.RealClock{}, Log: logr.Discard(), Dir: dir}
	for _, e := range edit {
		e(&cfg)
	}
	w, err := Open(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = w.Close(context.Background(), false) })
	return w
}

func request(token string) LaunchRequest {
	return LaunchRequest{
		ClientToken: token, Fingerprint: "f", Min: 1, Max: 1, ImageID: "ami-0c0ffee0000000002", InstanceType: "t3.nano", Market: OnDemand, OnShutdown: "terminate",
	}
}

func launch(t *testing.T, w *World, token string) *Instance {
	t.Helper()
	out, err := w.Launch(request(token))
	if err != nil {
		t.Fatal(err)
	}
	return out.Instances[0]
}

func stateOf(t *testing.T, w *World, id string) State {
	t.Helper()
	s := w.slot(id)
	if s == nil {
		t.Fatalf("%s is forgotten", id)
	}
	return w.current(s).State
}

func codeOf(err error) string {
	var api *awserr.Error
	if errors.As(err, &api) {
		return api.Code
	}
	return ""
}

func TestStatesFollowTheDelays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := open(t, t.TempDir(), &boottest.Backend{}, func(c *Config) { c.PendingDelay, c.ShutdownDelay = 5*time.Second, 3*time.Second })
		id := launch(t, w, "").ID
		var seen []string
		look := func() {
			synctest.Wait()
			seen = append(seen, stateOf(t, w, id).Name)
		}
		look()
		time.Sleep(5 * time.Second)
		look()
		if _, err := w.Terminate([]string{id}); err != nil {
			t.Fatal(err)
		}
		look()
		time.Sleep(3 * time.Second)
		look()
		if want := []string{"pending", "running", "shutting-down", "terminated"}; !slices.Equal(seen, want) {
			t.Errorf("states %v, want %v", seen, want)
		}
		_ = w.Close(t.Context(), false)
	})
}

func TestExpiredInstancesAndTheirTokensAreForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		w := open(t, dir, &boottest.Backend{})
		id := launch(t, w, "token").ID
		synctest.Wait()
		if _, err := w.Terminate([]string{id}); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		time.Sleep(time.Hour)
		if _, ok := w.Instance(id); ok || len(w.Instances()) != 0 || len(w.Counts()) != 0 {
			t.Error("listed after an hour")
		}
		out, err := w.Launch(request("token"))
		if err != nil || !out.Created || out.Instances[0].ID == id {
			t.Errorf("the token was remembered: %+v, %v", out, err)
		}
		files, err := os.ReadDir(filepath.Join(dir, reservationDir))
		if err != nil || len(files) != 1 {
			t.Errorf("%d files of reservations, %v", len(files), err)
		}
		synctest.Wait()
		_ = w.Close(t.Context(), false)
	})
}

func TestAddressesRestBeforeTheyAreGivenAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := open(t, t.TempDir(), &boottest.Backend{})
		usable := w.Catalog.Subnets[0].Usable()
		given := map[netip.Addr]bool{}
		for n := range usable {
			i := launch(t, w, fmt.Sprint(n))
			synctest.Wait()
			if given[i.PrivateIP()] {
				t.Fatalf("%s given again after %d launches", i.PrivateIP(), n)
			}
			given[i.PrivateIP()] = true
			if _, err := w.Terminate([]string{i.ID}); err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
		}
		if free := w.Free(w.Catalog.Subnets[0]); free != usable {
			t.Errorf("%d of %d free at the end", free, usable)
		}
		_ = w.Close(t.Context(), false)
	})
}

func TestCloseEndsEverything(t *testing.T) {
	dir, backend := t.TempDir(), &boottest.Backend{}
	w := open(t, dir, backend)
	release := backend.Hold()
	defer release()
	booting := launch(t, w, "a").ID
	if err := w.Close(t.Context(), true); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Launch(request("b")); codeOf(err) != "Unavailable" {
		t.Errorf("launch after the end: %v", err)
	}
	again := open(t, dir, backend)
	i, ok := again.Instance(booting)
	if !ok || i.State != Terminated || i.StateReason != ScheduledStop || backend.Running() != 0 {
		t.Errorf("%+v, %d machines run", i, backend.Running())
	}
}

func TestCloseKeepsMachines(t *testing.T) {
	dir, backend := t.TempDir(), &boottest.Backend{}
	w := open(t, dir, backend)
	id := launch(t, w, "a").ID
	waitFor(t, func() bool { return stateOf(t, w, id) == Running })
	if err := w.Close(t.Context(), false); err != nil || backend.Running() != 1 {
		t.Fatalf("%v, %d machines run", err, backend.Running())
	}
	again := open(t, dir, backend)
	if _, err := again.Terminate([]string{id}); err != nil {
		t.Fatal(err)
	}
	waitFor(t, func() bool { return stateOf(t, again, id) == Terminated })
	if backend.Running() != 0 {
		t.Error("the machine found again was not stopped")
	}
}

func TestRestartInTheMiddleOfAnEnd(t *testing.T) {
	dir, backend := t.TempDir(), &boottest.Backend{}
	w := open(t, dir, backend, func(c *Config) { c.ShutdownDelay = time.Hour })
	id := launch(t, w, "a").ID
	waitFor(t, func() bool { return stateOf(t, w, id) == Running })
	if _, err := w.Terminate([]string{id}); err != nil {
		t.Fatal(err)
	}
	waitFor(t, func() bool { return backend.Running() == 0 })
	if err := w.Close(t.Context(), false); err != nil {
		t.Fatal(err)
	}
	again := open(t, dir, backend)
	waitFor(t, func() bool { return stateOf(t, again, id) == Terminated })
	if i, _ := again.Instance(id); i.StateReason != UserShutdown {
		t.Errorf("reason %+v", i.StateReason)
	}
}

func TestLoadRefusesDamageAndClearsLeftovers(t *testing.T) {
	dir := t.TempDir()
	w := open(t, dir, &boottest.Backend{})
	launch(t, w, "a")
	_ = w.Close(context.Background(), false)
	leftover := filepath.Join(dir, reservationDir, "r-1.json.tmp")
	if err := os.WriteFile(leftover, []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	again := open(t, dir, &boottest.Backend{})
	_ = again.Close(context.Background(), false)
	if _, err := os.Stat(leftover); !os.IsNotExist(err) {
		t.Errorf("the leftover is still there: %v", err)
	}
	if err := os.WriteFile(filepath.Join(dir, reservationDir, "r-2.json"), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(t.Context(), again.Config); err == nil {
		t.Error("opened with a damaged reservation")
	}
}

// A launch that cannot be saved must not be answered as if it were.
func TestLaunchIsNotAnsweredUnsaved(t *testing.T) {
	dir := t.TempDir()
	w := open(t, dir, &boottest.Backend{})
	if err := os.RemoveAll(filepath.Join(dir, reservationDir)); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Launch(request("a")); codeOf(err) != "InternalError" {
		t.Errorf("got %v", err)
	}
}

func TestEditsOfTagsAreCopies(t *testing.T) {
	value, other := "1", "2"
	have := map[string]string{"a": "1", "b": "1", "c": "1"}
	if got := without(have, map[string]*string{"a": nil, "b": &value, "c": &other, "x": nil}); !maps.Equal(got, map[string]string{"c": "1"}) {
		t.Errorf("without: %v", got)
	}
	if got := with(have, map[string]string{"a": "2", "d": "4"}); !maps.Equal(got, map[string]string{"a": "2", "b": "1", "c": "1", "d": "4"}) {
		t.Errorf("with: %v", got)
	}
	if got := with(nil, nil); got == nil || len(got) != 0 {
		t.Errorf("with nothing: %v", got)
	}
	if !maps.Equal(have, map[string]string{"a": "1", "b": "1", "c": "1"}) {
		t.Errorf("what was given is changed: %v", have)
	}
}

func waitFor(t *testing.T, ok func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatal("the condition never came")
		}
	}
}

// Between looking an instance up and ending it, it may be forgotten.
func TestEndOfWhatIsForgotten(t *testing.T) {
	w := open(t, t.TempDir(), &boottest.Backend{})
	if _, _, ok := w.endWith("i-00000000000000000", UserShutdown, "User initiated"); ok {
		t.Error("ended what is not there")
	}
}
