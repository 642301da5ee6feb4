// Package awserr holds the errors an AWS API answers with: a documented code,
// a message for people, and the HTTP status the code travels under.
package awserr

import (
	"fmt"
	"net/http"
)

// Error is an API error. Code is one of the codes of the EC2 API reference.
type Error struct {
	Code    string
	Message string
}

// New makes an Error; the message is formatted as by fmt.Sprintf.
func New(code, format string, args ...any) *Error {
	return &Error{Code: code, Message: fmt.Sprintf(format, args...)}
}

func (e *Error) Error() string { return e.Code + ": " + e.Message }

// Status is the HTTP status EC2 sends with the code. Capacity errors are
// server errors there (so SDKs retry them), quota errors are client errors.
func (e *Error) Status() int {
	switch e.Code {
	case "AuthFailure":
		return http.StatusUnauthorized
	case "UnauthorizedOperation", "MissingAuthenticationToken", "InvalidClientTokenId", "OptInRequired", "SignatureDoesNotMatch", "Blocked",
		"AccessDenied", "ExpiredToken":
		return http.StatusForbidden
	case "NoSuchEntity":
		return http.StatusNotFound
	case "EntityAlreadyExists", "DeleteConflict", "LimitExceeded":
		return http.StatusConflict
	case "DryRunOperation":
		return http.StatusPreconditionFailed
	case "RequestLimitExceeded", "ServiceUnavailable", "Unavailable":
		return http.StatusServiceUnavailable
	case "InternalError", "InternalFailure", "InsufficientInstanceCapacity", "InsufficientCapacity",
		"InsufficientAddressCapacity", "InsufficientHostCapacity", "InsufficientReservedInstanceCapacity":
		return http.StatusInternalServerError
	}
	return http.StatusBadRequest
}
