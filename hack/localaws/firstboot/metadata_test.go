package firstboot

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"
)

// fakeService answers as the metadata service does; fail decides on an error code
// for the nth request, from 1.
func fakeService(t *testing.T, userData string, fail func(n int32) int) *metadata {
	t.Helper()
	var n atomic.Int32
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		code := fail(n.Add(1))
		switch {
		case code != 0:
			w.WriteHeader(code)
		case r.Method == http.MethodPut && r.URL.Path == "/latest/api/token" && r.Header.Get("X-aws-ec2-metadata-token-ttl-seconds") != "":
			_, _ = w.Write([]byte("token"))
		case r.Method == http.MethodGet && r.URL.Path == "/latest/user-data" && r.Header.Get("X-aws-ec2-metadata-token") == "token":
			_, _ = w.Write([]byte(userData))
		default:
			w.WriteHeader(http.StatusUnauthorized)
		}
	}))
	t.Cleanup(srv.Close)
	m := newMetadata(srv.URL)
	m.wait = func(int) time.Duration { return 0 }
	return m
}

func TestUserData(t *testing.T) {
	tests := []struct {
		name string
		fail func(n int32) int
		want string
		code int // of the error
	}{
		{"at once", func(int32) int { return 0 }, "data", 0},
		{"after the service came up", func(n int32) int {
			if n < 4 {
				return http.StatusServiceUnavailable
			}
			return 0
		}, "data", 0},
		{"none", func(n int32) int {
			if n == 2 {
				return http.StatusNotFound
			}
			return 0
		}, "", 0},
		{"disabled", func(int32) int { return http.StatusForbidden }, "", http.StatusForbidden},
		{"never up", func(int32) int { return http.StatusInternalServerError }, "", http.StatusInternalServerError},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := fakeService(t, "data", tt.fail).userData(t.Context())
			var answer errAnswer
			if string(got) != tt.want || (err != nil) != (tt.code != 0) || err != nil && (!errors.As(err, &answer) || answer.code != tt.code) {
				t.Errorf("%q, %v", got, err)
			}
		})
	}
}

func TestUserDataGivesUpWithTheContext(t *testing.T) {
	ctx, cancel := context.WithCancelCause(t.Context())
	m := newMetadata("http://127.0.0.1:1")
	m.wait = func(int) time.Duration { cancel(errPowerOff); return time.Hour }
	if _, err := m.userData(ctx); !errors.Is(err, errPowerOff) {
		t.Error(err)
	}
}
