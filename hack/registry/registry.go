// Package registry is an OCI registry for the local environment. It speaks
// plain HTTP and keeps what is pushed in memory or in a directory.
package registry

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log"
	"net/http"
	"os"
	"path"
	"path/filepath"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
	ocireg "github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"kip.elotl.co/hack/proc/atomicfile"
)

// HealthPath answers 200 once the server serves.
const HealthPath = "/healthz"

// maxManifest bounds a manifest, in bytes; 4 MiB is what registries usually take.
const maxManifest = 4 << 20

// Registry is an http.Handler.
type Registry struct {
	inner http.Handler
	dir   string // of manifests; empty when in memory
}

// New makes a registry that keeps its content in dir, created when missing,
// or in memory when dir is empty.
func New(dir string) (*Registry, error) {
	options := []ocireg.Option{ocireg.Logger(log.New(io.Discard, "", 0)), ocireg.WithReferrersSupport(true)}
	if dir == "" {
		return &Registry{inner: ocireg.New(options...)}, nil
	}
	blobs := filepath.Join(dir, "blobs")
	r := &Registry{dir: filepath.Join(dir, "manifests")}
	for _, d := range []string{blobs, r.dir} {
		if err := os.MkdirAll(d, 0o755); err != nil {
			return nil, fmt.Errorf("making the registry's directory: %w", err)
		}
	}
	r.inner = ocireg.New(append(options, ocireg.WithBlobHandler(ocireg.NewDiskBlobHandler(blobs)))...)
	if err := r.restore(); err != nil {
		return nil, fmt.Errorf("reading the manifests in %s: %w", r.dir, err)
	}
	return r, nil
}

// ServeHTTP answers the distribution API and the health path.
func (r *Registry) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	switch {
	case req.URL.Path == HealthPath:
		w.WriteHeader(http.StatusOK)
	case r.dir != "" && isManifest(req.URL.Path) && (req.Method == http.MethodPut || req.Method == http.MethodDelete):
		r.changeManifest(w, req)
	default:
		r.inner.ServeHTTP(w, req)
	}
}

// Put stores an image under repository:tag for each tag.
func (r *Registry) Put(ctx context.Context, image v1.Image, repository string, tags ...string) error {
	for _, tag := range tags {
		ref, err := name.NewTag("registry.invalid/"+repository+":"+tag, name.Insecure)
		if err != nil {
			return fmt.Errorf("naming the image: %w", err)
		}
		err = remote.Write(ref, image, remote.WithContext(ctx), remote.WithTransport(direct{r}))
		if err != nil {
			return fmt.Errorf("storing %s:%s: %w", repository, tag, err)
		}
	}
	return nil
}

func isManifest(urlPath string) bool {
	elems := strings.Split(urlPath, "/")
	return len(elems) > 4 && elems[len(elems)-2] == "manifests"
}

// record is a manifest as it was pushed.
type record struct {
	Path        string `json:"path"` // of the request
	ContentType string `json:"contentType"`
	Body        []byte `json:"body"`
}

func (r *Registry) recordPath(urlPath string) string {
	sum := sha256.Sum256([]byte(urlPath))
	return filepath.Join(r.dir, hex.EncodeToString(sum[:])+".json")
}

// changeManifest lets the library do it, then does the same on disk: the
// library keeps manifests in memory only.
func (r *Registry) changeManifest(w http.ResponseWriter, req *http.Request) {
	body, err := io.ReadAll(http.MaxBytesReader(w, req.Body, maxManifest))
	if err != nil {
		http.Error(w, err.Error(), http.StatusRequestEntityTooLarge)
		return
	}
	req.Body = io.NopCloser(bytes.NewReader(body))
	answer := newRecorder()
	r.inner.ServeHTTP(answer, req)
	if answer.code/100 == 2 {
		if err := r.save(req, body, answer.header.Get("Docker-Content-Digest")); err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
	}
	answer.copyTo(w)
}

// save notes a pushed manifest under its tag and under its digest, by which it
// is known even when the tag moves on.
func (r *Registry) save(req *http.Request, body []byte, digest string) error {
	if req.Method == http.MethodDelete {
		if err := os.Remove(r.recordPath(req.URL.Path)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		return nil
	}
	paths := []string{req.URL.Path}
	if digest != "" {
		paths = append(paths, path.Join(path.Dir(req.URL.Path), digest))
	}
	for _, p := range paths {
		data, err := json.Marshal(record{Path: p, ContentType: req.Header.Get("Content-Type"), Body: body})
		if err != nil {
			return err
		}
		if _, err := atomicfile.Write(r.recordPath(p), data, 0o644); err != nil {
			return err
		}
	}
	return nil
}

// restore puts every saved manifest again. Indexes come last, since what they
// list must be there; an index of indexes may take several rounds.
func (r *Registry) restore() error {
	files, err := filepath.Glob(filepath.Join(r.dir, "*.json"))
	if err != nil {
		return err
	}
	var images, indexes []record
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		var rec record
		if err := json.Unmarshal(data, &rec); err != nil {
			return fmt.Errorf("%s: %w", file, err)
		}
		if types.MediaType(rec.ContentType).IsIndex() {
			indexes = append(indexes, rec)
		} else {
			images = append(images, rec)
		}
	}
	for todo := append(images, indexes...); len(todo) > 0; {
		var failed []record
		for _, rec := range todo {
			if !r.restoreOne(rec) {
				failed = append(failed, rec)
			}
		}
		if len(failed) == len(todo) {
			return fmt.Errorf("%d manifests are refused, the first for %s", len(failed), failed[0].Path)
		}
		todo = failed
	}
	return nil
}

func (r *Registry) restoreOne(rec record) bool {
	req, err := http.NewRequestWithContext(context.Background(), http.MethodPut, "http://registry.invalid"+rec.Path, bytes.NewReader(rec.Body))
	if err != nil {
		return false
	}
	req.Header.Set("Content-Type", rec.ContentType)
	answer := newRecorder()
	r.inner.ServeHTTP(answer, req)
	return answer.code/100 == 2
}
