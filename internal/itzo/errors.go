package itzo

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"syscall"
)

// StatusError is an answer other than 200.
type StatusError struct {
	// Code is the HTTP status code.
	Code int
	// Message is the answer's text without the "400 Bad Request:" that agents
	// put before it, cut to 4 KiB.
	Message string
}

func (e *StatusError) Error() string {
	return fmt.Sprintf("agent answered %d %s: %s", e.Code, http.StatusText(e.Code), e.Message)
}

// ErrTooLarge is wrapped by errors about an answer that is longer than the
// client accepts.
var ErrTooLarge = errors.New("answer is too large")

// IsCode says whether err is an answer with that HTTP status code.
func IsCode(err error, code int) bool {
	var status *StatusError
	return errors.As(err, &status) && status.Code == code
}

// IsNotReady says whether err is what a cell answers that is not up yet, or
// not any more: nothing listens, nothing answers in time, the connection
// breaks.
func IsNotReady(err error) bool {
	if err == nil || errors.Is(err, context.Canceled) || IsWrongIdentity(err) {
		return false
	}
	for _, target := range []error{
		context.DeadlineExceeded, io.EOF, io.ErrUnexpectedEOF, syscall.ECONNREFUSED,
		syscall.ECONNRESET, syscall.EPIPE, syscall.EHOSTUNREACH, syscall.ENETUNREACH, syscall.ETIMEDOUT,
	} {
		if errors.Is(err, target) {
			return true
		}
	}
	var netErr net.Error
	return errors.As(err, &netErr) && netErr.Timeout()
}

// IsWrongIdentity says whether whoever answered could not prove to be the
// cell: its certificate is for another name or from another authority.
func IsWrongIdentity(err error) bool {
	var hostname x509.HostnameError
	var authority x509.UnknownAuthorityError
	return errors.As(err, &hostname) || errors.As(err, &authority)
}

// IsRefused says whether the agent refused our certificate.
func IsRefused(err error) bool {
	var alert tls.AlertError
	if errors.As(err, &alert) {
		return true
	}
	// crypto/tls gives alerts of the peer as this kind of error.
	var op *net.OpError
	return errors.As(err, &op) && op.Op == "remote error"
}
