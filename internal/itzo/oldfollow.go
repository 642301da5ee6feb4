package itzo

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"
)

// maxOldBacklog bounds what is read of the 4096 lines that an agent of the first
// Kip keeps, in bytes.
const maxOldBacklog = 64 << 20

// followOld is FollowLogs with an agent of the first Kip, which tells of no line
// that was written before it was asked: those are asked for separately, and what
// comes twice is left out (itzo-protocol.md §15.4).
func (c *Client) followOld(ctx context.Context, unit string, lines int) (io.ReadCloser, error) {
	s, err := c.openOld(ctx, "logs/"+unit+"?follow=1&metadata=1", oldRequest{UnitName: unit})
	if err != nil {
		if _, reason := c.oldBacklog(ctx, unit, 1); reason != nil {
			err = reason
		}
		return nil, err
	}
	var backlog []byte
	if lines >= 0 {
		if backlog, err = c.oldBacklog(ctx, unit, lines); err != nil {
			return nil, errors.Join(err, s.Close())
		}
	}
	reader, writer := io.Pipe()
	f := &oldFollow{PipeReader: reader, stream: s, stop: context.AfterFunc(ctx, func() { _ = s.Close() })}
	go func() { writer.CloseWithError(s.passLines(ctx, writer, backlog)) }()
	return f, nil
}

func (c *Client) oldBacklog(ctx context.Context, unit string, lines int) ([]byte, error) {
	log, err := c.Logs(ctx, unit, LogOptions{Lines: lines, Metadata: true})
	if err != nil {
		return nil, err
	}
	defer log.Close()
	backlog, err := io.ReadAll(io.LimitReader(log, maxOldBacklog+1))
	if err == nil && len(backlog) > maxOldBacklog {
		err = fmt.Errorf("%w: over %d bytes", ErrTooLarge, maxOldBacklog)
	}
	return backlog, err
}

// oldFollow is a log of an agent of the first Kip.
type oldFollow struct {
	*io.PipeReader
	stream *oldStream
	stop   func() bool
}

// Close implements io.Closer.
func (f *oldFollow) Close() error {
	f.stop()
	return errors.Join(f.PipeReader.Close(), f.stream.Close())
}

// passLines writes the backlog and then what the agent tells, until the unit ends.
func (s *oldStream) passLines(ctx context.Context, to io.Writer, backlog []byte) error {
	defer s.Close()
	if _, err := to.Write(backlog); err != nil {
		return err
	}
	var last time.Time
	for line := range bytes.Lines(backlog) {
		if at, ok := lineTime(line); ok {
			last = at
		}
	}
	for {
		channel, payload, err := s.receive()
		switch {
		case errors.Is(err, io.EOF) && ctx.Err() == nil:
			return nil
		case err != nil:
			return lost(ctx, err)
		case channel == channelErrors && s.saysNotRunning(payload):
			return nil
		case channel != channelOutput:
			continue
		}
		for line := range bytes.Lines(payload) {
			if at, ok := lineTime(line); ok && !at.After(last) {
				continue
			}
			if _, err := to.Write(line); err != nil {
				return err
			}
		}
	}
}

// lineTime is when a line with metadata was written.
func lineTime(line []byte) (time.Time, bool) {
	text, _, _ := strings.Cut(string(line[:min(len(line), 64)]), " ")
	at, err := time.Parse(time.RFC3339Nano, text)
	return at, err == nil
}
