package itzo

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// FrameKind says what a frame of a stream carries.
type FrameKind byte

// The kinds of frames. The client sends FrameBegin, FrameInput, FrameResize and
// FrameClose, the agent FrameOutput, FrameErrors, FrameClose and FrameResult;
// both send FramePing.
const (
	// FramePing, empty, says that the sender is still there.
	FramePing FrameKind = iota
	// FrameBegin, empty, is the client's first: nothing is begun before it.
	FrameBegin
	// FrameInput carries what goes to the container.
	FrameInput
	// FrameOutput carries standard output, or what comes from the pod's port.
	FrameOutput
	// FrameErrors carries standard error.
	FrameErrors
	// FrameResize carries the terminal's width and height in characters, as two
	// uint16, big-endian.
	FrameResize
	// FrameClose carries the one byte of the kind of which no more will come.
	FrameClose
	// FrameResult, the last one, carries a StreamResult in JSON.
	FrameResult
)

// MaxFrame is the longest payload of a frame, in bytes.
const MaxFrame = 32 << 10

// frameHeader is the kind and three bytes of the payload's length, big-endian.
const frameHeader = 4

// Frame is one message of a stream.
type Frame struct {
	Kind    FrameKind
	Payload []byte
}

// TerminalSize is a terminal's width and height, in characters.
type TerminalSize struct{ Width, Height uint16 }

// ErrFrame is wrapped by errors about what is no frame.
var ErrFrame = errors.New("malformed frame")

// AppendFrame appends a frame whose payload has at most MaxFrame bytes.
func AppendFrame(to []byte, kind FrameKind, payload []byte) []byte {
	return append(binary.BigEndian.AppendUint32(to, uint32(kind)<<24|uint32(len(payload))), payload...)
}

// ReadFrame reads one frame; its payload is in buffer, which has MaxFrame bytes.
// The error is io.EOF where the stream ends between two frames.
func ReadFrame(r io.Reader, buffer []byte) (Frame, error) {
	var header [frameHeader]byte
	if _, err := io.ReadFull(r, header[:]); err != nil {
		return Frame{}, err
	}
	kind, length := FrameKind(header[0]), int(binary.BigEndian.Uint32(header[:])&(1<<24-1))
	if err := checkFrame(kind, length); err != nil {
		return Frame{}, err
	}
	payload := buffer[:length]
	if _, err := io.ReadFull(r, payload); err != nil {
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		return Frame{}, err
	}
	return Frame{Kind: kind, Payload: payload}, nil
}

func checkFrame(kind FrameKind, length int) error {
	fits := length <= MaxFrame
	switch kind {
	case FramePing, FrameBegin:
		fits = length == 0
	case FrameClose:
		fits = length == 1
	case FrameResize:
		fits = length == 4
	case FrameInput, FrameOutput, FrameErrors, FrameResult:
	default:
		return fmt.Errorf("%w: there is no kind %d", ErrFrame, kind)
	}
	if !fits {
		return fmt.Errorf("%w: kind %d with %d bytes", ErrFrame, kind, length)
	}
	return nil
}

// Size is the payload of a FrameResize, taken apart.
func (f Frame) Size() TerminalSize {
	return TerminalSize{Width: binary.BigEndian.Uint16(f.Payload), Height: binary.BigEndian.Uint16(f.Payload[2:])}
}

func (s TerminalSize) payload() []byte {
	return binary.BigEndian.AppendUint16(binary.BigEndian.AppendUint16(nil, s.Width), s.Height)
}
