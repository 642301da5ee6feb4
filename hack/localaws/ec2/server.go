// Package ec2 speaks EC2's query protocol in front of a world: parameters in a
// form, answers in XML, errors with EC2's documented codes. Behind the same
// endpoint are other services: those that are called by the header
// X-Amz-Target speak JSON, and those of other versions the same protocol.
//
// Every call runs through a chain of middleware: the least latency, the
// journal, authentication, rate limits, planned faults, what the caller may do,
// then the action itself. The journal stands before authentication, so that it
// has the calls refused there too.
package ec2

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/go-logr/logr"
	"k8s.io/utils/clock"

	"kip.elotl.co/hack/localaws/awserr"
	"kip.elotl.co/hack/localaws/faults"
	"kip.elotl.co/hack/localaws/iam"
	"kip.elotl.co/hack/localaws/journal"
	"kip.elotl.co/hack/localaws/query"
	"kip.elotl.co/hack/localaws/service"
	"kip.elotl.co/hack/localaws/throttle"
	"kip.elotl.co/hack/localaws/world"
)

// Version is the API version of the actions.
const Version = "2016-11-15"

// maxBody is far above any call of EC2's: 16 KiB of user data in base64, URL
// encoded, and tags.
const maxBody = 1 << 20

// Call is one call on its way through the chain.
type Call struct {
	RequestID string
	// Service is as signatures name it, such as ec2.
	Service string
	Action  string
	Params  query.Params
	// Form is what Params was parsed from.
	Form map[string]string
	// Body is the parameters of a call that speaks JSON.
	Body   []byte
	Header http.Header

	via    *service.Service // nil for EC2 and the price list
	caller iam.Caller

	// Created are the instances the call made, Fault what was done wrong to it.
	Created []string
	Fault   string
}

// Handler does a call. The result is encoded as the body of the action's
// response element.
type Handler func(ctx context.Context, c *Call) (response, error)

// Middleware wraps a handler.
type Middleware func(next Handler) Handler

// Config is what a server needs.
type Config struct {
	World   *world.World
	Journal *journal.Journal
	Faults  *faults.Set
	Clock   clock.Clock
	Log     logr.Logger
	// Latency is how long every call takes at least. Real clouds are never
	// faster than some milliseconds, and Go's SDK relies on it: when an answer
	// overtakes the last look at the request's body, smithy-go's closed body
	// makes net/http cut the connection under the answer.
	Latency time.Duration
	// Limits limits calls, but those of the price list; nil lets all through.
	Limits *throttle.Throttle
	// Services are behind the same endpoint.
	Services []service.Service
}

// Server is the EC2 endpoint.
type Server struct {
	Config
	handle  Handler
	actions map[string]Handler
}

// New makes the endpoint.
func New(c Config) *Server {
	s := &Server{Config: c}
	s.actions = s.table()
	s.handle = chain(s.permit, s.pace, s.record, s.translate, s.authenticate, s.limit, s.spoil)
	return s
}

// chain puts middleware around a handler, the first outermost.
func chain(h Handler, m ...Middleware) Handler {
	for i := len(m) - 1; i >= 0; i-- {
		h = m[i](h)
	}
	return h
}

func (s *Server) table() map[string]Handler {
	return map[string]Handler{
		"RunInstances":                         s.runInstances,
		"TerminateInstances":                   s.terminateInstances,
		"DescribeInstances":                    s.describeInstances,
		"DescribeInstanceStatus":               s.describeInstanceStatus,
		"DescribeInstanceAttribute":            s.describeInstanceAttribute,
		"GetConsoleOutput":                     s.getConsoleOutput,
		"DescribeImages":                       s.describeImages,
		"DescribeSubnets":                      s.describeSubnets,
		"DescribeVpcs":                         s.describeVpcs,
		"DescribeSecurityGroups":               s.describeSecurityGroups,
		"CreateSecurityGroup":                  s.createSecurityGroup,
		"DeleteSecurityGroup":                  s.deleteSecurityGroup,
		"AuthorizeSecurityGroupIngress":        s.authorize(false),
		"AuthorizeSecurityGroupEgress":         s.authorize(true),
		"RevokeSecurityGroupIngress":           s.revoke(false),
		"RevokeSecurityGroupEgress":            s.revoke(true),
		"DescribeSecurityGroupRules":           s.describeSecurityGroupRules,
		"DescribeAvailabilityZones":            s.describeAvailabilityZones,
		"DescribeInstanceTypes":                s.describeInstanceTypes,
		"DescribeInstanceTypeOfferings":        s.describeInstanceTypeOfferings,
		"DescribeSpotPriceHistory":             s.describeSpotPriceHistory,
		"DescribeNetworkInterfaces":            s.describeNetworkInterfaces,
		"DescribeVolumes":                      s.describeVolumes,
		"DeleteVolume":                         s.deleteVolume,
		"DeleteNetworkInterface":               s.deleteNetworkInterface,
		"DescribeRouteTables":                  s.describeRouteTables,
		"CreateRoute":                          s.createRoute,
		"DeleteRoute":                          s.deleteRoute,
		"ModifyInstanceAttribute":              s.modifyInstanceAttribute,
		"DescribeInstanceCreditSpecifications": s.describeCredits,
		"CreateTags":                           s.createTags,
		"DeleteTags":                           s.deleteTags,
	}
}

