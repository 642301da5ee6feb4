package registry

import (
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/validate"
)

func serveDir(t *testing.T, dir string) (*Registry, string) {
	t.Helper()
	r, err := New(dir)
	if err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewServer(r)
	t.Cleanup(srv.Close)
	return r, strings.TrimPrefix(srv.URL, "http://")
}

func reference(t *testing.T, s string) name.Reference {
	t.Helper()
	ref, err := name.ParseReference(s, name.Insecure)
	if err != nil {
		t.Fatal(err)
	}
	return ref
}

func randomImage(t *testing.T) v1.Image {
	t.Helper()
	image, err := random.Image(2048, 2)
	if err != nil {
		t.Fatal(err)
	}
	return image
}

func digestOf(t *testing.T, d interface{ Digest() (v1.Hash, error) }) string {
	t.Helper()
	h, err := d.Digest()
	if err != nil {
		t.Fatal(err)
	}
	return h.String()
}

func requireImage(t *testing.T, ref, digest string) {
	t.Helper()
	image, err := remote.Image(reference(t, ref))
	if err != nil {
		t.Errorf("pulling %s: %v", ref, err)
		return
	}
	if err := validate.Image(image); err != nil {
		t.Errorf("%s: %v", ref, err)
	}
	if got := digestOf(t, image); got != digest {
		t.Errorf("%s is %s, want %s", ref, got, digest)
	}
}

func TestPutThenPull(t *testing.T) {
	for kind, dir := range map[string]string{"memory": "", "disk": t.TempDir()} {
		t.Run(kind, func(t *testing.T) {
			r, host := serveDir(t, dir)
			image := randomImage(t)
			if err := r.Put(t.Context(), image, "library/thing", "latest", "1.2"); err != nil {
				t.Fatal(err)
			}
			digest := digestOf(t, image)
			for _, ref := range []string{":latest", ":1.2", "@" + digest} {
				requireImage(t, host+"/library/thing"+ref, digest)
			}
			if _, err := remote.Image(reference(t, host+"/library/thing:2")); err == nil {
				t.Error("a tag that was never put is there")
			}
		})
	}
}

func TestHealth(t *testing.T) {
	_, host := serveDir(t, "")
	for path, want := range map[string]int{HealthPath: http.StatusOK, "/v2/": http.StatusOK, "/other": http.StatusNotFound} {
		resp, err := http.Get("http://" + host + path)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != want {
			t.Errorf("%s: %d, want %d", path, resp.StatusCode, want)
		}
	}
}

func TestPushedContentSurvivesRestart(t *testing.T) {
	dir := t.TempDir()
	_, host := serveDir(t, dir)
	older, newer, gone := randomImage(t), randomImage(t), randomImage(t)
	index, err := random.Index(512, 1, 2)
	if err != nil {
		t.Fatal(err)
	}
	for _, push := range []struct {
		tag   string
		image v1.Image
	}{{"moves", older}, {"moves", newer}, {"gone", gone}} {
		if err := remote.Write(reference(t, host+"/team/app:"+push.tag), push.image); err != nil {
			t.Fatal(err)
		}
	}
	if err := remote.WriteIndex(reference(t, host+"/team/app:index"), index); err != nil {
		t.Fatal(err)
	}
	if err := remote.Delete(reference(t, host+"/team/app:gone")); err != nil {
		t.Fatal(err)
	}

	_, host = serveDir(t, dir)
	requireImage(t, host+"/team/app:moves", digestOf(t, newer))
	requireImage(t, host+"/team/app@"+digestOf(t, older), digestOf(t, older))
	if _, err := remote.Image(reference(t, host+"/team/app:gone")); err == nil {
		t.Error("a deleted tag is back")
	}
	got, err := remote.Index(reference(t, host+"/team/app:index"))
	if err != nil {
		t.Fatal(err)
	}
	if err := validate.Index(got); err != nil {
		t.Error(err)
	}
}

func TestDamagedRecordIsNamed(t *testing.T) {
	dir := t.TempDir()
	serveDir(t, dir)
	for _, content := range []string{"{", `{"path":"/v2/a/nonsense","body":"e30="}`} {
		bad := filepath.Join(dir, "manifests", "bad.json")
		if err := os.WriteFile(bad, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
		if _, err := New(dir); err == nil || !strings.Contains(err.Error(), "manifests") {
			t.Errorf("%s: %v", content, err)
		}
	}
}

func TestTooLargeManifest(t *testing.T) {
	_, host := serveDir(t, t.TempDir())
	req, err := http.NewRequest(http.MethodPut, "http://"+host+"/v2/a/manifests/b", strings.NewReader(strings.Repeat("x", maxManifest+1)))
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusRequestEntityTooLarge {
		t.Errorf("%s", resp.Status)
	}
}
