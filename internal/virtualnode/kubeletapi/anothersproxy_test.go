package kubeletapi

import (
	"net/http"
	"net/http/httptest"
	"testing"
)

// TestAnothersProxy: by the API server's proxy of one node nobody reads the logs
// of another node's pods.
func TestAnothersProxy(t *testing.T) {
	s := newTestServer(stubPods{pod: webPod(running, never)}, stubKept{"main": sample}, everything)
	for by, want := range map[string]int{"kip-a": http.StatusOK, "kip-b": http.StatusNotFound} {
		r := httptest.NewRequest(http.MethodGet, "/containerLogs/default/web/main", http.NoBody)
		r.Header.Set("User", "ann")
		r.Header.Set(forwardedURI, proxyPrefix+by+"/proxy/containerLogs/default/web/main")
		recorder := httptest.NewRecorder()
		s.handler().ServeHTTP(recorder, r)
		if recorder.Code != want {
			t.Errorf("by the proxy of %s: got %d %q, want %d", by, recorder.Code, recorder.Body, want)
		}
	}
}

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
