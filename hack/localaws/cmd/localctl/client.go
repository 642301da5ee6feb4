package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"kip.elotl.co/hack/localaws/admin"
)

// callTimeout bounds each call.
const callTimeout = 30 * time.Second

// endpointVariable is where AWS's tools take an endpoint from.
const endpointVariable = "AWS_ENDPOINT_URL"

// client calls the emulator's own API.
type client struct {
	endpoint string
}

// find fills in the endpoint where none is given.
func (c *client) find() error {
	if c.endpoint == "" {
		c.endpoint = os.Getenv(endpointVariable)
	}
	if c.endpoint != "" {
		return nil
	}
	dir, err := os.Getwd()
	if err != nil {
		return err
	}
	c.endpoint, err = endpointAbove(dir)
	return err
}

// endpointAbove reads .dev/aws.env of a directory, or of the nearest above it
// that has one.
func endpointAbove(dir string) (string, error) {
	for ; ; dir = filepath.Dir(dir) {
		path := filepath.Join(dir, ".dev", "aws.env")
		content, err := os.ReadFile(path)
		switch {
		case err == nil:
			for line := range strings.Lines(string(content)) {
				if value, ok := strings.CutPrefix(strings.TrimPrefix(strings.TrimSpace(line), "export "), endpointVariable+"="); ok {
					return value, nil
				}
			}
			return "", fmt.Errorf("%s does not have %s", path, endpointVariable)
		case !errors.Is(err, fs.ErrNotExist):
			return "", err
		case dir == filepath.Dir(dir):
			return "", fmt.Errorf("no emulator: there is no .dev/aws.env here or above, as \"make up\" writes it; set %s, or give --endpoint", endpointVariable)
		}
	}
}

// call does a call with a JSON body, unless it is nil, and decodes the answer
// into out, unless that is nil.
func (c *client) call(ctx context.Context, method, path string, query url.Values, in, out any) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	var body io.Reader = http.NoBody
	if in != nil {
		encoded, err := json.Marshal(in)
		if err != nil {
			return fmt.Errorf("encoding the call: %w", err)
		}
		body = bytes.NewReader(encoded)
	}
	address := strings.TrimSuffix(c.endpoint, "/") + admin.Prefix + path
	if len(query) > 0 {
		address += "?" + query.Encode()
	}
	request, err := http.NewRequestWithContext(ctx, method, address, body)
	if err != nil {
		return err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return fmt.Errorf("calling the emulator: %w", err)
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(response.Body)
	if err != nil {
		return fmt.Errorf("reading the emulator's answer: %w", err)
	}
	if response.StatusCode != http.StatusOK {
		return errors.New(strings.TrimSpace(string(answer)))
	}
	if out == nil {
		return nil
	}
	if err := json.Unmarshal(answer, out); err != nil {
		return fmt.Errorf("%s is not an emulator of ours: %w", c.endpoint, err)
	}
	return nil
}
