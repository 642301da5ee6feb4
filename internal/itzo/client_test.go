package itzo_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"kip.elotl.co/internal/itzo"
	"kip.elotl.co/internal/itzo/itzotest"
)

const cellName = "cell-a.cells.kip"

// agentServer serves as an agent does, with the given handler.
func agentServer(t *testing.T, authority *itzotest.Authority, server itzotest.Pair, handler http.HandlerFunc) string {
	t.Helper()
	s := httptest.NewUnstartedServer(handler)
	s.TLS = &tls.Config{Certificates: []tls.Certificate{server.TLS(t)}, ClientCAs: authority.Pool(), ClientAuth: tls.RequireAndVerifyClientCert}
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.EnableHTTP2 = true
	s.StartTLS()
	t.Cleanup(s.Close)
	return s.Listener.Addr().String()
}

func newClient(t *testing.T, config itzo.Config) *itzo.Client {
	t.Helper()
	client, err := itzo.NewClient(config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	return client
}

// connect makes an agent with the handler, and a client for it.
func connect(t *testing.T, handler http.HandlerFunc) *itzo.Client {
	t.Helper()
	authority := itzotest.NewAuthority(t)
	address := agentServer(t, authority, authority.Server(cellName, itzo.LegacyServerName), handler)
	return newClient(t, itzo.Config{Address: address, ServerName: cellName, RootCAs: authority.Pool(), Certificate: authority.Client().TLS(t)})
}

func answer(text string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, text) }
}

func TestRequestsOnTheWire(t *testing.T) {
	ctx := context.Background()
	tests := []struct {
		want string
		call func(*itzo.Client) error
	}{
		{"GET /rest/v1/version", func(c *itzo.Client) error { _, err := c.Version(ctx); return err }},
		{"GET /rest/v1/kip/info", func(c *itzo.Client) error { _, err := c.Info(ctx); return err }},
		{"GET /rest/v1/status", func(c *itzo.Client) error { _, err := c.Status(ctx); return err }},
		{"GET /rest/v1/kip/status?after=7&epoch=e&wait=2", func(c *itzo.Client) error {
			_, err := c.WaitStatus(ctx, "e", 7, 1500*time.Millisecond)
			return err
		}},
		{"GET /rest/v1/kip/status?after=0&epoch=&wait=300", func(c *itzo.Client) error { _, err := c.WaitStatus(ctx, "", 0, time.Hour); return err }},
		{"POST /rest/v1/updatepod", func(c *itzo.Client) error { return c.UpdatePod(ctx, &itzo.PodParameters{}) }},
		{"POST /rest/v1/kip/stop", func(c *itzo.Client) error { return c.Stop(ctx, itzo.StopRequest{}) }},
		{"POST /rest/v1/deploy/default_web/config", func(c *itzo.Client) error {
			return c.Deploy(ctx, "default_web", "config", strings.NewReader("archive"))
		}},
		{"GET /rest/v1/logs/main", func(c *itzo.Client) error { return readLogs(ctx, c, itzo.LogOptions{}) }},
		{"GET /rest/v1/logs/main?bytes=2&lines=1&metadata=1", func(c *itzo.Client) error {
			return readLogs(ctx, c, itzo.LogOptions{Lines: 1, Bytes: 2, Metadata: true})
		}},
		{"GET /rest/v1/file/?lines=3&path=%2Fvar%2Flog%2Fitzo%2Fitzo.log", func(c *itzo.Client) error {
			_, err := c.File(ctx, "/var/log/itzo/itzo.log", itzo.FileOptions{Lines: 3})
			return err
		}},
	}
	for _, test := range tests {
		t.Run(test.want, func(t *testing.T) {
			var got string
			client := connect(t, func(w http.ResponseWriter, r *http.Request) {
				got = r.Method + " " + r.URL.RequestURI()
				_, _ = io.Copy(io.Discard, r.Body)
				_, _ = io.WriteString(w, "{}")
			})
			if err := test.call(client); err != nil || got != test.want {
				t.Errorf("got %s, %v", got, err)
			}
		})
	}
}

