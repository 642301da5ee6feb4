package agent_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"

	"kip.elotl.co/internal/agent"
	"kip.elotl.co/internal/agent/fake"
	"kip.elotl.co/internal/agent/host"
	"kip.elotl.co/internal/itzo"
	"kip.elotl.co/internal/itzo/itzotest"
)

const cellName = "cell-1.cells.kip"

// serve runs an agent on a loopback address until the test ends.
func serve(t *testing.T, credentials agent.Credentials) string {
	t.Helper()
	a, err := agent.New(agent.Config{Version: "test", Runtime: fake.NewRuntime(), Host: fake.NewHost(agent.Resources{})})
	if err != nil {
		t.Fatal(err)
	}
	return serveUntilEnd(t, a, credentials)
}

func serveUntilEnd(t testing.TB, a *agent.Agent, credentials agent.Credentials) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- a.Serve(ctx, listener, credentials) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return listener.Addr().String()
}

func pemOf(authority *itzotest.Authority, server itzotest.Pair) agent.PEM {
	return agent.PEM{CA: authority.PEM(), Certificate: server.Certificate, Key: server.Key}
}

func clientFor(t *testing.T, address string, authority *itzotest.Authority, certificate tls.Certificate) *itzo.Client {
	t.Helper()
	client, err := itzo.NewClient(itzo.Config{Address: address, ServerName: cellName, RootCAs: authority.Pool(), Certificate: certificate})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	return client
}

func TestWhoMayAsk(t *testing.T) {
	ours, theirs := itzotest.NewAuthority(t), itzotest.NewAuthority(t)
	address := serve(t, pemOf(ours, ours.Server(cellName, itzo.LegacyServerName)))
	clientUsage := []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
	tests := map[string]struct {
		certificate tls.Certificate
		accepted    bool
	}{
		"a client of ours":         {ours.Client().TLS(t), true},
		"no certificate":           {tls.Certificate{}, false},
		"a cell's own certificate": {ours.Server("cell-2.cells.kip").TLS(t), false},
		"without any usage":        {ours.Issue(&x509.Certificate{}).TLS(t), false},
		"of another authority":     {theirs.Client().TLS(t), false},
		"expired": {ours.Issue(&x509.Certificate{ExtKeyUsage: clientUsage,
			NotBefore: time.Now().Add(-2 * time.Hour), NotAfter: time.Now().Add(-time.Hour)}).TLS(t), false},
		"not valid yet": {ours.Issue(&x509.Certificate{ExtKeyUsage: clientUsage,
			NotBefore: time.Now().Add(time.Hour), NotAfter: time.Now().Add(2 * time.Hour)}).TLS(t), false},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			err := clientFor(t, address, ours, test.certificate).Ping(context.Background())
			if (err == nil) != test.accepted || !test.accepted && !itzo.IsRefused(err) {
				t.Errorf("got %v", err)
			}
		})
	}
}

func TestClientSeesTheWrongCell(t *testing.T) {
	authority := itzotest.NewAuthority(t)
	address := serve(t, pemOf(authority, authority.Server("cell-2.cells.kip", itzo.LegacyServerName)))
	err := clientFor(t, address, authority, authority.Client().TLS(t)).Ping(context.Background())
	if !itzo.IsWrongIdentity(err) {
		t.Errorf("got %v", err)
	}
}

func TestOldTLSIsRefused(t *testing.T) {
	authority := itzotest.NewAuthority(t)
	address := serve(t, pemOf(authority, authority.Server(cellName)))
	conn, err := tls.Dial("tcp", address, &tls.Config{ServerName: cellName, RootCAs: authority.Pool(),
		MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11, Certificates: []tls.Certificate{authority.Client().TLS(t)}})
	if err == nil {
		conn.Close()
		t.Error("TLS 1.1 was accepted")
	}
}

