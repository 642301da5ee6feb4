// Package service says what a service behind the emulator's endpoint is, apart
// from EC2 itself: the endpoint reads calls, records and limits them, does them
// wrong on purpose, and hands them on.
package service

import (
	"context"

	"kip.elotl.co/hack/localaws/iam"
	"kip.elotl.co/hack/localaws/query"
)

// Service is one service. It speaks either JSON 1.1, when it has a Target, or
// the query protocol, when it has a Version.
type Service struct {
	// Name is what signatures and IAM's actions call it, such as ssm.
	Name string
	// Target is what X-Amz-Target begins with, such as "AmazonSSM.".
	Target string
	// Version and Namespace are the API version of the query protocol and the
	// XML name space of its answers.
	Version, Namespace string
	// Global services are called in us-east-1 too, whatever the region.
	Global bool
	// Handle does a call. It has to ask the caller whether it may. The result
	// is encoded as the answer; nil is an empty one.
	Handle func(ctx context.Context, r Request) (any, error)
	// Show gives the parameters of a JSON call for the journal, without what is
	// secret.
	Show func(body []byte) map[string]string
}

// Request is a call of a service.
type Request struct {
	Caller iam.Caller
	Action string
	// Params are those of a call of the query protocol, Body those of a JSON one.
	Params query.Params
	Body   []byte
}
