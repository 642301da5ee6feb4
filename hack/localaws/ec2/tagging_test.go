package ec2_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"github.com/google/go-cmp/cmp"
)

// tagsOf makes tags of keys and values in turn.
func tagsOf(pairs ...string) []types.Tag {
	var out []types.Tag
	for i := 0; i < len(pairs); i += 2 {
		out = append(out, types.Tag{Key: aws.String(pairs[i]), Value: aws.String(pairs[i+1])})
	}
	return out
}

func tagged(kind types.ResourceType, pairs ...string) func(*sdk.RunInstancesInput) {
	return func(in *sdk.RunInstancesInput) {
		in.TagSpecifications = append(in.TagSpecifications, types.TagSpecification{ResourceType: kind, Tags: tagsOf(pairs...)})
	}
}

func TestDeleteTags(t *testing.T) {
	tests := map[string]struct {
		drop []types.Tag
		want map[string]string
	}{
		"by key":                  {[]types.Tag{{Key: aws.String("a")}}, map[string]string{"empty": "", "b": "2"}},
		"by key and value":        {tagsOf("a", "1"), map[string]string{"empty": "", "b": "2"}},
		"by another value":        {tagsOf("a", "2"), map[string]string{"a": "1", "empty": "", "b": "2"}},
		"by the empty value":      {tagsOf("a", "", "empty", ""), map[string]string{"a": "1", "b": "2"}},
		"by a key that it lacks":  {[]types.Tag{{Key: aws.String("c")}}, map[string]string{"a": "1", "empty": "", "b": "2"}},
		"by the case of the key":  {[]types.Tag{{Key: aws.String("A")}}, map[string]string{"a": "1", "empty": "", "b": "2"}},
		"all, when none is named": {nil, map[string]string{}},
	}
	c := newCloud(t)
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			id := c.run(t, tagged(types.ResourceTypeInstance, "a", "1", "b", "2", "empty", ""))[0]
			if _, err := c.DeleteTags(t.Context(), &sdk.DeleteTagsInput{Resources: []string{id}, Tags: test.drop}); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.want, tagMap(c.one(t, id).Tags)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestTagLimits(t *testing.T) {
	many := func(n int) []types.Tag {
		var out []types.Tag
		for i := range n {
			out = append(out, tagsOf(fmt.Sprintf("key-%02d", i), "x")...)
		}
		return out
	}
	tests := map[string]struct {
		tags []types.Tag
		want string
	}{
		"fifty":                      {many(50), ""},
		"fifty-one":                  {many(51), "TagLimitExceeded"},
		"longest":                    {tagsOf(strings.Repeat("é", 127), strings.Repeat("é", 256)), ""},
		"key too long":               {tagsOf(strings.Repeat("k", 128), ""), "InvalidParameterValue"},
		"value too long":             {tagsOf("k", strings.Repeat("v", 257)), "InvalidParameterValue"},
		"reserved":                   {tagsOf("aws:cloudformation:stack-name", "x"), "InvalidParameterValue"},
		"reserved in other case":     {tagsOf("AWS:x", "x"), "InvalidParameterValue"},
		"twice":                      {tagsOf("k", "1", "k", "2"), "InvalidParameterValue"},
		"only beginning as reserved": {tagsOf("awsome", "x"), ""},
	}
	c := newCloud(t)
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			// At launch and later alike.
			_, err := c.RunInstances(t.Context(), launch(func(in *sdk.RunInstancesInput) {
				in.TagSpecifications = []types.TagSpecification{{ResourceType: types.ResourceTypeInstance, Tags: test.tags}}
			}))
			wantCode(t, err, test.want)
			id := c.run(t)[0]
			_, err = c.CreateTags(t.Context(), &sdk.CreateTagsInput{Resources: []string{id}, Tags: test.tags})
			wantCode(t, err, test.want)
			if n := len(c.one(t, id).Tags); test.want != "" && n != 0 || test.want == "" && n != len(test.tags) {
				t.Errorf("%d tags", n)
			}
		})
	}
}

// The limit counts what is there already; writing over a tag adds none.
func TestTagLimitCountsWhatIsThere(t *testing.T) {
	c := newCloud(t)
	id := c.run(t)[0]
	for i := range 50 {
		if _, err := c.CreateTags(t.Context(), &sdk.CreateTagsInput{Resources: []string{id}, Tags: tagsOf(fmt.Sprint("key-", i), "x")}); err != nil {
			t.Fatal(err)
		}
	}
	create := func(tags []types.Tag) error {
		_, err := c.CreateTags(t.Context(), &sdk.CreateTagsInput{Resources: []string{c.world.Catalog.VPC.ID, id}, Tags: tags})
		return err
	}
	wantCode(t, create(tagsOf("key-7", "y")), "")
	wantCode(t, create(tagsOf("key-7", "z", "key-50", "x")), "TagLimitExceeded")
	if got := tagMap(c.one(t, id).Tags)["key-7"]; got != "y" {
		t.Errorf("a refused call left %q", got)
	}
	if got := c.world.TagsOf(c.world.Catalog.VPC.ID)["key-7"]; got != "y" {
		t.Errorf("a refused call left %q on the VPC", got)
	}
}

func TestTagsOfALaunchGoWhereTheyAreToldTo(t *testing.T) {
	c := newCloud(t)
	ids := c.run(t, count(2), tagged(types.ResourceTypeInstance, "of", "instance"), tagged(types.ResourceTypeVolume, "of", "volume"),
		tagged(types.ResourceTypeNetworkInterface, "of", "interface"))
	for _, id := range ids {
		i := c.one(t, id)
		volumes, err := c.DescribeVolumes(t.Context(), &sdk.DescribeVolumesInput{VolumeIds: []string{*i.BlockDeviceMappings[0].Ebs.VolumeId}})
		if err != nil {
			t.Fatal(err)
		}
		interfaces, err := c.DescribeNetworkInterfaces(t.Context(), &sdk.DescribeNetworkInterfacesInput{NetworkInterfaceIds: []string{*i.NetworkInterfaces[0].NetworkInterfaceId}})
		if err != nil {
			t.Fatal(err)
		}
		got := []string{tagMap(i.Tags)["of"], tagMap(volumes.Volumes[0].Tags)["of"], tagMap(interfaces.NetworkInterfaces[0].TagSet)["of"]}
		if diff := cmp.Diff([]string{"instance", "volume", "interface"}, got); diff != "" {
			t.Error(diff)
		}
	}
	_, err := c.RunInstances(t.Context(), launch(tagged(types.ResourceTypeInstance, "a", "1"), tagged(types.ResourceTypeInstance, "b", "2")))
	wantCode(t, err, "InvalidParameterValue")
}

// Instances of one launch share nothing that a later call changes.
func TestTagsOfOneAreNotThoseOfAnother(t *testing.T) {
	c := newCloud(t)
	ids := c.run(t, count(2), tagged(types.ResourceTypeInstance, "a", "1"))
	if _, err := c.CreateTags(t.Context(), &sdk.CreateTagsInput{Resources: ids[:1], Tags: tagsOf("a", "2", "b", "3")}); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(map[string]string{"a": "1"}, tagMap(c.one(t, ids[1]).Tags)); diff != "" {
		t.Error(diff)
	}
}
