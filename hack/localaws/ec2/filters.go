package ec2

import (
	"encoding/base64"
	"slices"
	"strconv"
	"strings"

	"kip.elotl.co/hack/localaws/awserr"
	"kip.elotl.co/hack/localaws/query"
)

const maxFilterValues = 200

// filter is one Filter.N: an item passes when one of its values matches one of
// the patterns.
type filter struct {
	name     string
	patterns []string
}

// fields says how items of some kind answer filters: name → the item's values.
type fields[T any] map[string]func(T) []string

// one makes a field with a single value.
func one[T any](value func(T) string) func(T) []string {
	return func(item T) []string { return []string{value(item)} }
}

// always makes a field with the same value for every item.
func always[T any](value string) func(T) []string {
	return func(T) []string { return []string{value} }
}

func readFilters(p query.Params) []filter {
	var out []filter
	for _, f := range p.Structs("Filter") {
		out = append(out, filter{name: f.Required("Name"), patterns: f.Strings("Value")})
	}
	return out
}

// selects makes a test from filters, all of which an item must pass. tags may
// be nil for items that have none.
func selects[T any](filters []filter, known fields[T], tags func(T) map[string]string) (func(T) bool, error) {
	var tests []func(T) bool
	for _, f := range filters {
		if len(f.patterns) == 0 || len(f.patterns) > maxFilterValues {
			return nil, awserr.New("InvalidParameterValue", "The filter '%s' must have from 1 to %d values", f.name, maxFilterValues)
		}
		values := known[f.name]
		if values == nil && tags != nil {
			values = tagValues(f.name, tags)
		}
		if values == nil {
			return nil, awserr.New("InvalidParameterValue", "The filter '%s' is invalid", f.name)
		}
		tests = append(tests, func(item T) bool {
			return slices.ContainsFunc(values(item), func(v string) bool { return matchesAny(f.patterns, v) })
		})
	}
	return func(item T) bool {
		return !slices.ContainsFunc(tests, func(test func(T) bool) bool { return !test(item) })
	}, nil
}

func tagValues[T any](name string, tags func(T) map[string]string) func(T) []string {
	if key, ok := strings.CutPrefix(name, "tag:"); ok {
		return func(item T) []string {
			if v, ok := tags(item)[key]; ok {
				return []string{v}
			}
			return nil
		}
	}
	if name == "tag-key" {
		return func(item T) []string {
			var keys []string
			for k := range tags(item) {
				keys = append(keys, k)
			}
			return keys
		}
	}
	return nil
}

func matchesAny(patterns []string, value string) bool {
	return slices.ContainsFunc(patterns, func(p string) bool { return wildcard(p, value) })
}

// wildcard matches EC2's patterns: * is any run of bytes, ? any one, and a
// backslash takes the meaning from the byte behind it. Case counts. It needs at
// most len(pattern) × len(value) steps.
func wildcard(pattern, value string) bool {
	p, v := 0, 0
	star, mark := -1, 0
	for v < len(value) {
		switch {
		case p < len(pattern) && pattern[p] == '*':
			star, mark = p, v
			p++
		case p < len(pattern) && pattern[p] == '?':
			p++
			v++
		case p+1 < len(pattern) && pattern[p] == '\\' && pattern[p+1] == value[v]:
			p += 2
			v++
		case p < len(pattern) && pattern[p] == value[v] && pattern[p] != '\\':
			p++
			v++
		case star >= 0:
			mark++
			p, v = star+1, mark
		default:
			return false
		}
	}
	return strings.Trim(pattern[p:], "*") == ""
}

// paging is what a describe call asks about pages.
type paging struct {
	size  int // 0 for no limit
	after string
}

// readPaging reads MaxResults, from least to most, and NextToken. Where EC2
// pages without being asked, whenUnasked is its page size.
func readPaging(p query.Params, least, most, whenUnasked int) (paging, error) {
	out := paging{size: whenUnasked}
	if n := p.Int("MaxResults"); n != nil {
		if *n < least {
			return out, awserr.New("InvalidParameterValue", "Value ( %d ) for parameter maxResults is invalid. Expecting a value greater than or equal to %d.", *n, least)
		}
		if *n > most {
			return out, awserr.New("InvalidParameterValue", "Value ( %d ) for parameter maxResults is invalid. Expecting a value less than or equal to %d.", *n, most)
		}
		out.size = *n
	}
	if token := p.String("NextToken"); token != "" {
		after, ok := readToken(token)
		if !ok {
			return out, awserr.New("InvalidParameterValue", "Unable to parse pagination token")
		}
		out.after = after
	}
	return out, nil
}

const tokenPrefix = "after:"

// readToken gives the key behind which a page begins.
func readToken(token string) (after string, ok bool) {
	raw, err := base64.RawURLEncoding.DecodeString(token)
	if err != nil {
		return "", false
	}
	return strings.CutPrefix(string(raw), tokenPrefix)
}

// page cuts one page out of items, which are in the order of their keys. The
// token names the last item given, so pages stay right when items come and go.
func page[T any](items []T, p paging, key func(T) string) (part []T, next string) {
	if p.after != "" {
		i := slices.IndexFunc(items, func(item T) bool { return key(item) > p.after })
		if i < 0 {
			return nil, ""
		}
		items = items[i:]
	}
	if p.size == 0 || len(items) <= p.size {
		return items, ""
	}
	items = items[:p.size]
	return items, base64.RawURLEncoding.EncodeToString([]byte(tokenPrefix + key(items[len(items)-1])))
}

// keep is the items that pass a test, in a slice of its own.
func keep[T any](items []T, test func(T) bool) []T {
	var out []T
	for _, item := range items {
		if test(item) {
			out = append(out, item)
		}
	}
	return out
}

func itoa(i int) string { return strconv.Itoa(i) }

func btoa(b bool) string { return strconv.FormatBool(b) }
