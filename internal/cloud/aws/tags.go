package aws

import (
	"maps"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
)

// tagSpecifications tags all that a launch makes, in an order that is the same
// every time.
func tagSpecifications(tags map[string]string) []types.TagSpecification {
	if len(tags) == 0 {
		return nil
	}
	list := tagList(tags)
	var out []types.TagSpecification
	for _, kind := range []types.ResourceType{types.ResourceTypeInstance, types.ResourceTypeVolume, types.ResourceTypeNetworkInterface} {
		out = append(out, types.TagSpecification{ResourceType: kind, Tags: list})
	}
	return out
}

func tagList(tags map[string]string) []types.Tag {
	list := make([]types.Tag, 0, len(tags))
	for _, key := range slices.Sorted(maps.Keys(tags)) {
		list = append(list, types.Tag{Key: aws.String(key), Value: aws.String(tags[key])})
	}
	return list
}

func tagsOf(list []types.Tag) map[string]string {
	tags := make(map[string]string, len(list))
	for _, t := range list {
		tags[aws.ToString(t.Key)] = aws.ToString(t.Value)
	}
	return tags
}

func tagFilters(tags map[string]string) []types.Filter {
	var filters []types.Filter
	for _, key := range slices.Sorted(maps.Keys(tags)) {
		filters = append(filters, exactly("tag:"+key, tags[key]))
	}
	return filters
}

// exactly is a filter for one value: what would make it a pattern is escaped
// (docs.aws.amazon.com/AWSEC2/latest/UserGuide/Using_Filtering.html).
func exactly(name, value string) types.Filter {
	value = strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`).Replace(value)
	return types.Filter{Name: aws.String(name), Values: []string{value}}
}
