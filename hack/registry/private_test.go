package registry

import (
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/v1/remote"
)

func TestPrivate(t *testing.T) {
	r, err := New("")
	if err != nil {
		t.Fatal(err)
	}
	for _, repository := range []string{"open/thing", "private/thing"} {
		if err := r.Put(t.Context(), randomImage(t), repository, "latest"); err != nil {
			t.Fatal(err)
		}
	}
	srv := httptest.NewServer(Private(r, "private/", "AWS", "secret"))
	t.Cleanup(srv.Close)
	host := strings.TrimPrefix(srv.URL, "http://")
	for _, test := range []struct {
		repository, user, password string
		want                       bool
	}{
		{"open/thing", "", "", true},
		{"private/thing", "", "", false},
		{"private/thing", "AWS", "other", false},
		{"private/thing", "other", "secret", false},
		{"private/thing", "AWS", "secret", true},
	} {
		auth := remote.WithAuth(authn.Anonymous)
		if test.user != "" {
			auth = remote.WithAuth(&authn.Basic{Username: test.user, Password: test.password})
		}
		if _, err := remote.Image(reference(t, host+"/"+test.repository+":latest"), auth); (err == nil) != test.want {
			t.Errorf("%s as %q with %q: %v", test.repository, test.user, test.password, err)
		}
	}
}
