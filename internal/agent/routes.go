package agent

import (
	"errors"
	"fmt"
	"net/http"
)

// Handler answers the protocol's requests; who may ask is decided by TLS.
func (a *Agent) Handler() http.Handler {
	mux := http.NewServeMux()
	routes := map[string]func(http.ResponseWriter, *http.Request) error{
		"GET /rest/v1/ping":                    a.ping,
		"GET /rest/v1/version":                 a.version,
		"GET /rest/v1/status":                  a.status,
		"GET /rest/v1/logs/{unit}":             a.logs,
		"GET /rest/v1/logs/{$}":                a.logs,
		"GET /rest/v1/file/{$}":                a.file,
		"GET /rest/v1/kip/info":                a.kipInfo,
		"GET /rest/v1/kip/status":              a.kipStatus,
		"GET /rest/v1/kip/stats":               a.kipStats,
		"POST /rest/v1/updatepod":              a.updatePod,
		"POST /rest/v1/deploy/{pod}/{package}": a.deploy,
		"POST /rest/v1/kip/stop":               a.kipStop,
		"POST /rest/v1/kip/credentials":        a.setCredentials,
		"POST /rest/v1/kip/exec":               a.kipExec,
		"POST /rest/v1/kip/attach":             a.kipAttach,
		"POST /rest/v1/kip/portforward":        a.kipPortForward,
		"GET /rest/v1/kip/logs/{container}":    a.kipFollow,
		"GET /rest/v1/kip/runs/{unit}/logs":    a.kipRunLogs,
	}
	for pattern, handle := range routes {
		mux.Handle(pattern, handler(handle))
	}
	return a.listening(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		// A wrong method is an unknown path in this protocol, never a 405.
		if _, pattern := mux.Handler(r); pattern == "" {
			http.NotFound(w, r)
			return
		}
		mux.ServeHTTP(w, r)
	}))
}

// requestError is an answer other than 200.
type requestError struct {
	code    int
	message string
}

func (e *requestError) Error() string { return e.message }

func refuse(code int, format string, args ...any) error {
	return &requestError{code: code, message: fmt.Sprintf(format, args...)}
}

func badRequest(format string, args ...any) error {
	return refuse(http.StatusBadRequest, format, args...)
}

// handler writes errors in the protocol's form, "400 Bad Request: <message>";
// those that say nothing else are the agent's own fault.
type handler func(http.ResponseWriter, *http.Request) error

func (h handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	err := h(w, r)
	if err == nil {
		return
	}
	code, text := http.StatusInternalServerError, "Server Error"
	var request *requestError
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &request):
		code, text = request.code, http.StatusText(request.code)
	case errors.As(err, &tooLarge):
		code = http.StatusRequestEntityTooLarge
		text = http.StatusText(code)
	}
	http.Error(w, fmt.Sprintf("%d %s: %s", code, text, err), code)
}
