// Package agentfiles serves the agent of the operator's own release to cells
// whose class names no other place. Cells check what they get by digests that
// reach them on a safe way, so it is served as plain HTTP.
package agentfiles

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// Files are those of one directory, as they were when it was opened: they may
// be replaced there meanwhile.
type Files struct {
	dir     string
	version string
	// served is what is served, by its name for downloads.
	served  map[string]*content
	digests map[string]string
}

// content is an open file.
type content struct {
	file     *os.File
	size     int64
	modified time.Time
}

// names are the files that a cell may ask for, by architecture. Only the first
// two are needed.
func names(arch string) []string {
	return []string{"itzo-" + arch, "pause-" + arch, "containerd-" + arch + ".tar.gz"}
}

// Open reads a directory that holds itzo-<arch> and pause-<arch>, and maybe
// containerd-<arch>.tar.gz, for amd64, arm64 or both. Version is that of the
// release.
func Open(dir, version string) (*Files, error) {
	f := &Files{dir: dir, version: version, served: map[string]*content{}, digests: map[string]string{}}
	for _, arch := range []string{"amd64", "arm64"} {
		if err := f.add(arch); err != nil {
			return nil, err
		}
	}
	if len(f.served) == 0 {
		return nil, fmt.Errorf("directory %s holds no agent: neither itzo-amd64 nor itzo-arm64", dir)
	}
	return f, nil
}

func (f *Files) add(arch string) error {
	for i, name := range names(arch) {
		opened, digest, err := open(filepath.Join(f.dir, name))
		if errors.Is(err, fs.ErrNotExist) {
			if i == 1 {
				return fmt.Errorf("directory %s holds itzo-%s but not %s, which it needs", f.dir, arch, name)
			}
			if i == 0 {
				return nil
			}
			continue
		}
		if err != nil {
			return err
		}
		f.digests[name] = digest
		f.served[f.download(name, arch, i)] = opened
	}
	return nil
}

// download is a file's name in URLs: programs carry their version.
func (f *Files) download(name, arch string, i int) string {
	if i > 1 {
		return name
	}
	return name[:len(name)-len(arch)] + f.version + "-" + arch
}

func open(path string) (*content, string, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, "", fmt.Errorf("reading the agent: %w", err)
	}
	info, err := file.Stat()
	sum := sha256.New()
	if err == nil {
		_, err = io.Copy(sum, file)
	}
	if err != nil {
		return nil, "", fmt.Errorf("reading the agent: %w", errors.Join(err, file.Close()))
	}
	return &content{file, info.Size(), info.ModTime()}, hex.EncodeToString(sum.Sum(nil)), nil
}

// SHA256 are the digests in hexadecimal by the files' names, such as itzo-amd64.
func (f *Files) SHA256() map[string]string { return f.digests }

// ServeHTTP gives /itzo-<version>-<arch> and the like, to whoever asks.
func (f *Files) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		http.Error(w, "only GET and HEAD are served here", http.StatusMethodNotAllowed)
		return
	}
	asked, found := f.served[strings.TrimPrefix(r.URL.Path, "/")]
	if !found {
		http.NotFound(w, r)
		return
	}
	w.Header().Set("Content-Type", "application/octet-stream")
	http.ServeContent(w, r, "", asked.modified, io.NewSectionReader(asked.file, 0, asked.size))
}

const (
	headerTimeout = 10 * time.Second
	idleTimeout   = time.Minute
	// sendTimeout bounds a download over a slow line.
	sendTimeout = 10 * time.Minute
)

// Server serves Files at an address. Every replica does, leader or not.
type Server struct {
	Files  *Files
	Listen string
}

// NeedLeaderElection says that every replica serves.
func (s *Server) NeedLeaderElection() bool { return false }

// Start serves until ctx ends.
func (s *Server) Start(ctx context.Context) error {
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", s.Listen)
	if err != nil {
		return fmt.Errorf("serving agents: %w", err)
	}
	server := &http.Server{Handler: s.Files, ReadHeaderTimeout: headerTimeout, IdleTimeout: idleTimeout, WriteTimeout: sendTimeout}
	done := make(chan error, 1)
	go func() { done <- server.Serve(listener) }()
	select {
	case err := <-done:
		return fmt.Errorf("serving agents: %w", err)
	case <-ctx.Done():
		return server.Close()
	}
}
