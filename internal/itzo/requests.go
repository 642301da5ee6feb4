package itzo

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime/multipart"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// LogOptions selects from the lines of a unit.
type LogOptions struct {
	// Lines keeps the last n lines; 0 means all.
	Lines int
	// Bytes keeps the last n bytes after formatting; 0 means all.
	Bytes int
	// Metadata puts "<RFC 3339 time> <stdout|stderr> F " before each line.
	Metadata bool
	// Run is the containerID of the run that is wanted, as the status shows it,
	// which is given with metadata; empty: the last one. What agents that know
	// none but the last answer then is ErrNoFormerRuns.
	Run string
}

// ErrNoFormerRuns says that an agent knows the logs of last runs only.
var ErrNoFormerRuns = errors.New("the cell's agent gives the log of a container's last run only")

// FileOptions selects from the end of a file; with neither the agent answers
// the last 4096 bytes. Bytes is at most MaxFileBody.
type FileOptions struct {
	Lines int
	Bytes int
}

// Ping asks whether the agent serves at all.
func (c *Client) Ping(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, c.config.PingTimeout)
	defer cancel()
	body, err := c.get(ctx, "ping", nil, maxTextBody)
	if err != nil {
		return fmt.Errorf("pinging agent: %w", err)
	}
	if !strings.EqualFold(strings.TrimSpace(string(body)), "pong") {
		return errors.New("pinging agent: the answer is not pong")
	}
	return nil
}

// Version gives the protocol version, "1.0".
func (c *Client) Version(ctx context.Context) (string, error) {
	ctx, cancel := c.timeout(ctx)
	defer cancel()
	body, err := c.get(ctx, "version", nil, maxTextBody)
	if err != nil {
		return "", fmt.Errorf("asking agent for its version: %w", err)
	}
	return strings.TrimSpace(string(body)), nil
}

// Info asks what the agent is and can do. An agent without Kip's extensions
// answers a StatusError with code 404.
func (c *Client) Info(ctx context.Context) (Info, error) {
	var info Info
	ctx, cancel := c.timeout(ctx)
	defer cancel()
	err := c.getJSON(ctx, "kip/info", nil, maxInfoBody, &info)
	if err != nil {
		return Info{}, fmt.Errorf("asking agent for its features: %w", err)
	}
	return info, nil
}

// Status asks for the state of the units in Itzo's own words.
func (c *Client) Status(ctx context.Context) (PodStatusReply, error) {
	var reply PodStatusReply
	ctx, cancel := c.timeout(ctx)
	defer cancel()
	err := c.getJSON(ctx, "status", nil, maxStatusBody, &reply)
	if err != nil {
		return PodStatusReply{}, fmt.Errorf("asking agent for status: %w", err)
	}
	return reply, nil
}

// WaitStatus answers the pod's status as soon as it differs from the one with
// the given epoch and revision, at the latest after wait (rounded up to
// seconds, at most MaxWait). Empty epoch: at once.
func (c *Client) WaitStatus(ctx context.Context, epoch string, after int64, wait time.Duration) (StatusReply, error) {
	return c.Poll(ctx, StatusQuery{Epoch: epoch, After: after, Wait: wait})
}

// Poll is WaitStatus that can ask for events too.
func (c *Client) Poll(ctx context.Context, q StatusQuery) (StatusReply, error) {
	wait := min(max(q.Wait, 0), MaxWait)
	seconds := int64((wait + time.Second - 1) / time.Second)
	query := url.Values{
		"epoch": {q.Epoch},
		"after": {strconv.FormatInt(q.After, 10)},
		"wait":  {strconv.FormatInt(seconds, 10)},
	}
	if q.Events != nil {
		query.Set("events", strconv.FormatInt(*q.Events, 10))
	}
	ctx, cancel := context.WithTimeout(ctx, wait+time.Second+min(answerTime, c.config.RequestTimeout))
	defer cancel()
	var reply StatusReply
	if err := c.getJSON(ctx, "kip/status", query, maxStatusBody, &reply); err != nil {
		return StatusReply{}, fmt.Errorf("waiting for agent's status: %w", err)
	}
	return reply, nil
}

// Stats asks what the cell and its pod use.
func (c *Client) Stats(ctx context.Context) (StatsReply, error) {
	ctx, cancel := c.timeout(ctx)
	defer cancel()
	var reply StatsReply
	if err := c.getJSON(ctx, "kip/stats", nil, maxStatsBody, &reply); err != nil {
		return StatsReply{}, fmt.Errorf("asking agent for its stats: %w", err)
	}
	return reply, nil
}

