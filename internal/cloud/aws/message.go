package aws

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"regexp"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/smithy-go"
	"github.com/aws/smithy-go/middleware"

	awsmiddleware "github.com/aws/aws-sdk-go-v2/aws/middleware"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/go-logr/logr"
)

// What a call leads to is shown in conditions, which are written when their
// text changes. So the text of an error is the same each time the same thing
// goes wrong; what differs from call to call, the request's ID above all, is in
// the log.

// causeOf is the text for an error that is not an answer of EC2's.
func causeOf(err error) string {
	if errors.Is(err, context.DeadlineExceeded) {
		return "no answer came in time"
	}
	err = inner(err)
	if strings.HasPrefix(err.Error(), identityFailed) {
		return stable(err.Error())
	}
	var response *awshttp.ResponseError
	if errors.As(err, &response) && response.HTTPStatusCode() != 0 {
		return fmt.Sprintf("the endpoint answered with HTTP status %d and nothing that EC2 would say", response.HTTPStatusCode())
	}
	var sent *url.Error
	if errors.As(err, &sent) {
		return sent.URL + ": " + networkCause(sent.Err)
	}
	return stable(err.Error())
}

// identityFailed begins the SDK's errors about credentials, which hold errors
// of other endpoints: the instance's metadata, STS.
const identityFailed = "get identity"

// inner takes off what the SDK adds to every error: operation and attempts.
func inner(err error) error {
	var operation *smithy.OperationError
	if errors.As(err, &operation) {
		err = operation.Err
	}
	var exceeded *retry.MaxAttemptsError
	if errors.As(err, &exceeded) {
		err = exceeded.Err
	}
	return err
}

// networkCause leaves out addresses and ports: each connection has its own
// port, and the endpoint's name has many addresses.
func networkCause(err error) string {
	var lookup *net.DNSError
	if errors.As(err, &lookup) {
		switch {
		case lookup.IsNotFound:
			return "no such host"
		case lookup.IsTimeout:
			return "the name server does not answer"
		}
		return "the name server cannot look the host up"
	}
	var network *net.OpError
	if errors.As(err, &network) {
		return network.Op + ": " + stable(network.Err.Error())
	}
	return stable(err.Error())
}

// volatile are the parts of messages that differ from call to call: request
// IDs, the caller's address and port, and times.
var volatile = regexp.MustCompile(`,? ?\(?[Rr]equest ?(ID|id|Id): ?[0-9A-Za-z-]*\)?` +
	`|\b\d{1,3}(\.\d{1,3}){3}:\d+->` +
	`|\b\d{8}T\d{6}Z\b` +
	`|\b\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:?\d\d)?`)

// stable is a message without its volatile parts.
func stable(message string) string { return volatile.ReplaceAllString(message, "") }

// logFailures writes down, of each call that fails after all its attempts, what
// the error's text leaves out.
func logFailures(stack *middleware.Stack) error {
	return stack.Initialize.Add(middleware.InitializeMiddlewareFunc("KipLogFailures", logFailure), middleware.After)
}

func logFailure(ctx context.Context, in middleware.InitializeInput, next middleware.InitializeHandler) (middleware.InitializeOutput, middleware.Metadata, error) {
	out, metadata, err := next.HandleInitialize(ctx, in)
	if err != nil {
		logr.FromContextOrDiscard(ctx).Info("a call of EC2 failed",
			"action", awsmiddleware.GetOperationName(ctx), "requestID", requestID(err), "detail", err.Error())
	}
	return out, metadata, err
}

func requestID(err error) string {
	var response *awshttp.ResponseError
	if errors.As(err, &response) {
		return response.RequestID
	}
	return ""
}