func readLogs(ctx context.Context, c *itzo.Client, options itzo.LogOptions) error {
	log, err := c.Logs(ctx, "main", options)
	if err != nil {
		return err
	}
	defer log.Close()
	_, err = io.ReadAll(log)
	return err
}

func TestPing(t *testing.T) {
	if err := connect(t, answer("PONG")).Ping(context.Background()); err != nil {
		t.Error(err)
	}
	if err := connect(t, answer("<html>")).Ping(context.Background()); err == nil {
		t.Error("something else than an agent must not pass for one")
	}
}

func TestDeploySendsThePackage(t *testing.T) {
	var got string
	client := connect(t, func(_ http.ResponseWriter, r *http.Request) {
		file, _, err := r.FormFile("package")
		if err != nil {
			return // the upload broke off
		}
		data, _ := io.ReadAll(file)
		got = string(data)
	})
	if err := client.Deploy(context.Background(), "default_web", "config", strings.NewReader("archive")); err != nil || got != "archive" {
		t.Errorf("got %q, %v", got, err)
	}
	broken := errors.New("cannot read on")
	err := client.Deploy(context.Background(), "default_web", "config", io.MultiReader(strings.NewReader("a"), failing{broken}))
	if !errors.Is(err, broken) {
		t.Errorf("got %v", err)
	}
}

type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }

func TestNamesAreCheckedBeforeSending(t *testing.T) {
	client := connect(t, func(_ http.ResponseWriter, r *http.Request) { t.Errorf("sent %s", r.URL) })
	ctx := context.Background()
	if client.Deploy(ctx, "default_web", "..", nil) == nil || client.Deploy(ctx, "../x", "config", nil) == nil {
		t.Error("a bad path was accepted")
	}
	if _, err := client.Logs(ctx, "../ping", itzo.LogOptions{}); err == nil {
		t.Error("a bad unit was accepted")
	}
}

func TestErrorAnswers(t *testing.T) {
	tests := []struct {
		code       int
		text, want string
	}{
		{http.StatusBadRequest, "400 Bad Request: spec.x: Forbidden: no\n", "spec.x: Forbidden: no"},
		{http.StatusInternalServerError, "500 Server Error: setting up pod network: x\n", "setting up pod network: x"},
		{http.StatusNotFound, "404 page not found\n", "404 page not found"},
		{http.StatusTeapot, "", ""},
		{http.StatusFound, "moved", "moved"},
	}
	for _, test := range tests {
		client := connect(t, func(w http.ResponseWriter, _ *http.Request) { http.Error(w, test.text, test.code) })
		_, err := client.Info(context.Background())
		var status *itzo.StatusError
		if !errors.As(err, &status) || status.Code != test.code || status.Message != test.want || !itzo.IsCode(err, test.code) {
			t.Errorf("%d: got %v", test.code, err)
		}
		if itzo.IsNotReady(err) || itzo.IsWrongIdentity(err) || itzo.IsRefused(err) {
			t.Errorf("%d is an answer: %v", test.code, err)
		}
	}
}

func TestAnswersAreBounded(t *testing.T) {
	endless := connect(t, func(w http.ResponseWriter, _ *http.Request) {
		for chunk := []byte(strings.Repeat("x", 1<<16)); ; {
			if _, err := w.Write(chunk); err != nil {
				return
			}
		}
	})
	ctx := context.Background()
	if _, err := endless.Status(ctx); !errors.Is(err, itzo.ErrTooLarge) {
		t.Errorf("status: %v", err)
	}
	if _, err := endless.Info(ctx); !errors.Is(err, itzo.ErrTooLarge) {
		t.Errorf("info: %v", err)
	}
	if err := endless.UpdatePod(ctx, &itzo.PodParameters{}); err != nil {
		t.Errorf("update: %v", err)
	}
}

func TestUndecodableAnswer(t *testing.T) {
	if _, err := connect(t, answer("pong")).Status(context.Background()); err == nil || itzo.IsNotReady(err) {
		t.Errorf("got %v", err)
	}
}

