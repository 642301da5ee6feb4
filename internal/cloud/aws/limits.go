package aws

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// Limit is a token bucket: Burst calls at once, PerSecond in the long run.
type Limit struct {
	Burst, PerSecond float64
	// Resources says that a call costs a token for each instance that it names
	// or makes, instead of one.
	Resources bool
}

// Groups of actions, which stand in a table of limits for all of their actions
// that are not named themselves. Each action has buckets of its own.
const (
	// Describes read, by a filter or page by page.
	Describes = "Describe"
	// Unfiltered reads neither filter nor ask for pages.
	Unfiltered = "Unfiltered"
	// Mutations are all other actions.
	Mutations = "Mutate"
)

// DefaultLimits are those that EC2 publishes for an account in a region
// (docs.aws.amazon.com/ec2/latest/devguide/ec2-api-throttling.html), and
// Parameter Store (docs.aws.amazon.com/general/latest/gr/ssm.html), by action
// or group of actions.
func DefaultLimits() map[string][]Limit {
	return map[string][]Limit{
		"RunInstances":       {{Burst: 5, PerSecond: 2}, {Burst: 1000, PerSecond: 2, Resources: true}},
		"TerminateInstances": {{Burst: 100, PerSecond: 5}, {Burst: 1000, PerSecond: 20, Resources: true}},
		"CreateTags":         {{Burst: 100, PerSecond: 10}},
		"PutParameter":       {{Burst: 3, PerSecond: 3}},
		Describes:            {{Burst: 100, PerSecond: 20}},
		Unfiltered:           {{Burst: 50, PerSecond: 10}},
		Mutations:            {{Burst: 50, PerSecond: 5}},
	}
}

// Unlimited is for an endpoint that has no limits: calls never wait.
func Unlimited() map[string][]Limit {
	limits := DefaultLimits()
	for action := range limits {
		limits[action] = nil
	}
	return limits
}

// Words of ParseLimits.
const (
	limitsPublished = "published"
	limitsNone      = "none"
	// resourcesSuffix marks the bucket of instances instead of that of calls.
	resourcesSuffix = ".resources"
)

// limitable are the actions that can be named in a list of limits: those that
// are called.
func limitable() []string {
	return []string{
		Describes, Mutations, Unfiltered, "CreateRoute", "CreateTags", "DeleteNetworkInterface", "DeleteRoute", "DeleteSecurityGroup", "DeleteVolume",
		"DescribeImages", "DescribeInstanceTypeOfferings", "DescribeInstanceTypes", "DescribeInstanceStatus", "DescribeInstances", "DescribeNetworkInterfaces",
		"DescribeRouteTables", "DescribeSecurityGroups", "DescribeSpotPriceHistory", "DescribeSubnets", "DescribeVolumes", "GetConsoleOutput", "ModifyInstanceAttribute",
		"PutParameter", "RunInstances", "TerminateInstances",
	}
}

// ParseLimits reads how fast EC2 may be asked: "published", "none", or a list
// that differs from what is published, such as
// "RunInstances=50/20,RunInstances.resources=1000/20,Describe=none": the calls
// that may be made at once, and how many more each second; .resources counts
// instances. An error names the entry and what would be right.
func ParseLimits(s string) (map[string][]Limit, error) {
	switch s {
	case limitsPublished:
		return DefaultLimits(), nil
	case limitsNone:
		return Unlimited(), nil
	case "":
		return nil, fmt.Errorf("must be %s, %s, or a list such as RunInstances=5/2,Describe=100/20", limitsPublished, limitsNone)
	}
	given := map[string][]Limit{}
	seen := map[string]bool{}
	for entry := range strings.SplitSeq(s, ",") {
		name, value, _ := strings.Cut(strings.TrimSpace(entry), "=")
		action, resources := strings.CutSuffix(name, resourcesSuffix)
		if !slices.Contains(limitable(), action) {
			return nil, fmt.Errorf("%q: %q is none of the actions, which are %s", entry, action, strings.Join(limitable(), ", "))
		}
		if seen[name] {
			return nil, fmt.Errorf("%q: %s is there twice", entry, name)
		}
		seen[name] = true
		limit, err := parseLimit(value)
		if err != nil {
			return nil, fmt.Errorf("%q: %w", entry, err)
		}
		if _, begun := given[action]; !begun {
			given[action] = DefaultLimits()[action]
		}
		given[action] = withLimit(given[action], limit, resources)
	}
	limits := DefaultLimits()
	maps.Copy(limits, given)
	return limits, nil
}

// parseLimit reads 5/2; nil for none.
func parseLimit(s string) (*Limit, error) {
	if s == limitsNone {
		return nil, nil
	}
	first, second, _ := strings.Cut(s, "/")
	burst, err := strconv.ParseFloat(first, 64)
	perSecond, err2 := strconv.ParseFloat(second, 64)
	if err != nil || err2 != nil || !(burst >= 1 && burst <= mostLimit && perSecond >= leastLimit && perSecond <= mostLimit) {
		return nil, fmt.Errorf("must be none, or how many at once (1 to %g) and how many more each second (%g to %g), such as 5/2", mostLimit, leastLimit, mostLimit)
	}
	return &Limit{Burst: burst, PerSecond: perSecond}, nil
}

// Bounds of a list of limits.
const (
	leastLimit = 0.01
	mostLimit  = 1e6
)

// withLimit replaces the bucket of calls, or that of resources.
func withLimit(limits []Limit, by *Limit, resources bool) []Limit {
	limits = slices.DeleteFunc(slices.Clone(limits), func(l Limit) bool { return l.Resources == resources })
	if by != nil {
		by.Resources = resources
		limits = append(limits, *by)
	}
	return limits
}
