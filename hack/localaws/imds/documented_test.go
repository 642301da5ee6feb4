package imds

import (
	"context"
	"encoding/base64"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"time"
)

// Every lifetime that the user guide allows, to the second: "Use the Instance
// Metadata Service", 1 second to 6 hours.
func TestTokenLivesAsLongAsAsked(t *testing.T) {
	for _, seconds := range []int{1, 60, 21600} {
		c := &clock{now: time.Unix(1e9, 0)}
		s := New(fleet{specFor("i-1", "10.0.0.5")}, c.Now)
		tok := do(s, http.MethodPut, "/latest/api/token", "10.0.0.5", headerTTL, strconv.Itoa(seconds)).body
		read := func() int {
			return do(s, http.MethodGet, "/latest/meta-data/mac", "10.0.0.5", headerToken, tok).code
		}
		c.advance(time.Duration(seconds)*time.Second - time.Nanosecond)
		if got := read(); got != http.StatusOK {
			t.Errorf("%d seconds, just before the end: %d", seconds, got)
		}
		c.advance(time.Nanosecond)
		if got := read(); got != http.StatusUnauthorized {
			t.Errorf("%d seconds, at the end: %d", seconds, got)
		}
	}
}

// A token is worth nothing when any bit of it is another, nor to a server that
// did not make it, and a new one does not end the old.
func TestTokenCannotBeMade(t *testing.T) {
	s := New(fleet{specFor("i-1", "10.0.0.5")}, time.Now)
	tok := token(t, s, "10.0.0.5")
	raw, err := base64.URLEncoding.DecodeString(tok)
	if err != nil {
		t.Fatal(err)
	}
	for i := range len(raw) * 8 {
		forged := append([]byte(nil), raw...)
		forged[i/8] ^= 1 << (i % 8)
		if s.tokens.valid(base64.URLEncoding.EncodeToString(forged), "i-1") {
			t.Fatalf("valid with bit %d turned", i)
		}
	}
	for _, short := range []string{"", tok[:len(tok)-4], tok + "AAAA"} {
		if s.tokens.valid(short, "i-1") {
			t.Errorf("%q is valid", short)
		}
	}
	if New(fleet{specFor("i-1", "10.0.0.5")}, time.Now).tokens.valid(tok, "i-1") {
		t.Error("valid to another server")
	}
	token(t, s, "10.0.0.5")
	if !s.tokens.valid(tok, "i-1") {
		t.Error("a second token ended the first")
	}
}

func TestLifetimesRefused(t *testing.T) {
	s := New(fleet{specFor("i-1", "10.0.0.5")}, time.Now)
	for _, ttl := range []string{"", "-1", "0", "21601", "1.5", "60s", " 60", "0x10", strings.Repeat("9", 40)} {
		if got := do(s, http.MethodPut, "/latest/api/token", "10.0.0.5", headerTTL, ttl); got.code != http.StatusBadRequest {
			t.Errorf("%q: %+v", ttl, got)
		}
	}
}

// All versions show one tree, with and without a slash at the end.
func TestVersionsShowTheSame(t *testing.T) {
	s := New(fleet{specFor("i-1", "10.0.0.5")}, time.Now)
	tok := token(t, s, "10.0.0.5")
	get := func(path string) reply { return do(s, http.MethodGet, path, "10.0.0.5", headerToken, tok) }
	for _, version := range versions() {
		for _, path := range []string{"", "/meta-data", "/meta-data/instance-id", "/dynamic/instance-identity/document", "/user-data"} {
			want := get("/latest" + path)
			for _, end := range []string{"", "/"} {
				if got := get("/" + version + path + end); got != want || got.code != http.StatusOK {
					t.Errorf("%s%s%s: %+v, want %+v", version, path, end, got, want)
				}
			}
		}
	}
}

// TestSlow: an answer takes as long as it is told to, and nobody is held up who
// does not wait for it.
func TestSlow(t *testing.T) {
	spec := specFor("i-1", "10.0.0.5", "10.0.0.6")
	ctx, cancel := context.WithCancel(t.Context())
	spec.MetadataDelay = func() time.Duration {
		cancel()
		return time.Hour
	}
	r := httptest.NewRequestWithContext(ctx, http.MethodPut, "/latest/api/token", nil)
	r.RemoteAddr = "10.0.0.5:40000"
	w := httptest.NewRecorder()
	New(fleet{spec}, time.Now).ServeHTTP(w, r)
	if w.Body.Len() > 0 {
		t.Errorf("answered %s", w.Body)
	}
}