func TestWrongIdentity(t *testing.T) {
	ours, theirs := itzotest.NewAuthority(t), itzotest.NewAuthority(t)
	tests := map[string]itzotest.Pair{
		"another cell's name": ours.Server("cell-b.cells.kip", itzo.LegacyServerName),
		"another authority":   theirs.Server(cellName),
	}
	for name, server := range tests {
		t.Run(name, func(t *testing.T) {
			address := agentServer(t, ours, server, answer("pong"))
			client := newClient(t, itzo.Config{Address: address, ServerName: cellName, RootCAs: ours.Pool(), Certificate: ours.Client().TLS(t)})
			err := client.Ping(context.Background())
			if !itzo.IsWrongIdentity(err) || itzo.IsNotReady(err) {
				t.Errorf("got %v", err)
			}
		})
	}
}

func TestRefusedByTheAgent(t *testing.T) {
	authority := itzotest.NewAuthority(t)
	address := agentServer(t, authority, authority.Server(cellName), answer("pong"))
	client := newClient(t, itzo.Config{Address: address, ServerName: cellName, RootCAs: authority.Pool(),
		Certificate: itzotest.NewAuthority(t).Client().TLS(t)})
	err := client.Ping(context.Background())
	if !itzo.IsRefused(err) || itzo.IsNotReady(err) || itzo.IsWrongIdentity(err) {
		t.Errorf("got %v", err)
	}
}

func TestNotReady(t *testing.T) {
	authority := itzotest.NewAuthority(t)
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed.Close()
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	hanging := agentServer(t, authority, authority.Server(cellName), func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	for name, address := range map[string]string{
		"nothing listens": closed.Addr().String(), "no handshake": silent.Addr().String(), "no answer": hanging,
	} {
		t.Run(name, func(t *testing.T) {
			client := newClient(t, itzo.Config{Address: address, ServerName: cellName, RootCAs: authority.Pool(),
				Certificate: authority.Client().TLS(t), PingTimeout: 100 * time.Millisecond})
			if err := client.Ping(context.Background()); !itzo.IsNotReady(err) || itzo.IsWrongIdentity(err) || itzo.IsRefused(err) {
				t.Errorf("got %v", err)
			}
		})
	}
}

func TestCancelledIsNotNotReady(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := connect(t, answer("pong")).Ping(ctx); err == nil || itzo.IsNotReady(err) {
		t.Errorf("got %v", err)
	}
	if itzo.IsNotReady(nil) || itzo.IsWrongIdentity(nil) || itzo.IsRefused(nil) {
		t.Error("no error is none of them")
	}
}

func TestClientNeedsAnIdentityToCheck(t *testing.T) {
	for _, config := range []itzo.Config{
		{Address: "127.0.0.1:6421", RootCAs: x509.NewCertPool()},
		{Address: "127.0.0.1:6421", ServerName: cellName},
		{Address: "127.0.0.1", ServerName: cellName, RootCAs: x509.NewCertPool()},
	} {
		if _, err := itzo.NewClient(config); err == nil {
			t.Errorf("accepted %+v", config)
		}
	}
}

func TestConnectionIsKept(t *testing.T) {
	authority := itzotest.NewAuthority(t)
	address := agentServer(t, authority, authority.Server(cellName), func(w http.ResponseWriter, r *http.Request) {
		if r.ProtoMajor != 2 {
			t.Errorf("served by %s", r.Proto)
		}
		_, _ = io.WriteString(w, "pong")
	})
	dials := 0
	client := newClient(t, itzo.Config{Address: address, ServerName: cellName, RootCAs: authority.Pool(), Certificate: authority.Client().TLS(t),
		Dial: func(ctx context.Context, network, address string) (net.Conn, error) {
			dials++
			return (&net.Dialer{}).DialContext(ctx, network, address)
		}})
	for range 3 {
		if err := client.Ping(context.Background()); err != nil {
			t.Fatal(err)
		}
	}
	if dials != 1 {
		t.Errorf("%d dials for three requests", dials)
	}
	client.Close()
	if err := client.Ping(context.Background()); err != nil || dials != 2 {
		t.Errorf("after Close: %d dials, %v", dials, err)
	}
}
