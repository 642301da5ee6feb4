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
		if s.Limits != nil && c.Service == serviceEC2 && s.actions[c.Action] != nil && !s.Limits.Allow(cost(c)) {
			c.Fault = "limited"
			return nil, awserr.New("RequestLimitExceeded", "Request limit exceeded.")
		}
		return next(ctx, c)
	}
}

// cost is what limits look at of a call.
func cost(c *Call) throttle.Call {
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
