package agent

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/go-logr/logr"
)

const (
	headerTimeout = 10 * time.Second
	idleTimeout   = 5 * time.Minute
	drainTimeout  = 2 * time.Second
)

// Serve runs the pod and answers requests on the listener, which it closes,
// until ctx ends; the pod's containers go on. When it returns, nothing of the
// agent runs any more.
func (a *Agent) Serve(ctx context.Context, listener net.Listener, credentials Credentials) error {
	if _, err := credentials.TLS(); err != nil {
		listener.Close()
		return err
	}
	a.mu.Lock()
	a.credentials = credentials
	a.mu.Unlock()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	server := &http.Server{
		Handler:           a.Handler(),
		ReadHeaderTimeout: headerTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    64 << 10,
		BaseContext:       func(net.Listener) context.Context { return ctx },
		ErrorLog:          log.New(logWriter{logr.FromContextOrDiscard(ctx)}, "", 0),
		TLSConfig: &tls.Config{
			NextProtos:         []string{"h2", "http/1.1"},
			GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) { return credentials.TLS() },
		},
	}
	a.work.Go(func() {
		<-ctx.Done()
		// Long polls end with ctx; what is left after that is cut.
		drain, done := context.WithTimeout(context.WithoutCancel(ctx), drainTimeout)
		defer done()
		if server.Shutdown(drain) != nil {
			server.Close()
		}
	})
	served := make(chan error, 1)
	a.work.Go(func() {
		served <- server.ServeTLS(listener, "", "")
		cancel()
	})
	a.Run(ctx)
	if err := <-served; err != nil && !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serving: %w", err)
	}
	return nil
}

// logWriter takes what the HTTP server has to say: mostly failed handshakes.
type logWriter struct{ log logr.Logger }

func (w logWriter) Write(text []byte) (int, error) {
	w.log.V(1).Info("HTTP server", "message", strings.TrimSpace(string(text)))
	return len(text), nil
}
