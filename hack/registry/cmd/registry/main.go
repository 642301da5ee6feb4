// Command registry serves an OCI registry over plain HTTP, with a busybox
// image in it.
package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"kip.elotl.co/hack/devcluster/freebind"
	"kip.elotl.co/hack/localaws/ecr"
	"kip.elotl.co/hack/registry"
	"kip.elotl.co/hack/registry/busybox"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := command().ExecuteContext(ctx); err != nil {
		os.Exit(1)
	}
}

type options struct {
	listen  []string
	dir     string
	busybox string
	agents  string
	// password is asked for by private repositories; empty: there are none.
	password string
}

func command() *cobra.Command {
	var o options
	cmd := &cobra.Command{
		Use:          "registry",
		Short:        "An OCI registry over plain HTTP, with busybox:latest",
		Args:         cobra.NoArgs,
		SilenceUsage: true,
		RunE:         func(cmd *cobra.Command, _ []string) error { return run(cmd.Context(), o) },
	}
	flags := cmd.Flags()
	flags.StringSliceVar(&o.listen, "listen", []string{"127.0.0.1:5000"}, "addresses (IP:port) to serve on; the machine need not have them yet")
	flags.StringVar(&o.dir, "dir", "", "directory that keeps what is pushed; in memory when empty")
	flags.StringVar(&o.busybox, "busybox", "/bin/busybox", "static busybox binary to make busybox:latest from; none when empty")
	flags.StringVar(&o.agents, "agents", "", "directory of the cells' agents, served below "+agentsPath+"; none when empty")
	flags.StringVar(&o.password, "private-password", "", "password of user "+ecr.User+" for repositories below "+privatePrefix+", among them a busybox; as ECR's tokens have it")
	return cmd
}

// privatePrefix is what names of repositories begin with that need a password.
const privatePrefix = "private/"

// agentsPath is where cells download their agents.
const agentsPath = "/agents/"

func run(ctx context.Context, o options) error {
	r, err := registry.New(o.dir)
	if err != nil {
		return err
	}
	repositories := []string{"busybox", "library/busybox"}
	if o.password != "" {
		repositories = append(repositories, privatePrefix+"busybox")
	}
	if o.busybox != "" {
		if err := seed(ctx, r, o.busybox, repositories...); err != nil {
			return err
		}
	}
	listeners := make([]net.Listener, 0, len(o.listen))
	for _, address := range o.listen {
		l, err := freebind.Listen(ctx, address)
		if err != nil {
			return fmt.Errorf("listening on %s: %w", address, err)
		}
		listeners = append(listeners, l)
	}
	return serve(ctx, handler(o.guard(r), o.agents), listeners)
}

// guard keeps private repositories from those without the password.
func (o *options) guard(r http.Handler) http.Handler {
	if o.password == "" {
		return r
	}
	return registry.Private(r, privatePrefix, ecr.User, o.password)
}

func handler(r http.Handler, agents string) http.Handler {
	if agents == "" {
		return r
	}
	mux := http.NewServeMux()
	mux.Handle("/", r)
	mux.Handle("GET "+agentsPath, http.StripPrefix(agentsPath, http.FileServer(http.Dir(agents))))
	return mux
}

// seed stores busybox under the names by which it is asked for.
func seed(ctx context.Context, r *registry.Registry, binary string, repositories ...string) error {
	image, err := busybox.Build(ctx, binary)
	if err != nil {
		return err
	}
	for _, repository := range repositories {
		if err := r.Put(ctx, image, repository, "latest", image.Version); err != nil {
			return err
		}
	}
	return nil
}

func serve(ctx context.Context, handler http.Handler, listeners []net.Listener) error {
	srv := &http.Server{Handler: handler, ReadHeaderTimeout: 10 * time.Second}
	group, ctx := errgroup.WithContext(ctx)
	for _, l := range listeners {
		group.Go(func() error {
			if err := srv.Serve(l); !errors.Is(err, http.ErrServerClosed) {
				return fmt.Errorf("serving on %s: %w", l.Addr(), err)
			}
			return nil
		})
	}
	group.Go(func() error {
		<-ctx.Done()
		return srv.Close()
	})
	return group.Wait()
}
