package install

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"io/fs"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// machine is a root directory, programs, and a server to download from.
type machine struct {
	t         *testing.T
	dir       string
	installer *Installer
	served    map[string][]byte
}

// newMachine makes one whose only programs are these scripts.
func newMachine(t *testing.T, programs map[string]string) *machine {
	t.Helper()
	m := &machine{t: t, dir: t.TempDir(), served: map[string][]byte{}}
	for _, dir := range []string{"bin", "parameters", "state", "root/usr/local/bin", "root/run"} {
		must(t, os.MkdirAll(filepath.Join(m.dir, dir), 0o755))
	}
	for name, script := range programs {
		m.write("bin/"+name, "#!/bin/sh\n"+script+"\n", 0o755)
	}
	// The scripts' own commands come last.
	for _, name := range []string{"sh", "cat", "mkdir", "cp", "chmod"} {
		must(t, os.Symlink("/bin/"+name, filepath.Join(m.dir, "bin", name)))
	}
	t.Setenv("PATH", m.dir+"/bin:"+m.dir+"/root/usr/local/bin")
	t.Setenv("M", m.dir)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		content, found := m.served[strings.TrimPrefix(r.URL.Path, "/agents/")]
		if !found {
			http.NotFound(w, r)
			return
		}
		_, _ = w.Write(content)
	}))
	t.Cleanup(server.Close)
	m.write("parameters/itzo_url", server.URL+"/agents\n", 0o600)
	m.installer = New(Config{
		Endpoint: "unix://" + m.dir + "/containerd.sock", Parameters: m.dir + "/parameters", StateDir: m.dir + "/state", Root: m.dir + "/root",
	})
	return m
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func (m *machine) write(name, text string, mode fs.FileMode) {
	m.t.Helper()
	path := filepath.Join(m.dir, name)
	must(m.t, os.MkdirAll(filepath.Dir(path), 0o755))
	must(m.t, os.WriteFile(path, []byte(text), mode))
}

// read answers a file's text; empty when it is not there.
func (m *machine) read(name string) string {
	m.t.Helper()
	text, err := os.ReadFile(filepath.Join(m.dir, name))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		m.t.Fatal(err)
	}
	return string(text)
}

// listen answers on the runtime's socket, as a containerd that was started does.
func (m *machine) listen() {
	m.t.Helper()
	listener, err := (&net.ListenConfig{}).Listen(context.Background(), "unix", m.dir+"/containerd.sock")
	must(m.t, err)
	m.t.Cleanup(func() { listener.Close() })
}

// prepared waits for the runtime to be there.
func (m *machine) prepared() {
	m.t.Helper()
	ctx, cancel := context.WithTimeout(m.t.Context(), time.Minute)
	done := make(chan struct{})
	go func() { defer close(done); m.installer.Run(ctx) }()
	select {
	case <-m.installer.done:
	case <-ctx.Done():
		defer func() { m.t.Errorf("not prepared: %s", m.installer.problem) }()
	}
	cancel()
	<-done
}

// bundle makes one of files.
func bundle(t *testing.T, files map[string]string) []byte {
	t.Helper()
	var out bytes.Buffer
	compressed := gzip.NewWriter(&out)
	archive := tar.NewWriter(compressed)
	for name, text := range files {
		must(t, archive.WriteHeader(&tar.Header{Name: name, Typeflag: tar.TypeReg, Mode: 0o644, Size: int64(len(text))}))
		_, err := archive.Write([]byte(text))
		must(t, err)
	}
	must(t, errors.Join(archive.Close(), compressed.Close()))
	return out.Bytes()
}
