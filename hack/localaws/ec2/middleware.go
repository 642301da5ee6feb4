package ec2

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"kip.elotl.co/hack/localaws/awserr"
	"kip.elotl.co/hack/localaws/journal"
)

// pace lets no call be faster than the least latency.
func (s *Server) pace(next Handler) Handler {
	return func(ctx context.Context, c *Call) (response, error) {
		start := s.Clock.Now()
		resp, err := next(ctx, c)
		if rest := s.Latency - s.Clock.Since(start); rest > 0 {
			// A caller who has gone misses nothing.
			_ = s.sleep(ctx, rest)
		}
		return resp, err
	}
}

// record writes every call into the journal.
func (s *Server) record(next Handler) Handler {
	return func(ctx context.Context, c *Call) (response, error) {
		start := s.Clock.Now()
		resp, err := next(ctx, c)
		e := journal.Entry{
			Time: start.UTC(), Took: s.Clock.Since(start), RequestID: c.RequestID, Action: c.Action, Caller: c.caller.Session(),
			Params: publicParams(c.Form), Created: c.Created, Fault: c.Fault,
		}
		if err != nil && !errors.Is(err, errReplyLost) {
			api := asAPIError(err)
			e.Code, e.Message = api.Code, api.Message
		}
		if jerr := s.Journal.Add(e); jerr != nil {
			s.Log.Error(jerr, "call not recorded", "requestID", c.RequestID)
		}
		return resp, err
	}
}

// publicParams are the parameters without those that say nothing and with the
// user data, which holds keys, replaced by its size and hash.
func publicParams(form map[string]string) map[string]string {
	out := make(map[string]string, len(form))
	for name, value := range form {
		switch name {
		case "Action", "Version":
		case "UserData":
			raw, err := base64.StdEncoding.DecodeString(value)
			if err != nil {
				raw = []byte(value)
			}
			sum := sha256.Sum256(raw)
			out["UserData.Size"] = strconv.Itoa(len(raw))
			out["UserData.SHA256"] = hex.EncodeToString(sum[:])
		default:
			out[name] = value
		}
	}
	return out
}

// credential is AKID/20261120/us-east-1/ec2/aws4_request, as SigV4 has it in
// the Authorization header or in X-Amz-Credential.
var credential = regexp.MustCompile(`^([\w+=,.@-]+)/(\d{8})/([a-z0-9-]+)/([a-z0-9-]+)/aws4_request$`)

// authenticate checks that a call is signed for this service and region. The
// signature itself is not verified: there is no secret to verify it with.
func (s *Server) authenticate(next Handler) Handler {
	return func(ctx context.Context, c *Call) (response, error) {
		scope, err := signedScope(c)
		if err != nil {
			return nil, err
		}
		m := credential.FindStringSubmatch(scope)
		if m == nil {
			return nil, awserr.New("AuthFailure", "AWS was not able to validate the provided access credentials")
		}
		if regions := s.regions(c); !slices.Contains(regions, m[3]) || m[4] != c.Service {
			return nil, awserr.New("AuthFailure", "Credential should be scoped to the service %s in the region %s, not to %s in %s",
				c.Service, strings.Join(regions, " or "), m[4], m[3])
		}
		if c.caller, err = s.identify(m[1], c); err != nil {
			return nil, err
		}
		return next(ctx, c)
	}
}

// regions are those in which a service is called. The price list of every
// region is in three of them (AWS billing guide, "Using the Price List API").
func (s *Server) regions(c *Call) []string {
	if c.Service == servicePricing {
		return []string{"us-east-1", "eu-central-1", "ap-south-1"}
	}
	regions := []string{s.World.Catalog.Region}
	if c.via != nil && c.via.Global && regions[0] != globalRegion {
		regions = append(regions, globalRegion)
	}
	return regions
}

func signedScope(c *Call) (string, error) {
	if scope := c.Header.Get("X-Amz-Credential"); scope != "" && c.Header.Get("X-Amz-Signature") != "" {
		return scope, nil
	}
	auth := c.Header.Get("Authorization")
	if auth == "" {
		return "", awserr.New("MissingAuthenticationToken", "Request is missing Authentication Token")
	}
	fields, ok := strings.CutPrefix(auth, "AWS4-HMAC-SHA256 ")
	if !ok {
		return "", awserr.New("IncompleteSignature", "Authorization header has an unknown scheme")
	}
	parts := map[string]string{}
	for f := range strings.SplitSeq(fields, ",") {
		name, value, _ := strings.Cut(strings.TrimSpace(f), "=")
		parts[name] = value
	}
	for _, name := range []string{"Credential", "SignedHeaders", "Signature"} {
		if parts[name] == "" {
			return "", awserr.New("IncompleteSignature", "Authorization header requires '%s' parameter", name)
		}
	}
	return parts["Credential"], nil
}

// spoil does wrong what the fault plan asks for.
func (s *Server) spoil(next Handler) Handler {
	return func(ctx context.Context, c *Call) (response, error) {
		v := s.Faults.Judge(c.Action)
		if v.Delay > 0 {
			c.Fault = "delayed"
			if err := s.sleep(ctx, v.Delay); err != nil {
				return nil, err
			}
		}
		if v.Refusal != nil {
			c.Fault = "refused"
			message := v.Refusal.Message
			if message == "" {
				message = "Refused on purpose."
			}
			return nil, &awserr.Error{Code: v.Refusal.Code, Message: message}
		}
		resp, err := next(ctx, c)
		if v.Late > 0 {
			c.Fault = "answered late"
			// A caller who has gone misses nothing.
			_ = s.sleep(ctx, v.Late)
		}
		if v.LoseReply {
			c.Fault = "reply lost"
			return nil, errReplyLost
		}
		return resp, err
	}
}

func (s *Server) sleep(ctx context.Context, d time.Duration) error {
	t := s.Clock.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C():
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// asAPIError is what a caller is told about any error.
func asAPIError(err error) *awserr.Error {
	var api *awserr.Error
	if errors.As(err, &api) {
		return api
	}
	return awserr.New("InternalError", "An internal error has occurred")
}