// errReplyLost asks for the connection to be cut instead of an answer.
var errReplyLost = errors.New("reply lost on purpose")

// ServeHTTP answers one call.
func (s *Server) ServeHTTP(rw http.ResponseWriter, r *http.Request) {
	c := &Call{RequestID: newRequestID(), Service: serviceEC2, Header: r.Header}
	var resp response
	err := s.read(rw, r, c)
	if err == nil {
		resp, err = s.handle(r.Context(), c)
	}
	if errors.Is(err, errReplyLost) {
		panic(http.ErrAbortHandler)
	}
	if err := s.writer(c)(rw, c, resp, err); err != nil {
		s.Log.V(1).Info("reply not sent", "requestID", c.RequestID, "error", err.Error())
	}
}

// writer is what sends the answer in the protocol of the call's service.
func (s *Server) writer(c *Call) func(http.ResponseWriter, *Call, response, error) error {
	switch {
	case c.Service == servicePricing, c.via != nil && c.via.Target != "":
		return s.writeJSON
	case c.via != nil:
		return s.writeQuery
	}
	return s.write
}

// read takes the parameters from the form or the query string.
func (s *Server) read(rw http.ResponseWriter, r *http.Request, c *Call) error {
	if r.Method != http.MethodPost && r.Method != http.MethodGet {
		return awserr.New("InvalidRequest", "The method %s is not supported", r.Method)
	}
	r.Body = http.MaxBytesReader(rw, r.Body, maxBody)
	if r.Header.Get("X-Amz-Target") != "" {
		return s.readTarget(r, c)
	}
	if err := r.ParseForm(); err != nil {
		return awserr.New("MalformedQueryString", "The query string is not well formed: %s", err)
	}
	for name := range r.Form {
		// Presigned calls carry the signature among the parameters.
		if len(name) > 6 && name[:6] == "X-Amz-" {
			c.Header.Set(name, r.Form.Get(name))
			delete(r.Form, name)
		}
	}
	params, err := query.Parse(r.Form)
	if err != nil {
		return err
	}
	c.Params = params
	c.Form = make(map[string]string, len(r.Form))
	for name, values := range r.Form {
		c.Form[name] = values[0]
	}
	c.Action = params.String("Action")
	if c.via = s.byVersion(r.Form.Get("Version")); c.via != nil {
		c.Service = c.via.Name
		params.String("Version")
	}
	return nil
}

// dispatch is the innermost handler.
func (s *Server) dispatch(ctx context.Context, c *Call) (response, error) {
	if c.Service == servicePricing {
		if c.Action != "GetProducts" {
			return nil, awserr.New("UnknownOperationException", "The operation %s is not known", c.Action)
		}
		return s.getProducts(ctx, c)
	}
	if c.Action == "" {
		return nil, awserr.New("MissingAction", "The request must contain the parameter Action")
	}
	if v := c.Params.Required("Version"); v != "" && v != Version {
		return nil, awserr.New("NoSuchVersion", "The requested version (%s) of service AmazonEC2 is not valid", v)
	}
	action := s.actions[c.Action]
	if action == nil {
		return nil, awserr.New("InvalidAction", "The action %s is not valid for this web service.", c.Action)
	}
	return action(ctx, c)
}

// finish ends the reading of a call's parameters: with the first that is bad,
// or that nobody read, or with DryRunOperation.
func (c *Call) finish() error {
	dry := c.Params.Bool("DryRun")
	if err := c.Params.Finish(); err != nil {
		return err
	}
	if dry != nil && *dry {
		return awserr.New("DryRunOperation", "Request would have succeeded, but DryRun flag is set.")
	}
	return nil
}

func newRequestID() string {
	b := make([]byte, 16)
	_, _ = rand.Read(b)
	h := hex.EncodeToString(b)
	return fmt.Sprintf("%s-%s-%s-%s-%s", h[:8], h[8:12], h[12:16], h[16:20], h[20:])
}
