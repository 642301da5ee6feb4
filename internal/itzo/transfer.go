package itzo

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
)

const pathPrefix = "/rest/v1/"

func (c *Client) timeout(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(ctx, c.config.RequestTimeout)
}

func (c *Client) url(path string, query url.Values) string {
	u := url.URL{Scheme: "https", Host: c.config.Address, Path: pathPrefix + path, RawQuery: query.Encode()}
	return u.String()
}

func (c *Client) getJSON(ctx context.Context, path string, query url.Values, limit int64, into any) error {
	body, err := c.get(ctx, path, query, limit)
	if err != nil {
		return err
	}
	// Agents send JSON as text/plain: the content type says nothing.
	return decode(body, into)
}

func (c *Client) get(ctx context.Context, path string, query url.Values, limit int64) ([]byte, error) {
	answer, err := c.open(ctx, path, query)
	if err != nil {
		return nil, err
	}
	defer answer.Close()
	body, err := io.ReadAll(io.LimitReader(answer, limit+1))
	if err != nil {
		return nil, fmt.Errorf("reading answer: %w", err)
	}
	if int64(len(body)) > limit {
		return nil, fmt.Errorf("%w: over %d bytes", ErrTooLarge, limit)
	}
	return body, nil
}

func (c *Client) open(ctx context.Context, path string, query url.Values) (io.ReadCloser, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, c.url(path, query), nil)
	if err != nil {
		return nil, err
	}
	return c.do(req)
}

// do answers the body of a 200; any other answer is a StatusError.
func (c *Client) do(req *http.Request) (io.ReadCloser, error) {
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode == http.StatusOK {
		return resp.Body, nil
	}
	defer resp.Body.Close()
	return nil, statusError(resp)
}

// statusError reads the answer that is not the one that was hoped for.
func statusError(resp *http.Response) error {
	text, err := io.ReadAll(io.LimitReader(resp.Body, maxTextBody))
	if err != nil {
		return fmt.Errorf("reading error answer %d: %w", resp.StatusCode, err)
	}
	return &StatusError{Code: resp.StatusCode, Message: errorMessage(resp.StatusCode, string(text))}
}

// errorMessage takes the agents' "<code> <text>: " off an error.
func errorMessage(code int, text string) string {
	text = strings.TrimSpace(printable(text))
	if _, message, found := strings.Cut(text, ": "); found && strings.HasPrefix(text, fmt.Sprint(code)) {
		return message
	}
	return text
}

type cancelOnClose struct {
	io.ReadCloser
	cancel context.CancelFunc
}

func (c *cancelOnClose) Close() error {
	defer c.cancel()
	return c.ReadCloser.Close()
}
