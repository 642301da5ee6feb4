package ec2_test

import (
	"encoding/base64"
	"slices"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"github.com/google/go-cmp/cmp"
)

func TestFilters(t *testing.T) {
	c := newCloud(t)
	tagged := func(v string) func(*sdk.RunInstancesInput) {
		return func(in *sdk.RunInstancesInput) {
			in.TagSpecifications = []types.TagSpecification{{ResourceType: "instance", Tags: []types.Tag{{Key: aws.String("cell"), Value: aws.String(v)}}}}
		}
	}
	a := c.run(t, tagged("red-1"), func(in *sdk.RunInstancesInput) { in.ClientToken = aws.String("token-a") })[0]
	b := c.run(t, tagged("red-2"), func(in *sdk.RunInstancesInput) { in.SubnetId = aws.String(c.world.Catalog.Subnets[2].ID) })[0]
	d := c.run(t, func(in *sdk.RunInstancesInput) {
		in.InstanceType, in.ImageId = types.InstanceTypeM7gMedium, aws.String(armImage)
	})[0]
	gone := c.run(t, tagged("red*"))[0]
	c.terminate(t, gone)
	c.inState(t, gone, types.InstanceStateNameTerminated)
	for _, id := range []string{a, b, d} {
		c.inState(t, id, types.InstanceStateNameRunning)
	}
	tests := []struct {
		name    string
		filters []types.Filter
		want    []string
	}{
		{"none", nil, []string{a, b, d, gone}},
		{"state", []types.Filter{filter("instance-state-name", "running", "pending")}, []string{a, b, d}},
		{"state code", []types.Filter{filter("instance-state-code", "48")}, []string{gone}},
		{"tag", []types.Filter{filter("tag:cell", "red-1")}, []string{a}},
		{"tag wildcard", []types.Filter{filter("tag:cell", "red-?")}, []string{a, b}},
		{"escaped wildcard", []types.Filter{filter("tag:cell", `red\*`)}, []string{gone}},
		{"case counts", []types.Filter{filter("tag:cell", "RED*")}, []string{}},
		{"tag key", []types.Filter{filter("tag-key", "cell")}, []string{a, b, gone}},
		{"client token", []types.Filter{filter("client-token", "token-a")}, []string{a}},
		{"ids", []types.Filter{filter("instance-id", b, d)}, []string{b, d}},
		{"subnet", []types.Filter{filter("subnet-id", c.world.Catalog.Subnets[2].ID)}, []string{b}},
		{"vpc", []types.Filter{filter("vpc-id", "vpc-*")}, []string{a, b, d}},
		{"zone and type", []types.Filter{filter("availability-zone", "us-east-1a"), filter("instance-type", "m7g.*")}, []string{d}},
		{"address", []types.Filter{filter("private-ip-address", *c.one(t, b).PrivateIpAddress)}, []string{b}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if diff := cmp.Diff(tt.want, c.list(t, tt.filters...)); diff != "" {
				t.Errorf("instances (-want +got):\n%s", diff)
			}
		})
	}
	for _, bad := range []types.Filter{filter("colour", "red"), filter("instance-state-name"), {Values: []string{"x"}}} {
		_, err := c.DescribeInstances(t.Context(), &sdk.DescribeInstancesInput{Filters: []types.Filter{bad}})
		if err == nil {
			t.Errorf("filter %+v accepted", bad)
		}
	}
}

