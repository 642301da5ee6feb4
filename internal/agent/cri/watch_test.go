package cri

import (
	"context"
	"errors"
	"net"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"kip.elotl.co/internal/agent"
)

// eventless is a runtime without events, as containerd 1.6.
type eventless struct {
	runtimeapi.UnimplementedRuntimeServiceServer
}

func (eventless) Version(context.Context, *runtimeapi.VersionRequest) (*runtimeapi.VersionResponse, error) {
	return &runtimeapi.VersionResponse{RuntimeName: "test"}, nil
}

// imageless has no images; that the service answers is enough.
type imageless struct {
	runtimeapi.UnimplementedImageServiceServer
}

func (imageless) ImageFsInfo(context.Context, *runtimeapi.ImageFsInfoRequest) (*runtimeapi.ImageFsInfoResponse, error) {
	return &runtimeapi.ImageFsInfoResponse{}, nil
}

// eventful tells what it is given, and ends when that ends.
type eventful struct {
	eventless
	events chan *runtimeapi.ContainerEventResponse
}

func (e eventful) GetContainerEvents(_ *runtimeapi.GetEventsRequest, stream runtimeapi.RuntimeService_GetContainerEventsServer) error {
	for {
		select {
		case event, more := <-e.events:
			if !more {
				return errors.New("the runtime goes away")
			}
			if err := stream.Send(event); err != nil {
				return err
			}
		case <-stream.Context().Done():
			return stream.Context().Err()
		}
	}
}

// connect makes a Runtime of a server.
func connect(t *testing.T, server runtimeapi.RuntimeServiceServer) *Runtime {
	t.Helper()
	socket := filepath.Join(t.TempDir(), "cri.sock")
	listener, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	s := grpc.NewServer()
	runtimeapi.RegisterRuntimeServiceServer(s, server)
	runtimeapi.RegisterImageServiceServer(s, imageless{})
	go func() { _ = s.Serve(listener) }()
	t.Cleanup(s.Stop)
	r := New(Config{Endpoint: "unix://" + socket})
	t.Cleanup(func() { _ = r.Close(context.Background()) })
	return r
}

// watching is a Watch under way.
type watching struct {
	changed chan struct{}
	ended   chan error
	cancel  context.CancelFunc
}

func watch(t *testing.T, r *Runtime) watching {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	t.Cleanup(cancel)
	w := watching{changed: make(chan struct{}), ended: make(chan error, 1), cancel: cancel}
	changed := func() {
		select {
		case w.changed <- struct{}{}:
		case <-ctx.Done():
		}
	}
	go func() { w.ended <- r.Watch(ctx, changed) }()
	return w
}

func (w watching) change(t *testing.T, why string) {
	t.Helper()
	select {
	case <-w.changed:
	case err := <-w.ended:
		t.Fatalf("%s: ended: %v", why, err)
	case <-time.After(time.Minute):
		t.Fatalf("%s: no word of it", why)
	}
}

func (w watching) end(t *testing.T) error {
	t.Helper()
	select {
	case err := <-w.ended:
		return err
	case <-time.After(time.Minute):
		t.Fatal("goes on")
		return nil
	}
}

func TestWatchTellsTheRuntimesEvents(t *testing.T) {
	server := eventful{events: make(chan *runtimeapi.ContainerEventResponse)}
	r := connect(t, server)
	w := watch(t, r)
	w.change(t, "the beginning, before which something may have ended")
	if r.exits.wants("container") {
		t.Error("processes are followed although the runtime tells of their end")
	}
	for range 3 {
		server.events <- &runtimeapi.ContainerEventResponse{ContainerId: "container"}
		w.change(t, "an event")
	}
	close(server.events)
	if err := w.end(t); err == nil || errors.Is(err, agent.ErrNoEvents) {
		t.Errorf("the end of events: %v", err)
	}
}

func TestWatchFollowsProcessesWithoutEvents(t *testing.T) {
	r := connect(t, eventless{})
	w := watch(t, r)
	for !r.exits.wants("container") {
		w.change(t, "the beginning")
	}
	w.cancel()
	if err := w.end(t); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

func TestWatchEndsWithItsContext(t *testing.T) {
	w := watch(t, connect(t, eventful{events: make(chan *runtimeapi.ContainerEventResponse)}))
	w.change(t, "the beginning")
	w.cancel()
	if err := w.end(t); err == nil || errors.Is(err, agent.ErrNoEvents) {
		t.Errorf("got %v", err)
	}
}

// On a cell that is very busy the runtime hears late that a process has ended.
func TestAnEndIsToldUntilTheRuntimeShowsIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begin := time.Now()
		const heard = time.Minute
		var last time.Duration
		calls := 0
		tellUntil(func() { calls++; last = time.Since(begin) }, func() bool { return last >= heard }, nil)
		if last < heard || last > heard+slowestTelling || calls > 100 {
			t.Errorf("told %d times until %s, but the runtime heard after %s", calls, last, heard)
		}
		stopped := make(chan struct{})
		close(stopped)
		tellUntil(func() {}, func() bool { return false }, stopped)
	})
}
