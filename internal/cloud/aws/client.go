// Package aws is the port to the cloud on EC2. One file holds one of EC2's
// nouns; errors.go sorts all error codes, limiter.go keeps the account's rate
// limits (limits.go; bucket.go and pace.go: one bucket; gate.go: who goes first), batch.go shares requests between callers.
package aws

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsmiddleware "github.com/aws/aws-sdk-go-v2/aws/middleware"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/pricing"
	"github.com/aws/aws-sdk-go-v2/service/ssm"

	"kip.elotl.co/internal/cloud"
)

const (
	// attempts is how often a call is sent at most, and maxBackoff the longest
	// pause between two of them.
	attempts   = 4
	maxBackoff = 5 * time.Second
	// attemptTimeout bounds one sending of a call, with its answer.
	attemptTimeout = 30 * time.Second
	// sharedTimeout bounds a call on behalf of several callers, its attempts,
	// pauses and waits for the rate limit included.
	sharedTimeout = 2 * time.Minute
	// batchWindow is how long the first caller waits for others to share its
	// request with, batchSize how many may.
	batchWindow = 50 * time.Millisecond
	batchSize   = 100
	// pageSize is how many results a page of a list is asked to hold.
	pageSize = 1000
	// idleConnections are kept open to the endpoint.
	idleConnections = 64
)

// Options say which account and region, and how fast.
type Options struct {
	// Region is found in the environment when empty: AWS_REGION or the profile.
	Region string
	// EndpointURL replaces the endpoints of all services. When empty, the SDK's
	// own settings count (AWS_ENDPOINT_URL_EC2, AWS_ENDPOINT_URL, the profile).
	EndpointURL string
	// Version of the operator, told to EC2 in the user agent.
	Version string
	// Limits replace those in DefaultLimits for the actions and groups of
	// actions that they name.
	Limits map[string][]Limit

	// For tests.
	maxBackoff time.Duration
	transport  aws.HTTPClient
}

// Client is the port to EC2 in one region of one account. It may be used by
// several goroutines at once.
type Client struct {
	ec2       *ec2.Client
	pricing   *pricing.Client
	ssm       *ssm.Client
	iam       *iam.Client
	limits    *limiter
	region    string
	pageSize  int32
	describes *batcher[cloud.Instance]
	ends      *batcher[struct{}]
	statuses  *batcher[cloud.Status]
	tags      *batcher[struct{}]
}

var _ cloud.Cloud = (*Client)(nil)

// New makes a Client. Credentials come from where the SDK finds them. It sends
// nothing to EC2; an error where the settings are incomplete or malformed.
func New(ctx context.Context, o Options) (*Client, error) {
	settings, err := config.LoadDefaultConfig(ctx,
		config.WithRegion(o.Region),
		config.WithHTTPClient(newHTTPClient()),
		config.WithRetryer(retryer(cmp.Or(o.maxBackoff, maxBackoff))),
	)
	if err != nil {
		return nil, fmt.Errorf("reading the AWS settings: %w", err)
	}
	if settings.Region == "" {
		return nil, errors.New("reading the AWS settings: no region; set AWS_REGION")
	}
	limits := newLimiter(o.Limits)
	api := ec2.NewFromConfig(settings, func(e *ec2.Options) {
		if o.EndpointURL != "" {
			e.BaseEndpoint = aws.String(o.EndpointURL)
		}
		e.HTTPClient = plainBody{e.HTTPClient}
		if o.transport != nil {
			e.HTTPClient = o.transport
		}
		e.APIOptions = append(e.APIOptions, awsmiddleware.AddUserAgentKeyValue("kip", cmp.Or(o.Version, "unknown")), limits.install, logFailures)
	})
	c := &Client{ec2: api, pricing: newPricing(settings, o), limits: limits, region: settings.Region, pageSize: pageSize}
	c.ssm, c.iam = newSSM(settings, o, limits), newIAM(settings, o)
	c.describes = newBatcher(c.describeByID)
	c.ends = newBatcher(c.terminateAll)
	c.statuses = newBatcher(c.statusOfAll)
	c.tags = newBatcher(c.tagAll)
	return c, nil
}

// newPricing makes the client of the price list, which has limits of its own.
func newPricing(settings aws.Config, o Options) *pricing.Client {
	return pricing.NewFromConfig(settings, func(p *pricing.Options) {
		p.Region = pricingRegion(settings.Region)
		if o.EndpointURL != "" {
			p.BaseEndpoint = aws.String(o.EndpointURL)
		}
		p.HTTPClient = plainBody{p.HTTPClient}
		p.APIOptions = append(p.APIOptions, awsmiddleware.AddUserAgentKeyValue("kip", cmp.Or(o.Version, "unknown")))
	})
}

func newSSM(settings aws.Config, o Options, limits *limiter) *ssm.Client {
	return ssm.NewFromConfig(settings, func(s *ssm.Options) {
		if o.EndpointURL != "" {
			s.BaseEndpoint = aws.String(o.EndpointURL)
		}
		s.HTTPClient = plainBody{s.HTTPClient}
		s.APIOptions = append(s.APIOptions, awsmiddleware.AddUserAgentKeyValue("kip", cmp.Or(o.Version, "unknown")), limits.install, logFailures)
	})
}

func newIAM(settings aws.Config, o Options) *iam.Client {
	return iam.NewFromConfig(settings, func(i *iam.Options) {
		if o.EndpointURL != "" {
			i.BaseEndpoint = aws.String(o.EndpointURL)
		}
		i.HTTPClient = plainBody{i.HTTPClient}
		i.APIOptions = append(i.APIOptions, awsmiddleware.AddUserAgentKeyValue("kip", cmp.Or(o.Version, "unknown")), logFailures)
	})
}

// Region is the region that the Client works in.
func (c *Client) Region() string { return c.region }

func retryer(maxBackoff time.Duration) func() aws.Retryer {
	return func() aws.Retryer {
		return retry.NewStandard(func(o *retry.StandardOptions) {
			o.MaxAttempts = attempts
			o.MaxBackoff = maxBackoff
			o.Retryables = append([]retry.IsErrorRetryable{retry.IsErrorRetryableFunc(worthRetrying)}, o.Retryables...)
		})
	}
}

// worthRetrying keeps the SDK from sending again what would be refused again:
// a lack of capacity comes with the status 500, which it would retry.
func worthRetrying(err error) aws.Ternary {
	switch kindOf(err) {
	case cloud.KindTransient, cloud.KindThrottled:
		return aws.UnknownTernary
	}
	return aws.FalseTernary
}
