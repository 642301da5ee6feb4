package kubeletapi

import (
	"net/http"
	"net/http/httptest"
	"testing"
)

// TestHijackAfterTheEnd: a connection that is taken over when its stream has been
// ended is closed.
func TestHijackAfterTheEnd(t *testing.T) {
	refused := make(chan error, 1)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		watched := &watchedWriter{ResponseWriter: w, gone: func() {}}
		watched.close()
		_, _, err := watched.Hijack()
		refused <- err
	}))
	defer server.Close()
	response, err := http.Get(server.URL)
	if err == nil {
		response.Body.Close()
		t.Errorf("got an answer: %s", response.Status)
	}
	if err := <-refused; err == nil {
		t.Error("the connection was given away")
	}
}
