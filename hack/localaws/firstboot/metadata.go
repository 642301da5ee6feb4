package firstboot

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"
)

// metadata is a client of version 2 of the instance metadata service.
type metadata struct {
	url    string
	client *http.Client
	// wait is how long to wait before the nth try, from 1.
	wait func(n int) time.Duration
}

// maxAnswer bounds an answer, in bytes; user data has at most 16 KiB.
const maxAnswer = 1 << 20

// metadataTries is how often the service is asked before giving up, about
// five minutes with backoff.
const metadataTries = 160

// backoff doubles from 20 ms to 2 s.
func backoff(n int) time.Duration { return min(20*time.Millisecond<<min(n, 7), 2*time.Second) }

func newMetadata(url string) *metadata {
	transport := &http.Transport{DisableKeepAlives: true} // no proxy either
	return &metadata{url: url, client: &http.Client{Transport: transport, Timeout: 10 * time.Second}, wait: backoff}
}

// errAnswer is an answer that asking again will not change.
type errAnswer struct{ code int }

func (e errAnswer) Error() string { return fmt.Sprintf("the metadata service answers %d", e.code) }

// userData is what the instance was launched with; nil without any. It waits
// for a service that is not there yet.
func (m *metadata) userData(ctx context.Context) ([]byte, error) {
	for n := 1; ; n++ {
		data, err := m.tryUserData(ctx)
		var answer errAnswer
		switch {
		case err == nil:
			return data, nil
		case errors.As(err, &answer) && answer.code == http.StatusNotFound:
			return nil, nil
		case errors.As(err, &answer) && answer.code < 500, n == metadataTries:
			return nil, err
		}
		select {
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		case <-time.After(m.wait(n)):
		}
	}
}

func (m *metadata) tryUserData(ctx context.Context) ([]byte, error) {
	token, err := m.ask(ctx, http.MethodPut, "/latest/api/token", "X-aws-ec2-metadata-token-ttl-seconds", "60")
	if err != nil {
		return nil, fmt.Errorf("asking for a token: %w", err)
	}
	data, err := m.ask(ctx, http.MethodGet, "/latest/user-data", "X-aws-ec2-metadata-token", string(token))
	if err != nil {
		return nil, fmt.Errorf("asking for user data: %w", err)
	}
	return data, nil
}

func (m *metadata) ask(ctx context.Context, method, path, header, value string) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, method, m.url+path, nil)
	if err != nil {
		return nil, err
	}
	req.Header.Set(header, value)
	resp, err := m.client.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, errAnswer{resp.StatusCode}
	}
	return io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
}
