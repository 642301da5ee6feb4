package ssm

import (
	"slices"
	"strings"

	"kip.elotl.co/hack/localaws/awserr"
	"kip.elotl.co/hack/localaws/iam"
)

// stringFilter is a ParameterStringFilter: a parameter passes when one of the
// values compares with what Key names as Option says.
type stringFilter struct {
	Key, Option string
	Values      []string
}

// options are those of each key, the first by default.
func options(key string) []string {
	switch key {
	case "Name":
		return []string{"Equals", "BeginsWith", "Contains"}
	case "Path":
		return []string{"OneLevel", "Recursive"}
	case "Type", "KeyId", "Tier", "DataType", "tag":
		return []string{"Equals"}
	}
	return nil
}

// selects makes a test of filters, all of which a parameter must pass. Their
// keys must be among known; tag stands for tag:key.
func selects(filters []stringFilter, known []string) (func(Parameter) bool, error) {
	for i, f := range filters {
		key, _, _ := strings.Cut(f.Key, ":")
		allowed := options(key)
		switch {
		case !slices.Contains(known, key):
			return nil, awserr.New("InvalidFilterKey", "The following filter key is not valid: %s. Valid filter keys include: [%s].", f.Key, strings.Join(known, ", "))
		case f.Option == "":
			filters[i].Option = allowed[0]
		case !slices.Contains(allowed, f.Option):
			return nil, awserr.New("InvalidFilterOption", "The following filter option is not valid: %s. Valid options include: [%s].", f.Option, strings.Join(allowed, ", "))
		}
		if len(f.Values) > 50 || len(f.Values) == 0 && key != "tag" {
			return nil, awserr.New("InvalidFilterValue", "The filter %s must have from 1 to 50 values.", f.Key)
		}
	}
	return func(p Parameter) bool {
		return !slices.ContainsFunc(filters, func(f stringFilter) bool { return !f.passes(p) })
	}, nil
}

func (f stringFilter) passes(p Parameter) bool {
	if key, ok := strings.CutPrefix(f.Key, "tag:"); ok {
		value, has := p.Tags[key]
		return has && (len(f.Values) == 0 || slices.Contains(f.Values, value))
	}
	have := map[string]string{"Name": p.Name, "Path": p.Name, "Type": p.Type, "KeyId": p.KeyID, "Tier": p.Tier, "DataType": p.DataType}[f.Key]
	return slices.ContainsFunc(f.Values, func(want string) bool {
		switch f.Option {
		case "BeginsWith":
			return strings.HasPrefix(have, want)
		case "Contains":
			return strings.Contains(have, want)
		case "OneLevel", "Recursive":
			return below(have, want, f.Option == "Recursive")
		}
		return have == want
	})
}

type describeInput struct {
	Filters []struct {
		Key    string
		Values []string
	}
	ParameterFilters []stringFilter
	MaxResults       *int
	NextToken        string
	Shared           bool
}

type describeOutput struct {
	Parameters []metadata
	NextToken  string `json:",omitempty"`
}

// metadata is a parameter without its value.
type metadata struct {
	Name             string
	ARN              string
	Type             string
	KeyId            string `json:",omitempty"`
	LastModifiedDate float64
	LastModifiedUser string
	Description      string `json:",omitempty"`
	AllowedPattern   string `json:",omitempty"`
	Version          int64
	Tier             string
	DataType         string
	Policies         []struct{}
}

func (s *Store) describe(caller iam.Caller, in describeInput) (any, error) {
	if len(in.Filters) > 0 && len(in.ParameterFilters) > 0 {
		return nil, invalid("Filters and ParameterFilters cannot be used together.")
	}
	for _, f := range in.Filters {
		option := "Equals"
		if f.Key == "Name" {
			option = "BeginsWith"
		}
		in.ParameterFilters = append(in.ParameterFilters, stringFilter{Key: f.Key, Option: option, Values: f.Values})
	}
	if err := caller.Authorize("ssm:DescribeParameters", "arn:aws:ssm:"+s.Region+":"+s.Account+":*", nil); err != nil {
		return nil, err
	}
	test, err := selects(in.ParameterFilters, []string{"Path", "Name", "Type", "KeyId", "Tier", "DataType", "tag"})
	if err != nil {
		return nil, err
	}
	found := slices.DeleteFunc(s.List(), func(p Parameter) bool { return in.Shared || !test(p) })
	part, next, err := page(found, in.MaxResults, pageOfDescribe, in.NextToken)
	if err != nil {
		return nil, err
	}
	out := describeOutput{Parameters: []metadata{}, NextToken: next}
	for _, p := range part {
		v := p.Latest()
		out.Parameters = append(out.Parameters, metadata{
			Name: p.Name, ARN: s.arn(p.Name), Type: p.Type, KeyId: p.KeyID, LastModifiedDate: seconds(v.Modified), LastModifiedUser: v.User,
			Description: p.Description, AllowedPattern: p.Pattern, Version: v.Number, Tier: p.Tier, DataType: p.DataType, Policies: []struct{}{},
		})
	}
	return out, nil
}
