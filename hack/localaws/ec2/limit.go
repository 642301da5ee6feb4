package ec2

import (
	"context"
	"strconv"
	"strings"

	"kip.elotl.co/hack/localaws/awserr"
	"kip.elotl.co/hack/localaws/throttle"
)

// limit refuses calls that come faster than the limits allow. The price list
// service has none here.
func (s *Server) limit(next Handler) Handler {
	return func(ctx context.Context, c *Call) (response, error) {
		known := c.Service == serviceEC2 && s.actions[c.Action] != nil || c.via != nil
		if s.Limits == nil || !known || s.Limits.Allow(cost(c)) {
			return next(ctx, c)
		}
		c.Fault = "limited"
		if c.via != nil {
			return nil, awserr.New("RequestLimitExceeded", "Rate exceeded")
		}
		return nil, awserr.New("RequestLimitExceeded", "Request limit exceeded.")
	}
}

// cost is what limits look at of a call.
func cost(c *Call) throttle.Call {
	if c.via != nil {
		return throttle.Call{Service: c.Service, Action: c.Action}
	}
	out := throttle.Call{Action: c.Action, Unfiltered: true}
	for name := range c.Form {
		switch name {
		case "Action", "Version", "DryRun", "NextToken":
		default:
			out.Unfiltered = false
		}
		if c.Action == "TerminateInstances" && strings.HasPrefix(name, "InstanceId.") {
			out.Resources++
		}
	}
	if c.Action == "RunInstances" {
		// What is no number the call itself refuses.
		out.Resources, _ = strconv.Atoi(c.Form["MaxCount"])
	}
	return out
}
