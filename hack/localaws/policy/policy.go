// Package policy judges requests by IAM policies of identities: the part of
// IAM's policy language that the roles of cells and operator need. What it does
// not know it refuses when a policy is read, so that nothing is allowed, or
// denied, by a statement that it would have read wrongly
// (docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_grammar.html).
package policy

import (
	"slices"
	"strings"
)

// Version is the version of the policy language.
type Version string

// The versions. In the older one, which holds where none is given, there are
// no variables.
const (
	Version2012 Version = "2012-10-17"
	Version2008 Version = "2008-10-17"
)

// Policy is a policy document.
type Policy struct {
	Version    Version
	Statements []Statement
}

// Statement allows or denies.
type Statement struct {
	Sid   string
	Allow bool // else it denies
	// Actions are patterns such as ssm:Get*; all but these when NotAction.
	Actions   []string
	NotAction bool
	// Resources are patterns of ARNs; all but these when NotResource.
	Resources   []string
	NotResource bool
	Conditions  []Condition
}

// Condition holds when the value of Key compares with Values as Operator says.
type Condition struct {
	Operator string // such as StringEquals, without IfExists
	// IfExists: it holds, too, when there is no such key.
	IfExists bool
	Key      string
	Values   []string
}

// Request is what is judged.
type Request struct {
	Action   string // such as ssm:GetParameter
	Resource string // an ARN, or *
	// Context holds the values of condition keys, their names as KeyName
	// writes them. A key that is missing has no value.
	Context map[string]string
}

// Decision is the result of judging.
type Decision int

// The decisions. An explicit deny wins over any allow.
const (
	ImplicitDeny Decision = iota
	Allow
	ExplicitDeny
)

// Keys are the condition keys and variables that a policy asks for, as KeyName
// writes them, without a tag's key.
func (p Policy) Keys() []string {
	var out []string
	for _, s := range p.Statements {
		texts := slices.Clone(s.Resources)
		for _, c := range s.Conditions {
			out = append(out, c.Key)
			texts = append(texts, c.Values...)
		}
		for _, t := range texts {
			for p.Version == Version2012 {
				_, name, after, found := variable(t)
				if !found {
					break
				}
				if !isCharacter(name) {
					out = append(out, name)
				}
				t = after
			}
		}
	}
	for i, key := range out {
		out[i], _, _ = strings.Cut(KeyName(key), "/")
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// KeyName writes the name of a condition key as Request.Context has it: case
// does not count, but in a tag's key.
func KeyName(key string) string {
	prefix, tag, tagged := strings.Cut(key, "/")
	if !tagged {
		return strings.ToLower(key)
	}
	return strings.ToLower(prefix) + "/" + tag
}

// Judge decides by all policies together.
func Judge(policies []Policy, r Request) Decision {
	decision := ImplicitDeny
	for _, p := range policies {
		for _, s := range p.Statements {
			if !s.applies(p.Version, r) {
				continue
			}
			if !s.Allow {
				return ExplicitDeny
			}
			decision = Allow
		}
	}
	return decision
}

func (s Statement) applies(v Version, r Request) bool {
	action := slices.ContainsFunc(s.Actions, func(pattern string) bool {
		return matches(literally(strings.ToLower(pattern)), strings.ToLower(r.Action))
	})
	resource := slices.ContainsFunc(s.Resources, func(pattern string) bool {
		resolved, ok := resolve(v, pattern, r.Context)
		return ok && matches(resolved, r.Resource)
	})
	if action == s.NotAction || resource == s.NotResource {
		return false
	}
	return !slices.ContainsFunc(s.Conditions, func(c Condition) bool { return !c.holds(v, r.Context) })
}

// holds: several values are alternatives; a negated operator wants none of
// them. What is missing is equal to nothing, and so different from everything.
func (c Condition) holds(v Version, context map[string]string) bool {
	value, exists := context[KeyName(c.Key)]
	if !exists && c.IfExists {
		return true
	}
	like, negated := operator(c.Operator)
	some := exists && slices.ContainsFunc(c.Values, func(want string) bool {
		resolved, ok := resolve(v, want, context)
		if !ok {
			return false
		}
		if like {
			return matches(resolved, value)
		}
		return resolved.text() == value
	})
	return some != negated
}

// operator says whether wildcards count, and whether it is negated.
func operator(name string) (like, negated bool) {
	return strings.HasSuffix(name, "Like"), strings.HasPrefix(name, "StringNot")
}
