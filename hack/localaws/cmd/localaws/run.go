package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/go-logr/logr"
	"golang.org/x/sync/errgroup"
	"k8s.io/utils/clock"

	"kip.elotl.co/hack/localaws/admin"
	"kip.elotl.co/hack/localaws/catalog"
	"kip.elotl.co/hack/localaws/ec2"
	"kip.elotl.co/hack/localaws/faults"
	"kip.elotl.co/hack/localaws/journal"
	"kip.elotl.co/hack/localaws/throttle"
	"kip.elotl.co/hack/localaws/world"
)

// callsEnd is how long calls in progress may take when the emulator ends.
const callsEnd = 5 * time.Second

// run serves until ctx ends, then ends the instances too, unless they are to
// be kept.
func run(ctx context.Context, o *options, backends map[string]backend, log logr.Logger) (err error) {
	network, err := o.network()
	if err != nil {
		return err
	}
	regional, err := catalog.New(o.region, network)
	if err != nil {
		return err
	}
	b, err := o.choose(backends)
	if err != nil {
		return err
	}
	// Ports first: a second localaws must not touch the state of the first.
	listeners, err := listen(ctx, o.listen)
	if err != nil {
		return err
	}
	defer closeAll(listeners)
	dir := filepath.Join(o.stateDir, o.boot)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("make the state directory: %w", err)
	}
	account, err := o.openAccount(regional)
	if err != nil {
		return err
	}
	backend, err := b.open(ctx, environment{Catalog: regional, Dir: dir, IAM: account.Roles, Parameters: account.CellDocument, Log: log.WithName(o.boot)})
	if err != nil {
		return fmt.Errorf("open back end %s: %w", o.boot, err)
	}
	if backend.close != nil {
		defer func() { err = errors.Join(err, backend.close(context.WithoutCancel(ctx))) }()
	}
	j, err := journal.Open(filepath.Join(o.stateDir, "journal.jsonl"))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, j.Close()) }()

	spoiled, limits := &faults.Set{}, throttle.New(clock.RealClock{})
	if err := limits.Set(throttle.Settings{Scale: o.limits}); err != nil {
		return fmt.Errorf("--limits: %w", err)
	}
	w, err := world.Open(ctx, world.Config{
		Catalog: regional, Backend: backend, Capacity: spoiled, IAM: account.Roles, Clock: clock.RealClock{}, Log: log.WithName("world"), Dir: o.stateDir,
		PendingDelay: o.pendingDelay, ShutdownDelay: o.shutdownDelay, ConsistencyDelay: o.consistencyDelay,
	})
	if err != nil {
		return err
	}
	mux := http.NewServeMux()
	mux.Handle(admin.Prefix, (&admin.API{World: w, Faults: spoiled, Journal: j, Limits: limits, Parameters: account.Parameters, Backend: o.boot}).Handler())
	mux.Handle("/", ec2.New(ec2.Config{
		World: w, Journal: j, Faults: spoiled, Clock: clock.RealClock{}, Log: log.WithName("ec2"), Latency: o.latency, Limits: limits,
		Services: account.Services(),
	}))

	log.Info("serving", "addresses", o.listen, "region", o.region, "subnet", o.subnet, "boot", o.boot)
	err = serve(ctx, listeners, mux)
	return errors.Join(err, o.end(ctx, w))
}

// end closes the world, with its instances unless they are to be kept.
func (o *options) end(ctx context.Context, w *world.World) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), o.endTimeout)
	defer cancel()
	return w.Close(ctx, !o.keepInstances)
}

// choose picks the back end that --boot names.
func (o *options) choose(backends map[string]backend) (backend, error) {
	b, ok := backends[o.boot]
	if !ok {
		return b, fmt.Errorf("--boot: no back end %q; there is %s", o.boot, strings.Join(slices.Sorted(maps.Keys(backends)), ", "))
	}
	return b, nil
}

func listen(ctx context.Context, addresses []string) ([]net.Listener, error) {
	var out []net.Listener
	for _, a := range addresses {
		l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", a)
		if err != nil {
			closeAll(out)
			return nil, fmt.Errorf("--listen: %w", err)
		}
		out = append(out, l)
	}
	return out, nil
}

func closeAll(listeners []net.Listener) {
	for _, l := range listeners {
		// Serving may have closed it already.
		_ = l.Close()
	}
}

// serve answers on all listeners until ctx ends or one of them fails.
func serve(ctx context.Context, listeners []net.Listener, h http.Handler) error {
	srv := &http.Server{Handler: h, ReadHeaderTimeout: 10 * time.Second}
	group, ctx := errgroup.WithContext(ctx)
	for _, l := range listeners {
		group.Go(func() error {
			if err := srv.Serve(l); !errors.Is(err, http.ErrServerClosed) {
				return fmt.Errorf("serve on %s: %w", l.Addr(), err)
			}
			return nil
		})
	}
	group.Go(func() error {
		<-ctx.Done()
		end, cancel := context.WithTimeout(context.WithoutCancel(ctx), callsEnd)
		defer cancel()
		if err := srv.Shutdown(end); err != nil {
			return errors.Join(fmt.Errorf("end calls: %w", err), srv.Close())
		}
		return nil
	})
	return group.Wait()
}