func TestPodOverTheWire(t *testing.T) {
	authority := itzotest.NewAuthority(t)
	address := serve(t, pemOf(authority, authority.Server(cellName)))
	client := clientFor(t, address, authority, authority.Client().TLS(t))
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	pod := newPod(corev1.RestartPolicyNever, `{"main":[{"runSeconds":0.01,"exitCode":3,"log":"a\nb"}]}`, "main")
	if err := updateWhenUp(ctx, client, pod); err != nil {
		t.Fatal(err)
	}
	var reply itzo.StatusReply
	for reply.Status.Phase != corev1.PodFailed {
		var err error
		if reply, err = client.WaitStatus(ctx, reply.Epoch, reply.Revision, time.Minute); err != nil {
			t.Fatalf("%v; last %+v", err, reply)
		}
	}
	if reply.Status.HostIP != "127.0.0.1" || reply.Status.ContainerStatuses[0].State.Terminated.ExitCode != 3 {
		t.Errorf("got %+v", reply.Status)
	}
	old, err := client.Status(ctx)
	if err != nil || len(old.UnitStatus) != 1 || old.UnitStatus[0].State.Terminated.ExitCode != 3 || old.PodIP != "10.0.0.2" {
		t.Errorf("got %+v, %v", old, err)
	}
	if version, err := client.Version(ctx); err != nil || version != "1.0" {
		t.Errorf("version %q, %v", version, err)
	}
}

// updateWhenUp tries again as long as the agent's runtime is not up.
func updateWhenUp(ctx context.Context, client *itzo.Client, pod *corev1.Pod) error {
	for {
		params := parameters(pod)
		err := client.UpdatePod(ctx, &params)
		if !itzo.IsCode(err, 503) || ctx.Err() != nil {
			return err
		}
	}
}

func TestShutdownEndsLongPolls(t *testing.T) {
	before := runtime.NumGoroutine()
	authority := itzotest.NewAuthority(t)
	polled := make(chan struct{})
	t.Run("serving", func(t *testing.T) {
		address := serve(t, pemOf(authority, authority.Server(cellName)))
		client := clientFor(t, address, authority, authority.Client().TLS(t))
		now, err := client.WaitStatus(context.Background(), "", 0, 0)
		if err != nil {
			t.Fatal(err)
		}
		go func() {
			defer close(polled)
			// Whether it is answered or cut does not matter.
			_, _ = client.WaitStatus(context.Background(), now.Epoch, now.Revision, itzo.MaxWait)
		}()
	})
	<-polled
	deadline := time.Now().Add(time.Minute)
	for runtime.NumGoroutine() > before && time.Now().Before(deadline) {
		runtime.Gosched()
	}
	if after := runtime.NumGoroutine(); after > before {
		buffer := make([]byte, 1<<16)
		t.Errorf("%d goroutines before, %d after:\n%s", before, after, buffer[:runtime.Stack(buffer, true)])
	}
}

func TestFilesAreReadAgain(t *testing.T) {
	dir := t.TempDir()
	write := func(authority *itzotest.Authority) {
		t.Helper()
		server := authority.Server(cellName)
		for name, content := range map[string][]byte{"ca.crt": authority.PEM(), "server.crt": server.Certificate, "server.key": server.Key} {
			if err := os.WriteFile(filepath.Join(dir, name), content, 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	first, second := itzotest.NewAuthority(t), itzotest.NewAuthority(t)
	if _, err := agent.NewFiles(dir, host.WriteFile); err == nil {
		t.Error("an empty directory was accepted")
	}
	write(first)
	files, err := agent.NewFiles(dir, host.WriteFile)
	if err != nil {
		t.Fatal(err)
	}
	address := serve(t, files)
	ping := func(authority *itzotest.Authority) error {
		return clientFor(t, address, authority, authority.Client().TLS(t)).Ping(context.Background())
	}
	if err := ping(first); err != nil {
		t.Fatal(err)
	}
	// Half a renewal changes nothing.
	if err := os.WriteFile(filepath.Join(dir, "server.key"), []byte("half"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := ping(first); err != nil {
		t.Errorf("during the renewal: %v", err)
	}
	write(second)
	if err := ping(second); err != nil {
		t.Errorf("after the renewal: %v", err)
	}
	if err := ping(first); err == nil {
		t.Error("the former authority is still accepted")
	}
}

func TestBadCredentials(t *testing.T) {
	authority := itzotest.NewAuthority(t)
	good := pemOf(authority, authority.Server(cellName))
	for name, bad := range map[string]agent.PEM{
		"no authority": {Certificate: good.Certificate, Key: good.Key, CA: []byte("x")},
		"no key":       {Certificate: good.Certificate, CA: good.CA},
		"another key":  {Certificate: good.Certificate, CA: good.CA, Key: authority.Client().Key},
	} {
		if _, err := bad.TLS(); err == nil || strings.Contains(err.Error(), "PRIVATE") {
			t.Errorf("%s: %v", name, err)
		}
	}
}
