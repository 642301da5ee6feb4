package agent_test

import (
	"bytes"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"kip.elotl.co/internal/agent"
	"kip.elotl.co/internal/agent/fake"
	"kip.elotl.co/internal/agent/host"
	"kip.elotl.co/internal/itzo"
	"kip.elotl.co/internal/itzo/itzotest"
)

func writePEM(t *testing.T, dir string, p agent.PEM) {
	t.Helper()
	for name, content := range map[string][]byte{"ca.crt": p.CA, "server.crt": p.Certificate, "server.key": p.Key} {
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

func newFiles(t *testing.T, dir string) *agent.Files {
	t.Helper()
	files, err := agent.NewFiles(dir, host.WriteFile)
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// wantFiles checks that the directory holds just these credentials, for root alone.
func wantFiles(t *testing.T, dir string, want agent.PEM) {
	t.Helper()
	for name, content := range map[string][]byte{"ca.crt": want.CA, "server.crt": want.Certificate, "server.key": want.Key} {
		path := filepath.Join(dir, name)
		if is, err := os.ReadFile(path); err != nil || !bytes.Equal(is, content) {
			t.Errorf("%s holds something else, error %v", name, err)
		}
		if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, error %v", name, info, err)
		}
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 3 {
		t.Errorf("the directory holds %v, error %v", entries, err)
	}
}

func requestOf(p agent.PEM) itzo.CredentialsRequest {
	return itzo.CredentialsRequest{CACertificates: string(p.CA), Certificate: string(p.Certificate), Key: string(p.Key)}
}

// TestNewCredentials: the authority changes while the agent serves. Whoever
// connects meanwhile finds one or the other, and both authorities' clients are
// let in; the next start finds the new ones.
func TestNewCredentials(t *testing.T) {
	last, next := itzotest.NewAuthority(t), itzotest.NewAuthority(t)
	dir := t.TempDir()
	writePEM(t, dir, pemOf(last, last.Server(cellName, itzo.LegacyServerName)))
	address := serve(t, newFiles(t, dir))
	client := clientFor(t, address, last, last.Client().TLS(t))
	info, err := client.Info(t.Context())
	if err != nil || !info.Has(itzo.FeatureCredentials) {
		t.Fatalf("%+v, %v", info, err)
	}
	successor := pemOf(next, next.Server(cellName, itzo.LegacyServerName))
	successor.CA = append(next.PEM(), last.PEM()...)
	for range 2 { // the second time as whoever does not know of the first
		if err := client.SetCredentials(t.Context(), requestOf(successor)); err != nil {
			t.Fatal(err)
		}
	}
	check := func(address string) {
		t.Helper()
		for who, of := range map[string]*itzotest.Authority{"last": last, "next": next} {
			leaf, err := clientFor(t, address, next, of.Client().TLS(t)).Handshake(t.Context())
			if err != nil {
				t.Errorf("client of the %s authority: %v", who, err)
				continue
			}
			if err := leaf.VerifyHostname(cellName); err != nil {
				t.Errorf("client of the %s authority sees another cell: %v", who, err)
			}
		}
		if err := clientFor(t, address, last, last.Client().TLS(t)).Ping(t.Context()); !itzo.IsWrongIdentity(err) {
			t.Errorf("a client that trusts the last authority alone: %v", err)
		}
	}
	check(address)
	wantFiles(t, dir, successor)
	check(serve(t, newFiles(t, dir)))

	successor.CA = next.PEM()
	if err := client.SetCredentials(t.Context(), requestOf(successor)); err != nil {
		t.Fatal(err)
	}
	if err := clientFor(t, address, next, last.Client().TLS(t)).Ping(t.Context()); !itzo.IsRefused(err) {
		t.Errorf("a client of the authority that is gone: %v", err)
	}
}

func TestBadSuccessors(t *testing.T) {
	authority, other := itzotest.NewAuthority(t), itzotest.NewAuthority(t)
	dir := t.TempDir()
	present := pemOf(authority, authority.Server(cellName, itzo.LegacyServerName))
	writePEM(t, dir, present)
	address := serve(t, newFiles(t, dir))
	client := clientFor(t, address, authority, authority.Client().TLS(t))
	names := []string{cellName, itzo.LegacyServerName}
	good := func(edit func(*agent.PEM)) agent.PEM {
		p := pemOf(authority, authority.Server(names...))
		edit(&p)
		return p
	}
	issued := func(template *x509.Certificate) agent.PEM { return pemOf(authority, authority.Issue(template)) }
	server := []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
	for name, c := range map[string]struct {
		next agent.PEM
		want string
	}{
		"nothing":           {agent.PEM{}, "certificate and key"},
		"another key":       {good(func(p *agent.PEM) { p.Key = present.Key }), "private key does not match"},
		"no authority":      {good(func(p *agent.PEM) { p.CA = nil }), "caCertificates: it holds no certificate"},
		"leaf as authority": {good(func(p *agent.PEM) { p.CA = p.Certificate }), "caCertificates: there is something else"},
		"key as authority":  {good(func(p *agent.PEM) { p.CA = append(p.CA, p.Key...) }), "caCertificates: there is something else"},
		"many authorities":  {good(func(p *agent.PEM) { p.CA = bytes.Repeat(p.CA, 9) }), "more than 8"},
		"another authority": {good(func(p *agent.PEM) { p.CA = other.PEM() }), "unknown authority"},
		"another cell":      {pemOf(authority, authority.Server("cell-2.cells.kip", itzo.LegacyServerName)), "not this cell's"},
		"no legacy name":    {pemOf(authority, authority.Server(cellName)), itzo.LegacyServerName},
		"a client's":        {issued(&x509.Certificate{DNSNames: names, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}), "key usage"},
		"expired": {issued(&x509.Certificate{DNSNames: names, ExtKeyUsage: server,
			NotBefore: time.Now().Add(-2 * time.Hour), NotAfter: time.Now().Add(-time.Hour)}), "expired"},
		"not valid yet": {issued(&x509.Certificate{DNSNames: names, ExtKeyUsage: server,
			NotBefore: time.Now().Add(time.Hour), NotAfter: time.Now().Add(2 * time.Hour)}), "not yet valid"},
	} {
		err := client.SetCredentials(t.Context(), requestOf(c.next))
		if !itzo.IsCode(err, http.StatusBadRequest) || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "PRIVATE") {
			t.Errorf("%s: %v", name, err)
		}
	}
	wantFiles(t, dir, present)
	if err := clientFor(t, address, authority, authority.Client().TLS(t)).Ping(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestCredentialsThatStay(t *testing.T) {
	authority := itzotest.NewAuthority(t)
	p := pemOf(authority, authority.Server(cellName))
	client := clientFor(t, serve(t, p), authority, authority.Client().TLS(t))
	if info, err := client.Info(t.Context()); err != nil || info.Has(itzo.FeatureCredentials) {
		t.Errorf("%+v, %v", info, err)
	}
	if err := client.SetCredentials(t.Context(), requestOf(p)); !itzo.IsCode(err, http.StatusNotFound) {
		t.Error(err)
	}
}

// TestKilledWhileReplacing ends the agent at each of its writes, before and
// after that has taken effect: the next start finds all of one or all of the other.
func TestKilledWhileReplacing(t *testing.T) {
	last, next := itzotest.NewAuthority(t), itzotest.NewAuthority(t)
	before := pemOf(last, last.Server(cellName))
	after := pemOf(next, next.Server(cellName))
	killed := errors.New("killed")
	for at := range 4 {
		for _, done := range []bool{false, true} {
			t.Run(fmt.Sprintf("write %d, done %v", at, done), func(t *testing.T) {
				dir, writes := t.TempDir(), 0
				writePEM(t, dir, before)
				files, err := agent.NewFiles(dir, func(path string, content []byte, mode fs.FileMode) error {
					defer func() { writes++ }()
					if writes == at && !done || writes > at {
						return killed
					}
					if err := host.WriteFile(path, content, mode); err != nil {
						return err
					}
					if writes == at {
						return killed
					}
					return nil
				})
				if err != nil {
					t.Fatal(err)
				}
				if err := files.Replace(after); !errors.Is(err, killed) {
					t.Fatal(err)
				}
				newFiles(t, dir)
				want := after
				if at == 0 && !done {
					want = before
				}
				wantFiles(t, dir, want)
			})
		}
	}
}

func TestDamagedRecordOfReplacement(t *testing.T) {
	authority := itzotest.NewAuthority(t)
	dir := t.TempDir()
	writePEM(t, dir, pemOf(authority, authority.Server(cellName)))
	path := filepath.Join(dir, "successor.json")
	if err := os.WriteFile(path, []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := agent.NewFiles(dir, host.WriteFile); err == nil || !strings.Contains(err.Error(), path) {
		t.Error(err)
	}
}

func TestNoKeyInText(t *testing.T) {
	authority := itzotest.NewAuthority(t)
	p := pemOf(authority, authority.Server(cellName))
	for _, value := range []any{p, requestOf(p)} {
		for _, format := range []string{"%v", "%+v", "%#v", "%s"} {
			if text := fmt.Sprintf(format, value); strings.Contains(text, "KEY") || len(text) > 100 {
				t.Errorf("%s of %T: %s", format, value, text)
			}
		}
	}
}

// FuzzCredentials: whatever is sent, the agent answers, and goes on with what
// it had unless it was sent what can succeed that.
func FuzzCredentials(f *testing.F) {
	authority := itzotest.NewAuthority(f)
	p := pemOf(authority, authority.Server(cellName))
	f.Add("{}", "", "")
	f.Add(string(p.CA), string(p.Certificate), string(p.Key))
	f.Add(string(p.CA)+string(p.Key), string(p.Certificate)+string(p.CA), string(p.Key))
	f.Fuzz(func(t *testing.T, ca, certificate, key string) {
		memory, err := agent.NewMemory(p)
		if err != nil {
			t.Fatal(err)
		}
		err = memory.Replace(agent.PEM{CA: []byte(ca), Certificate: []byte(certificate), Key: []byte(key)})
		if err != nil && !errors.Is(err, agent.ErrBadCredentials) {
			t.Errorf("%v", err)
		}
		config, err := memory.TLS()
		if err != nil || !slices.Contains(config.Certificates[0].Leaf.DNSNames, cellName) {
			t.Errorf("the agent serves as something else, error %v", err)
		}
	})
}

// FuzzCredentialsBody sends any body.
func FuzzCredentialsBody(f *testing.F) {
	authority := itzotest.NewAuthority(f)
	memory, err := agent.NewMemory(pemOf(authority, authority.Server(cellName)))
	if err != nil {
		f.Fatal(err)
	}
	a, err := agent.New(agent.Config{Runtime: fake.NewRuntime(), Host: fake.NewHost(agent.Resources{})})
	if err != nil {
		f.Fatal(err)
	}
	serveUntilEnd(f, a, memory)
	handler := a.Handler()
	post := func(body []byte) *httptest.ResponseRecorder {
		answer := httptest.NewRecorder()
		request := httptest.NewRequestWithContext(context.Background(), http.MethodPost, "/rest/v1/kip/credentials", bytes.NewReader(body))
		handler.ServeHTTP(answer, request)
		return answer
	}
	for post(nil).Code == http.StatusNotFound {
		runtime.Gosched() // it does not serve with them yet
	}
	for _, body := range []string{"", "{}", "[]", `{"key":"-----BEGIN EC PRIVATE KEY-----"}`, `{"key":1}`, strings.Repeat(" ", 70<<10)} {
		f.Add([]byte(body))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		answer := post(body)
		if code := answer.Code; code != http.StatusBadRequest && code != http.StatusRequestEntityTooLarge {
			t.Errorf("answer %d: %s", code, answer.Body)
		}
		if strings.Contains(answer.Body.String(), "PRIVATE") {
			t.Errorf("the answer quotes the body: %s", answer.Body)
		}
	})
}
