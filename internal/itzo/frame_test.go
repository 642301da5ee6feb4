package itzo

import (
	"bytes"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// What was written is read again.
func TestFrames(t *testing.T) {
	frames := []Frame{
		{FramePing, nil}, {FrameBegin, nil}, {FrameInput, []byte("input")}, {FrameOutput, bytes.Repeat([]byte{7}, MaxFrame)},
		{FrameErrors, nil}, {FrameResize, TerminalSize{Width: 132, Height: 50}.payload()}, {FrameClose, []byte{byte(FrameInput)}}, {FrameResult, []byte("{}")},
	}
	var wire []byte
	for _, frame := range frames {
		wire = AppendFrame(wire, frame.Kind, frame.Payload)
	}
	reader, buffer := bytes.NewReader(wire), make([]byte, MaxFrame)
	for _, want := range frames {
		got, err := ReadFrame(reader, buffer)
		if err != nil || got.Kind != want.Kind || !bytes.Equal(got.Payload, want.Payload) {
			t.Errorf("got kind %d with %d bytes, %v; want kind %d with %d", got.Kind, len(got.Payload), err, want.Kind, len(want.Payload))
		}
		if got.Kind == FrameResize && got.Size() != (TerminalSize{Width: 132, Height: 50}) {
			t.Errorf("size %+v", got.Size())
		}
	}
	if _, err := ReadFrame(reader, buffer); !errors.Is(err, io.EOF) {
		t.Errorf("at the end: %v", err)
	}
}

func TestNoFrames(t *testing.T) {
	for name, test := range map[string]struct {
		wire string
		want error
	}{
		"unknown kind":      {"\x08\x00\x00\x00", ErrFrame},
		"too long":          {"\x02\x00\x80\x01", ErrFrame},
		"ping with payload": {"\x00\x00\x00\x01x", ErrFrame},
		"no size":           {"\x05\x00\x00\x03abc", ErrFrame},
		"no kind to close":  {"\x06\x00\x00\x00", ErrFrame},
		"half a header":     {"\x02\x00", io.ErrUnexpectedEOF},
		"no payload":        {"\x02\x00\x00\x04", io.ErrUnexpectedEOF},
		"half a payload":    {"\x02\x00\x00\x04ab", io.ErrUnexpectedEOF},
	} {
		if _, err := ReadFrame(strings.NewReader(test.wire), make([]byte, MaxFrame)); !errors.Is(err, test.want) {
			t.Errorf("%s: %v, want %v", name, err, test.want)
		}
	}
}

// Whatever comes in is taken apart without harm, and what is taken for a frame is
// one.
func FuzzReadFrame(f *testing.F) {
	f.Add([]byte{})
	f.Add(AppendFrame(nil, FrameResize, []byte{0, 80, 0, 24}))
	f.Add(AppendFrame(AppendFrame(nil, FrameInput, []byte("abc")), FrameResult, []byte(`{"exitCode":3,"error":"x"}`)))
	f.Fuzz(func(t *testing.T, wire []byte) {
		reader, buffer := bytes.NewReader(wire), make([]byte, MaxFrame)
		var again []byte
		for {
			frame, err := ReadFrame(reader, buffer)
			if err != nil {
				break
			}
			again = AppendFrame(again, frame.Kind, frame.Payload)
			switch frame.Kind {
			case FrameResize:
				frame.Size()
			case FrameResult:
				// What an agent says may be anything.
				_, _ = decodeResult(frame)
			}
		}
		if !bytes.HasPrefix(wire, again) {
			t.Errorf("%x was read from %x", again, wire)
		}
	})
}

// An end that says nothing at all is lost after a while, one that is there never.
func TestSilentPeer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		near, far := net.Pipe()
		defer far.Close()
		go func() { _, _ = io.Copy(io.Discard, far) }()
		silent := NewStreamConn(near, nil, StreamIdle)
		defer silent.Close()
		if _, err := silent.Receive(); !isTimeout(err) {
			t.Errorf("got %v, want a timeout", err)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		left, right := net.Pipe()
		one, other := NewStreamConn(left, nil, StreamIdle), NewStreamConn(right, nil, StreamIdle)
		received := make(chan error, 2)
		for _, conn := range []*StreamConn{one, other} {
			go func() {
				_, err := conn.Receive()
				received <- err
			}()
		}
		time.Sleep(time.Hour)
		if len(received) > 0 {
			t.Errorf("an end that pings was taken for lost: %v", <-received)
		}
		one.Close()
		other.Close()
		for range 2 {
			if err := <-received; err == nil || isTimeout(err) {
				t.Errorf("got %v when the other end closed", err)
			}
		}
	})
}

func isTimeout(err error) bool {
	var timeout net.Error
	return errors.As(err, &timeout) && timeout.Timeout()
}

// A result that an agent makes up does no harm.
func TestDecodeResult(t *testing.T) {
	if result, err := decodeResult(Frame{FrameResult, []byte(`{"exitCode":3}`)}); err != nil || result.ExitCode != 3 {
		t.Errorf("got %+v, %v", result, err)
	}
	if _, err := decodeResult(Frame{FrameResult, []byte(`{"error":"line\u001b[31m\ntwo"}`)}); err == nil || err.Error() != "line[31m two" {
		t.Errorf("got %v", err)
	}
	if _, err := decodeResult(Frame{FrameResult, []byte(`[`)}); err == nil {
		t.Error("no JSON was taken")
	}
}
