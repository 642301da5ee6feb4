package agent

import (
	"context"
	"errors"
	"io"
	"net/http"

	corev1 "k8s.io/api/core/v1"
)

// handleHTTPHook fails only where there is no answer: what a hook's is, and its
// status code, nobody asks, as on a kubelet. A server that was asked in HTTPS
// and answers in HTTP is asked again in that, without what was to be secret.
func (a *Agent) handleHTTPHook(ctx context.Context, j job, h handling) error {
	request, err := j.newRequest(ctx, h)
	if err != nil {
		return err
	}
	err = a.sendHook(request)
	if !errors.Is(err, http.ErrSchemeMismatch) {
		return err
	}
	plain := request.Clone(ctx)
	plain.URL.Scheme = "http"
	plain.Header.Del("Authorization")
	if a.sendHook(plain) != nil {
		return err
	}
	a.tell("", corev1.EventTypeWarning, eventHTTPFallback,
		"request to HTTPS lifecycle hook %s got HTTP response, retry with HTTP succeeded", request.URL.Host)
	a.poke()
	return nil
}

// sendHook waits for the end of a short answer: a server may hold it back until
// what the hook is for is done.
func (a *Agent) sendHook(request *http.Request) error {
	response, err := a.httpClient().Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if response.ContentLength <= maxHandlerOutput {
		// That it is cut short is no failure either.
		_, _ = io.Copy(io.Discard, io.LimitReader(response.Body, maxHandlerOutput))
	}
	return nil
}
