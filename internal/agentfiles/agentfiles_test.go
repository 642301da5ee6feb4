package agentfiles

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func directory(t *testing.T, files ...string) string {
	t.Helper()
	dir := t.TempDir()
	for _, name := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("content of "+name), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func get(t *testing.T, url string) (int, string) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = answer.Body.Close() }()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer.StatusCode, string(body)
}

func TestFiles(t *testing.T) {
	dir := directory(t, "itzo-amd64", "pause-amd64", "containerd-amd64.tar.gz", "secret")
	files, err := Open(dir, "v1")
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{}
	for _, name := range []string{"itzo-amd64", "pause-amd64", "containerd-amd64.tar.gz"} {
		sum := sha256.Sum256([]byte("content of " + name))
		want[name] = hex.EncodeToString(sum[:])
	}
	if diff := cmp.Diff(want, files.SHA256()); diff != "" {
		t.Errorf("digests (-want +got):\n%s", diff)
	}
	replaced := filepath.Join(dir, "itzo-amd64")
	if err := errors.Join(os.Remove(replaced), os.WriteFile(replaced, []byte("another"), 0o600)); err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(files)
	t.Cleanup(server.Close)
	for path, name := range map[string]string{
		"/itzo-v1-amd64": "itzo-amd64", "/pause-v1-amd64": "pause-amd64", "/containerd-amd64.tar.gz": "containerd-amd64.tar.gz",
		"/itzo-v2-amd64": "", "/itzo-amd64": "", "/itzo-v1-arm64": "", "/secret": "", "/": "", "": "", "/../secret": "", "/./secret": "",
	} {
		status, body := get(t, server.URL+path)
		if name == "" && status != http.StatusNotFound {
			t.Errorf("%s: %d %q", path, status, body)
		}
		if name != "" && (status != http.StatusOK || body != "content of "+name) {
			t.Errorf("%s: %d %q", path, status, body)
		}
	}
}

func TestOpenRefuses(t *testing.T) {
	for want, files := range map[string][]string{
		"neither itzo-amd64 nor itzo-arm64":              {"pause-amd64"},
		"itzo-arm64 but not pause-arm64, which it needs": {"itzo-amd64", "pause-amd64", "itzo-arm64"},
	} {
		if _, err := Open(directory(t, files...), "v1"); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v: %v, want %q", files, err, want)
		}
	}
}

func TestServerEndsWithItsContext(t *testing.T) {
	files, err := Open(directory(t, "itzo-arm64", "pause-arm64"), "v1")
	if err != nil {
		t.Fatal(err)
	}
	free, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := free.Addr().String()
	ctx, cancel := context.WithCancel(t.Context())
	taken := &Server{Files: files, Listen: address}
	if err := taken.Start(ctx); err == nil {
		t.Error("no error where the address is taken")
	}
	if err := free.Close(); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- taken.Start(ctx) }()
	for {
		connection, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", address)
		if err == nil {
			_ = connection.Close()
			break
		}
	}
	if status, _ := get(t, "http://"+address+"/itzo-v1-arm64"); status != http.StatusOK {
		t.Errorf("status %d", status)
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}
