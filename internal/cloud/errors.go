package cloud

import (
	"errors"
	"fmt"
	"strings"
)

// Kind says what an error means for whoever asked.
type Kind int

const (
	// KindTransient: try again later; also everything that is not known better.
	KindTransient Kind = iota
	// KindThrottled: the account asks too often; try again later and slower.
	KindThrottled
	// KindCapacity: the offering (type × zone × market) is dry or not offered; another may do.
	KindCapacity
	// KindQuota: the account's quota for a pool of types is used up, such as
	// the vCPUs of a group of families in a market; another pool may do.
	KindQuota
	// KindLimit: the account has no more of something that every cell needs,
	// such as network interfaces; nothing else will do.
	KindLimit
	// KindSubnetFull: the subnet has no free address; another may do.
	KindSubnetFull
	// KindVolume: the zone has no volume of the type asked for; another zone, or
	// another volume type, may do.
	KindVolume
	// KindConfiguration: the instance type does not take what is asked of it,
	// such as a tenancy, a volume or an image; another type may.
	KindConfiguration
	// KindPrice: the offering costs more than the request allows; another may do.
	KindPrice
	// KindUnauthorized: Error.Action is not allowed.
	KindUnauthorized
	// KindInvalid: the request can never succeed as it is.
	KindInvalid
	// KindNotFound: what was named does not exist.
	KindNotFound
	// KindTokenReused: the ClientToken was used with another request.
	KindTokenReused
	// KindConflict: what is to be made is there already, and is another's.
	KindConflict
	// KindNoRole: the instance profile has no role. It is KindInvalid but for
	// what mends it.
	KindNoRole
)

// Error is an answer of the cloud that is not success. Its text is the same
// each time the same thing goes wrong, so that it can stand in conditions:
// request IDs, times and ports are left to the log.
type Error struct {
	Kind Kind
	// Code is the cloud's own, such as InsufficientInstanceCapacity.
	Code string
	// Message is the cloud's own, without what differs from call to call.
	Message string
	// Action is the API action, such as ec2:RunInstances.
	Action string
	// Subject is the ID that KindNotFound, KindInvalid and KindNoRole are about,
	// where known.
	Subject string
	// Err is the underlying error, where there is one.
	Err error
}

// Error gives the action, the code and the message.
func (e *Error) Error() string {
	var parts []string
	for _, p := range []string{e.Action, e.Code, e.Message} {
		if p != "" {
			parts = append(parts, p)
		}
	}
	if len(parts) == 0 && e.Err != nil {
		return e.Err.Error()
	}
	return strings.Join(parts, ": ")
}

// Unwrap gives the underlying error.
func (e *Error) Unwrap() error { return e.Err }

// NotFound makes the error for something that does not exist.
func NotFound(action, subject string) *Error {
	return &Error{Kind: KindNotFound, Action: action, Subject: subject, Message: fmt.Sprintf("%q does not exist", subject)}
}

// KindOf is the kind of an error: KindTransient for one that is not an *Error.
func KindOf(err error) Kind {
	var e *Error
	if errors.As(err, &e) {
		return e.Kind
	}
	return KindTransient
}

// MissingAction is the IAM action that an error says is not allowed; empty for
// other errors, such as that the credentials are wrong.
func MissingAction(err error) string {
	var e *Error
	if !errors.As(err, &e) || e.Kind != KindUnauthorized {
		return ""
	}
	switch e.Code {
	case "UnauthorizedOperation", "AccessDenied", "AccessDeniedException":
		return e.Action
	}
	return ""
}

// IsNotFound says whether what was named does not exist.
func IsNotFound(err error) bool { return err != nil && KindOf(err) == KindNotFound }

// IgnoreNotFound is nil for an error that says that something does not exist.
func IgnoreNotFound(err error) error {
	if IsNotFound(err) {
		return nil
	}
	return err
}
