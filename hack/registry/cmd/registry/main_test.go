package main

import (
	"context"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/validate"

	"kip.elotl.co/hack/registry"
	"kip.elotl.co/hack/registry/busybox"
)

func TestServesBusyboxOnEveryAddress(t *testing.T) {
	image, err := busybox.Build(t.Context(), "/bin/busybox")
	if err != nil {
		t.Skipf("needs Debian's busybox-static: %v", err)
	}
	want, err := image.Digest()
	if err != nil {
		t.Fatal(err)
	}
	r, err := registry.New("")
	if err != nil {
		t.Fatal(err)
	}
	if err := seed(t.Context(), r, "/bin/busybox", "busybox", "library/busybox"); err != nil {
		t.Fatal(err)
	}
	var listeners []net.Listener
	for range 2 {
		l, err := net.Listen("tcp4", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		listeners = append(listeners, l)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- serve(ctx, r, listeners) }()
	for _, l := range listeners {
		for _, repository := range []string{"busybox", "library/busybox"} {
			for _, tag := range []string{"latest", image.Version} {
				ref, err := name.NewTag(l.Addr().String()+"/"+repository+":"+tag, name.Insecure)
				if err != nil {
					t.Fatal(err)
				}
				got, err := remote.Image(ref)
				if err != nil {
					t.Fatal(err)
				}
				if digest, err := got.Digest(); err != nil || digest != want {
					t.Errorf("%s is %s, %v", ref, digest, err)
				}
				if err := validate.Image(got); err != nil {
					t.Errorf("%s: %v", ref, err)
				}
			}
		}
		resp, err := http.Get("http://" + l.Addr().String() + registry.HealthPath)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

func TestFlagsThatCannotWork(t *testing.T) {
	for _, args := range [][]string{
		{"--busybox=/nonexistent"}, {"--busybox=", "--listen=nowhere"}, {"--busybox=", "--dir=/proc/nope"}, {"stray"},
	} {
		cmd := command()
		cmd.SetArgs(args)
		cmd.SilenceErrors = true
		if err := cmd.ExecuteContext(t.Context()); err == nil {
			t.Errorf("%v was accepted", args)
		}
	}
}

func TestAgentsBesideTheRegistry(t *testing.T) {
	r, err := registry.New("")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "itzo-v1-amd64"), []byte("agent"), 0o644); err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewServer(handler(r, dir))
	defer srv.Close()
	for path, want := range map[string]int{
		"/agents/itzo-v1-amd64": http.StatusOK, "/agents/itzo-v2-amd64": http.StatusNotFound, "/agents/../main.go": http.StatusNotFound,
		"/v2/": http.StatusOK, registry.HealthPath: http.StatusOK,
	} {
		resp, err := http.Get(srv.URL + path)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != want {
			t.Errorf("%s: %s, want %d", path, resp.Status, want)
		}
	}
}