func TestPaging(t *testing.T) {
	c := newCloud(t)
	ids := slices.Concat(c.run(t, count(4)), c.run(t, count(9)))
	var got, sizes = []string{}, []int{}
	pages := sdk.NewDescribeInstancesPaginator(c, &sdk.DescribeInstancesInput{MaxResults: aws.Int32(5)})
	for pages.HasMorePages() {
		out, err := pages.NextPage(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		sizes = append(sizes, len(idsOf(out)))
		got = append(got, idsOf(out)...)
	}
	if diff := cmp.Diff(ids, got); diff != "" {
		t.Errorf("instances over pages (-want +got):\n%s", diff)
	}
	if !slices.Equal(sizes, []int{5, 5, 3}) {
		t.Errorf("page sizes %v", sizes)
	}
	for _, bad := range []struct {
		in   sdk.DescribeInstancesInput
		code string
	}{
		{sdk.DescribeInstancesInput{MaxResults: aws.Int32(4)}, "InvalidParameterValue"},
		{sdk.DescribeInstancesInput{MaxResults: aws.Int32(1001)}, "InvalidParameterValue"},
		{sdk.DescribeInstancesInput{MaxResults: aws.Int32(5), InstanceIds: ids[:1]}, "InvalidParameterCombination"},
		{sdk.DescribeInstancesInput{NextToken: aws.String("!")}, "InvalidParameterValue"},
		{sdk.DescribeInstancesInput{NextToken: aws.String("aGVsbG8")}, "InvalidParameterValue"},
		{sdk.DescribeInstancesInput{DryRun: aws.Bool(true)}, "DryRunOperation"},
	} {
		_, err := c.DescribeInstances(t.Context(), &bad.in)
		wantCode(t, err, bad.code)
	}
}

func TestStatusAttributeConsole(t *testing.T) {
	c := newCloud(t)
	id := c.run(t, everything(c))[0]
	c.inState(t, id, types.InstanceStateNameRunning)
	status, err := c.DescribeInstanceStatus(t.Context(), &sdk.DescribeInstanceStatusInput{InstanceIds: []string{id}})
	if err != nil {
		t.Fatal(err)
	}
	if s := status.InstanceStatuses; len(s) != 1 || s[0].InstanceStatus.Status != types.SummaryStatusOk {
		t.Errorf("status %+v", s)
	}
	attribute := func(name types.InstanceAttributeName) (*sdk.DescribeInstanceAttributeOutput, error) {
		return c.DescribeInstanceAttribute(t.Context(), &sdk.DescribeInstanceAttributeInput{InstanceId: aws.String(id), Attribute: name})
	}
	data, err := attribute(types.InstanceAttributeNameUserData)
	if err != nil {
		t.Fatal(err)
	}
	if raw, err := base64.StdEncoding.DecodeString(*data.UserData.Value); err != nil || string(raw) != "#cloud-config\n" {
		t.Errorf("user data %q, %v", raw, err)
	}
	behavior, err := attribute(types.InstanceAttributeNameInstanceInitiatedShutdownBehavior)
	if err != nil || *behavior.InstanceInitiatedShutdownBehavior.Value != "terminate" {
		t.Errorf("shutdown behaviour %+v, %v", behavior, err)
	}
	for _, name := range types.InstanceAttributeName("").Values() {
		switch _, err := attribute(name); name {
		case "kernel", "ramdisk", "productCodes", "sriovNetSupport", "enclaveOptions", "disableApiStop":
			wantCode(t, err, "InvalidParameterValue")
		default:
			wantCode(t, err, "")
		}
	}
	console, err := c.GetConsoleOutput(t.Context(), &sdk.GetConsoleOutputInput{InstanceId: aws.String(id)})
	if err != nil {
		t.Fatal(err)
	}
	if *console.Output != base64.StdEncoding.EncodeToString([]byte("booted\n")) {
		t.Errorf("console %q", *console.Output)
	}
	c.terminate(t, id)
	c.inState(t, id, types.InstanceStateNameTerminated)
	if status, err = c.DescribeInstanceStatus(t.Context(), &sdk.DescribeInstanceStatusInput{}); err != nil || len(status.InstanceStatuses) != 0 {
		t.Errorf("status of what is gone: %+v, %v", status, err)
	}
	all := &sdk.DescribeInstanceStatusInput{IncludeAllInstances: aws.Bool(true)}
	if status, err = c.DescribeInstanceStatus(t.Context(), all); err != nil || len(status.InstanceStatuses) != 1 {
		t.Errorf("status of all: %+v, %v", status, err)
	}
}

func TestTags(t *testing.T) {
	c := newCloud(t)
	id := c.run(t, everything(c))[0]
	i := c.inState(t, id, types.InstanceStateNameRunning)
	subnet, volume := c.world.Catalog.Subnets[0].ID, *i.BlockDeviceMappings[0].Ebs.VolumeId
	resources := []string{id, subnet, volume, *i.NetworkInterfaces[0].NetworkInterfaceId, x86Image}
	tags := []types.Tag{{Key: aws.String("team"), Value: aws.String("x")}, {Key: aws.String("a"), Value: aws.String("new")}}
	if _, err := c.CreateTags(t.Context(), &sdk.CreateTagsInput{Resources: resources, Tags: tags}); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(map[string]string{"a": "new", "team": "x"}, tagMap(c.one(t, id).Tags)); diff != "" {
		t.Errorf("tags (-want +got):\n%s", diff)
	}
	found, err := c.DescribeSubnets(t.Context(), &sdk.DescribeSubnetsInput{Filters: []types.Filter{filter("tag:team", "x")}})
	if err != nil || len(found.Subnets) != 1 || *found.Subnets[0].SubnetId != subnet {
		t.Errorf("subnets by tag: %+v, %v", found, err)
	}
	volumes, err := c.DescribeVolumes(t.Context(), &sdk.DescribeVolumesInput{VolumeIds: []string{volume}})
	if err != nil || len(volumes.Volumes[0].Tags) != 3 {
		t.Errorf("volume: %+v, %v", volumes, err)
	}
	drop := []types.Tag{{Key: aws.String("team")}, {Key: aws.String("a"), Value: aws.String("other")}}
	if _, err := c.DeleteTags(t.Context(), &sdk.DeleteTagsInput{Resources: []string{id}, Tags: drop}); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(map[string]string{"a": "new"}, tagMap(c.one(t, id).Tags)); diff != "" {
		t.Errorf("tags after deletion (-want +got):\n%s", diff)
	}
	for resource, code := range map[string]string{
		"i-00000000000000000": "InvalidInstanceID.NotFound", "subnet-1": "InvalidSubnetID.NotFound", "vol-1": "InvalidVolume.NotFound",
		"eni-1": "InvalidNetworkInterfaceID.NotFound", "thing": "InvalidID",
	} {
		_, err := c.CreateTags(t.Context(), &sdk.CreateTagsInput{Resources: []string{id, resource}, Tags: []types.Tag{{Key: aws.String("no"), Value: aws.String("")}}})
		wantCode(t, err, code)
	}
	if _, there := tagMap(c.one(t, id).Tags)["no"]; there {
		t.Error("a refused call tagged something")
	}
}
