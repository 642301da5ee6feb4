// Command forward passes TCP connections on: it gives a server that listens on one address more addresses, which need not exist yet. The
// API server can bind to one address or to all of the machine's; this lets it have just those that are wanted.
//
//	forward -to 127.0.0.1:6443 -listen 100.64.77.1:6443 [-listen …]
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"os/signal"
	"strings"
	"sync"
	"syscall"
	"time"

	"kip.elotl.co/hack/devcluster/freebind"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	defer stop()
	if err := run(ctx, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "forward:", err)
		os.Exit(1)
	}
}

type addresses []string

func (a *addresses) String() string { return strings.Join(*a, ",") }

func (a *addresses) Set(s string) error {
	*a = append(*a, s)
	return nil
}

func run(ctx context.Context, args []string) error {
	var listen addresses
	flags := flag.NewFlagSet("forward", flag.ContinueOnError)
	flags.Var(&listen, "listen", "address `host:port` to listen on; may be given several times")
	to := flags.String("to", "", "address `host:port` to pass connections on to")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if len(listen) == 0 || *to == "" {
		return errors.New("-listen and -to are needed")
	}
	listeners, err := listenAll(ctx, listen)
	if err != nil {
		return err
	}
	return serve(ctx, listeners, *to)
}

func listenAll(ctx context.Context, addresses []string) ([]net.Listener, error) {
	var listeners []net.Listener
	for _, address := range addresses {
		l, err := freebind.Listen(ctx, address)
		if err != nil {
			closeAll(listeners)
			return nil, fmt.Errorf("listening: %w", err)
		}
		listeners = append(listeners, l)
	}
	return listeners, nil
}

func closeAll(listeners []net.Listener) {
	for _, l := range listeners {
		l.Close()
	}
}

// serve passes on what the listeners accept until ctx is done. Connections that are open then end with the process.
func serve(ctx context.Context, listeners []net.Listener, to string) error {
	var accepting sync.WaitGroup
	errs := make(chan error, len(listeners))
	for _, l := range listeners {
		accepting.Go(func() { errs <- accept(ctx, l, to) })
	}
	context.AfterFunc(ctx, func() { closeAll(listeners) })
	err := <-errs
	closeAll(listeners)
	accepting.Wait()
	if ctx.Err() != nil {
		return nil //nolint:nilerr // it was told to end
	}
	return err
}

func accept(ctx context.Context, l net.Listener, to string) error {
	for {
		conn, err := l.Accept()
		if err != nil {
			return fmt.Errorf("accepting on %s: %w", l.Addr(), err)
		}
		go func() {
			if err := forward(ctx, conn.(*net.TCPConn), to); err != nil {
				fmt.Fprintf(os.Stderr, "from %s: %v\n", conn.RemoteAddr(), err)
			}
		}()
	}
}

// forward joins conn to a new connection until both directions have ended; the end of one direction is passed on alone.
func forward(ctx context.Context, conn *net.TCPConn, to string) error {
	defer conn.Close()
	const dialTimeout = 10 * time.Second
	dialer := net.Dialer{Timeout: dialTimeout}
	upstream, err := dialer.DialContext(ctx, "tcp", to)
	if err != nil {
		return err
	}
	defer upstream.Close()
	var directions sync.WaitGroup
	directions.Go(func() { pipe(upstream.(*net.TCPConn), conn) })
	directions.Go(func() { pipe(conn, upstream.(*net.TCPConn)) })
	directions.Wait()
	return nil
}

// pipe copies until src ends; when either side breaks instead, both are closed, so that the other direction ends too.
func pipe(dst, src *net.TCPConn) {
	if _, err := io.Copy(dst, src); err != nil {
		dst.Close()
		src.Close()
		return
	}
	_ = dst.CloseWrite()
}