// UpdatePod sets the desired pod. Old agents answer before they have looked at
// it; ours refuses by a StatusError what it cannot run: 400 with the field, 409
// when the cell runs another pod.
func (c *Client) UpdatePod(ctx context.Context, pod *PodParameters) error {
	if err := c.postJSON(ctx, "updatepod", pod); err != nil {
		return fmt.Errorf("sending pod to agent: %w", err)
	}
	return nil
}

// Stop ends the pod: SIGTERM, and SIGKILL when the grace period is over. It
// returns at once; the end is seen by WaitStatus. Asked again it can only
// shorten the grace period. A StatusError with code 409: the cell does not run
// that pod.
func (c *Client) Stop(ctx context.Context, request StopRequest) error {
	if err := c.postJSON(ctx, "kip/stop", request); err != nil {
		return fmt.Errorf("asking agent to stop pod: %w", err)
	}
	return nil
}

// Deploy uploads a package, as WritePackage makes it, for a pod named as by
// FormatPodName. When it returns nil the files are in place.
func (c *Client) Deploy(ctx context.Context, pod, pkg string, archive io.Reader) error {
	if err := c.deploy(ctx, pod, pkg, archive); err != nil {
		return fmt.Errorf("deploying package %s: %w", pkg, err)
	}
	return nil
}

func (c *Client) deploy(ctx context.Context, pod, pkg string, archive io.Reader) error {
	if err := CheckPodName(pod); err != nil {
		return err
	}
	if err := CheckName(pkg); err != nil {
		return err
	}
	reader, writer := io.Pipe()
	defer reader.Close()
	form := multipart.NewWriter(writer)
	go func() {
		part, err := form.CreateFormFile("package", "package.tar.gz")
		if err == nil {
			_, err = io.Copy(part, archive)
		}
		if err == nil {
			err = form.Close()
		}
		writer.CloseWithError(err)
	}()
	return c.post(ctx, "deploy/"+pod+"/"+pkg, form.FormDataContentType(), reader)
}

// Logs streams the lines that a unit wrote. The caller bounds and closes what
// it reads.
func (c *Client) Logs(ctx context.Context, unit string, options LogOptions) (io.ReadCloser, error) {
	if err := CheckName(unit); err != nil {
		return nil, fmt.Errorf("reading logs: %w", err)
	}
	query := url.Values{}
	setPositive(query, "lines", options.Lines)
	setPositive(query, "bytes", options.Bytes)
	if options.Metadata {
		query.Set("metadata", "1")
	}
	path := "logs/" + unit
	if options.Run != "" {
		path = "kip/runs/" + unit + "/logs"
		query.Set("containerID", options.Run)
	}
	ctx, cancel := c.timeout(ctx)
	body, err := c.open(ctx, path, query)
	if options.Run != "" && IsCode(err, http.StatusNotFound) {
		err = ErrNoFormerRuns
	}
	if err != nil {
		cancel()
		return nil, fmt.Errorf("reading logs of unit %s: %w", unit, err)
	}
	return &cancelOnClose{ReadCloser: body, cancel: cancel}, nil
}

// File reads the end of a file of the cell; path is absolute.
func (c *Client) File(ctx context.Context, path string, options FileOptions) ([]byte, error) {
	query := url.Values{"path": {path}}
	setPositive(query, "lines", options.Lines)
	setPositive(query, "bytes", options.Bytes)
	ctx, cancel := c.timeout(ctx)
	defer cancel()
	// The slash is part of the path: without it agents redirect.
	body, err := c.get(ctx, "file/", query, MaxFileBody)
	if err != nil {
		return nil, fmt.Errorf("reading file %s of cell: %w", path, err)
	}
	return body, nil
}

func setPositive(query url.Values, key string, value int) {
	if value > 0 {
		query.Set(key, strconv.Itoa(value))
	}
}

func (c *Client) postJSON(ctx context.Context, path string, body any) error {
	data, err := json.Marshal(body)
	if err != nil {
		return err
	}
	return c.post(ctx, path, "application/json", bytes.NewReader(data))
}

func (c *Client) post(ctx context.Context, path, contentType string, body io.Reader) error {
	ctx, cancel := c.timeout(ctx)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.url(path, nil), body)
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", contentType)
	answer, err := c.do(req)
	if err != nil {
		return err
	}
	defer answer.Close()
	_, err = io.Copy(io.Discard, io.LimitReader(answer, maxTextBody))
	return err
}
