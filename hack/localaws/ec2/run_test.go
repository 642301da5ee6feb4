package ec2_test

import (
	"encoding/base64"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"github.com/google/go-cmp/cmp"

	"kip.elotl.co/hack/localaws/boot"
	"kip.elotl.co/hack/localaws/faults"
)

// everything is a launch that uses every parameter the emulator knows.
func everything(c *cloud) func(*sdk.RunInstancesInput) {
	subnet := c.world.Catalog.Subnets[1]
	return func(in *sdk.RunInstancesInput) {
		in.ClientToken = aws.String("all-of-it")
		in.UserData = aws.String(base64.StdEncoding.EncodeToString([]byte("#cloud-config\n")))
		in.IamInstanceProfile = &types.IamInstanceProfileSpecification{Name: aws.String("cell")}
		in.NetworkInterfaces = []types.InstanceNetworkInterfaceSpecification{{
			DeviceIndex: aws.Int32(0), SubnetId: aws.String(subnet.ID), Groups: []string{c.world.Catalog.Groups[1].ID},
			SecondaryPrivateIpAddressCount: aws.Int32(1), AssociatePublicIpAddress: aws.Bool(true), DeleteOnTermination: aws.Bool(true),
		}}
		in.BlockDeviceMappings = []types.BlockDeviceMapping{{
			DeviceName: aws.String("/dev/xvda"),
			Ebs:        &types.EbsBlockDevice{VolumeSize: aws.Int32(12), VolumeType: types.VolumeTypeGp3, Encrypted: aws.Bool(true), DeleteOnTermination: aws.Bool(true)},
		}}
		in.MetadataOptions = &types.InstanceMetadataOptionsRequest{
			HttpTokens: types.HttpTokensStateRequired, HttpPutResponseHopLimit: aws.Int32(2), HttpEndpoint: types.InstanceMetadataEndpointStateEnabled,
		}
		in.InstanceMarketOptions = &types.InstanceMarketOptionsRequest{MarketType: types.MarketTypeSpot, SpotOptions: &types.SpotMarketOptions{MaxPrice: aws.String("0.1")}}
		in.CreditSpecification = &types.CreditSpecificationRequest{CpuCredits: aws.String("standard")}
		in.Placement = &types.Placement{AvailabilityZone: aws.String(subnet.Zone.Name)}
		in.InstanceInitiatedShutdownBehavior = types.ShutdownBehaviorTerminate
		in.TagSpecifications = []types.TagSpecification{
			{ResourceType: types.ResourceTypeInstance, Tags: []types.Tag{{Key: aws.String("a"), Value: aws.String("1 & <2>")}}},
			{ResourceType: types.ResourceTypeVolume, Tags: []types.Tag{{Key: aws.String("b"), Value: aws.String("")}}},
			{ResourceType: types.ResourceTypeNetworkInterface, Tags: []types.Tag{{Key: aws.String("c"), Value: aws.String("3")}}},
		}
	}
}

func TestLaunchWithEverything(t *testing.T) {
	c := newCloud(t)
	id := c.run(t, everything(c))[0]
	i := c.inState(t, id, types.InstanceStateNameRunning)
	subnet := c.world.Catalog.Subnets[1]

	type seen struct {
		Type, Zone, Subnet, Token, Profile, Lifecycle, Tokens string
		HopLimit                                              int32
		Groups, Addresses                                     []string
		Public                                                bool
		Tags                                                  map[string]string
	}
	got := seen{
		Type: string(i.InstanceType), Zone: *i.Placement.AvailabilityZone, Subnet: *i.SubnetId, Token: *i.ClientToken, Profile: *i.IamInstanceProfile.Arn,
		Lifecycle: string(i.InstanceLifecycle), Tokens: string(i.MetadataOptions.HttpTokens), HopLimit: *i.MetadataOptions.HttpPutResponseHopLimit,
		Groups: []string{*i.SecurityGroups[0].GroupName}, Public: i.PublicIpAddress != nil, Tags: tagMap(i.Tags),
	}
	for _, a := range i.NetworkInterfaces[0].PrivateIpAddresses {
		got.Addresses = append(got.Addresses, *a.PrivateIpAddress)
	}
	want := seen{
		Type: "t3.nano", Zone: subnet.Zone.Name, Subnet: subnet.ID, Token: "all-of-it", Profile: "arn:aws:iam::123456789012:instance-profile/cell",
		Lifecycle: "spot", Tokens: "required", HopLimit: 2, Groups: []string{"kip-extra"},
		Addresses: []string{subnet.Address(0).String(), subnet.Address(1).String()}, Public: true, Tags: map[string]string{"a": "1 & <2>"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("instance (-want +got):\n%s", diff)
	}
	if *i.PrivateIpAddress != want.Addresses[0] || *i.PrivateDnsName != "ip-10-9-0-68.ec2.internal" {
		t.Errorf("primary address %s, name %s", *i.PrivateIpAddress, *i.PrivateDnsName)
	}
	spec := c.backend.Specs()[0]
	if diff := cmp.Diff(boot.MetadataOptions{TokensRequired: true, HopLimit: 2}, spec.Metadata); diff != "" {
		t.Errorf("metadata options of the machine (-want +got):\n%s", diff)
	}
	if string(spec.UserData) != "#cloud-config\n" || spec.InstanceID != id || spec.VCPUs != 2 || spec.MemoryMiB != 512 || len(spec.PrivateIPs) != 2 {
		t.Errorf("spec of the machine: %+v", spec)
	}
}

func TestWhatComesWithALaunchIsTagged(t *testing.T) {
	c := newCloud(t)
	id := c.run(t, everything(c))[0]
	volumes, err := c.DescribeVolumes(t.Context(), &sdk.DescribeVolumesInput{Filters: []types.Filter{filter("attachment.instance-id", id)}})
	if err != nil {
		t.Fatal(err)
	}
	v := volumes.Volumes[0]
	if *v.Size != 12 || !*v.Encrypted || v.VolumeType != types.VolumeTypeGp3 || tagMap(v.Tags)["b"] != "" || len(v.Tags) != 1 {
		t.Errorf("volume %+v", v)
	}
	interfaces, err := c.DescribeNetworkInterfaces(t.Context(), &sdk.DescribeNetworkInterfacesInput{Filters: []types.Filter{filter("tag:c", "3")}})
	if err != nil {
		t.Fatal(err)
	}
	if len(interfaces.NetworkInterfaces) != 1 || *interfaces.NetworkInterfaces[0].Attachment.InstanceId != id {
		t.Errorf("interfaces %+v", interfaces.NetworkInterfaces)
	}
}

func tagMap(tags []types.Tag) map[string]string {
	out := map[string]string{}
	for _, t := range tags {
		out[*t.Key] = *t.Value
	}
	return out
}

func TestLaunchErrors(t *testing.T) {
	big := func(n int) *string { return aws.String(base64.StdEncoding.EncodeToString(make([]byte, n))) }
	nic := func(in *sdk.RunInstancesInput, edit func(*types.InstanceNetworkInterfaceSpecification)) {
		n := types.InstanceNetworkInterfaceSpecification{DeviceIndex: aws.Int32(0)}
		edit(&n)
		in.NetworkInterfaces = []types.InstanceNetworkInterfaceSpecification{n}
	}
	root := func(in *sdk.RunInstancesInput, ebs types.EbsBlockDevice) {
		in.BlockDeviceMappings = []types.BlockDeviceMapping{{DeviceName: aws.String("/dev/xvda"), Ebs: &ebs}}
	}
	tests := []struct {
		name string
		edit func(*sdk.RunInstancesInput)
		want string
	}{
		{"nothing wrong", func(*sdk.RunInstancesInput) {}, ""},
		{"unknown type", func(in *sdk.RunInstancesInput) { in.InstanceType = "t9.huge" }, "InvalidParameterValue"},
		{"no type", func(in *sdk.RunInstancesInput) { in.InstanceType = "" }, "MissingParameter"},
		{"no image", func(in *sdk.RunInstancesInput) { in.ImageId = nil }, "MissingParameter"},
		{"unknown image", func(in *sdk.RunInstancesInput) { in.ImageId = aws.String("ami-00000000") }, "InvalidAMIID.NotFound"},
		{"malformed image", func(in *sdk.RunInstancesInput) { in.ImageId = aws.String("debian") }, "InvalidAMIID.Malformed"},
		{"pending image", func(in *sdk.RunInstancesInput) { in.ImageId = aws.String("ami-0c0ffee0000000004") }, "InvalidAMIID.Unavailable"},
		{"architecture", func(in *sdk.RunInstancesInput) { in.ImageId = aws.String(armImage) }, "InvalidParameterValue"},
		{"unknown subnet", func(in *sdk.RunInstancesInput) { in.SubnetId = aws.String("subnet-0") }, "InvalidSubnetID.NotFound"},
		{"unknown group", func(in *sdk.RunInstancesInput) { in.SecurityGroupIds = []string{"sg-0"} }, "InvalidGroup.NotFound"},
		{"malformed group", func(in *sdk.RunInstancesInput) { in.SecurityGroupIds = []string{"default"} }, "InvalidGroupId.Malformed"},
		{"group by name", func(in *sdk.RunInstancesInput) { in.SecurityGroups = []string{"default"} }, ""},
		{"unknown group name", func(in *sdk.RunInstancesInput) { in.SecurityGroups = []string{"nobody"} }, "InvalidGroup.NotFound"},
		{"unknown zone", func(in *sdk.RunInstancesInput) {
			in.Placement = &types.Placement{AvailabilityZone: aws.String("us-east-1z")}
		}, "InvalidParameterValue"},
		{"zone without the type", func(in *sdk.RunInstancesInput) {
			in.InstanceType, in.Placement = "inf2.xlarge", &types.Placement{AvailabilityZone: aws.String("us-east-1c")}
		}, "Unsupported"},
		{"more at least than at most", func(in *sdk.RunInstancesInput) { in.MinCount = aws.Int32(2) }, "InvalidParameterValue"},
		{"none", func(in *sdk.RunInstancesInput) { in.MinCount = aws.Int32(0) }, "InvalidParameterValue"},
		{"too many for the subnet", count(60), "InsufficientFreeAddressesInSubnet"},
		{"user data just fits", func(in *sdk.RunInstancesInput) { in.UserData = big(16384) }, ""},
		{"user data too long", func(in *sdk.RunInstancesInput) { in.UserData = big(16385) }, "InvalidParameterValue"},
		{"user data not base64", func(in *sdk.RunInstancesInput) { in.UserData = aws.String("#cloud-config") }, "InvalidParameterValue"},
		{"root smaller than snapshot", func(in *sdk.RunInstancesInput) { root(in, types.EbsBlockDevice{VolumeSize: aws.Int32(3)}) }, "InvalidBlockDeviceMapping"},
		{"root too big", func(in *sdk.RunInstancesInput) { root(in, types.EbsBlockDevice{VolumeSize: aws.Int32(70000)}) }, "InvalidParameterValue"},
		{"unknown volume type", func(in *sdk.RunInstancesInput) { root(in, types.EbsBlockDevice{VolumeType: "gp9"}) }, "InvalidParameterValue"},
		{"second volume without size", func(in *sdk.RunInstancesInput) {
			in.BlockDeviceMappings = []types.BlockDeviceMapping{{DeviceName: aws.String("/dev/sdb"), Ebs: &types.EbsBlockDevice{}}}
		}, "MissingParameter"},
		{"interface and subnet", func(in *sdk.RunInstancesInput) {
			in.SubnetId = aws.String("subnet-0")
			nic(in, func(*types.InstanceNetworkInterfaceSpecification) {})
		}, "InvalidParameterCombination"},
		{"interface without index", func(in *sdk.RunInstancesInput) {
			nic(in, func(n *types.InstanceNetworkInterfaceSpecification) {
				n.DeviceIndex, n.AssociatePublicIpAddress = nil, aws.Bool(false)
			})
		}, "MissingParameter"},
		{"more addresses than the type has", func(in *sdk.RunInstancesInput) {
			nic(in, func(n *types.InstanceNetworkInterfaceSpecification) { n.SecondaryPrivateIpAddressCount = aws.Int32(2) })
		}, "PrivateIpAddressLimitExceeded"},
		{"hop limit", func(in *sdk.RunInstancesInput) {
			in.MetadataOptions = &types.InstanceMetadataOptionsRequest{HttpPutResponseHopLimit: aws.Int32(65)}
		}, "InvalidParameterValue"},
		{"credits for a type without", func(in *sdk.RunInstancesInput) {
			in.InstanceType, in.CreditSpecification = "m5.large", &types.CreditSpecificationRequest{CpuCredits: aws.String("standard")}
		}, "InvalidParameterCombination"},
		{"profile twice", func(in *sdk.RunInstancesInput) {
			in.IamInstanceProfile = &types.IamInstanceProfileSpecification{Name: aws.String("a"), Arn: aws.String("arn:aws:iam::123456789012:instance-profile/a")}
		}, "InvalidParameterCombination"},
		{"profile that is none", func(in *sdk.RunInstancesInput) {
			in.IamInstanceProfile = &types.IamInstanceProfileSpecification{Arn: aws.String("arn:aws:iam::123456789012:role/a")}
		}, "InvalidParameterValue"},
		{"key pair", func(in *sdk.RunInstancesInput) { in.KeyName = aws.String("mine") }, "InvalidKeyPair.NotFound"},
		{"reserved tag", func(in *sdk.RunInstancesInput) {
			in.TagSpecifications = []types.TagSpecification{{ResourceType: "instance", Tags: []types.Tag{{Key: aws.String("aws:x"), Value: aws.String("")}}}}
		}, "InvalidParameterValue"},
		{"untaggable", func(in *sdk.RunInstancesInput) {
			in.TagSpecifications = []types.TagSpecification{{ResourceType: "vpc"}}
		}, "InvalidParameterValue"},
		{"token too long", func(in *sdk.RunInstancesInput) { in.ClientToken = aws.String(strings.Repeat("x", 65)) }, "InvalidParameterValue"},
		{"parameter nobody reads", func(in *sdk.RunInstancesInput) {
			in.HibernationOptions = &types.HibernationOptionsRequest{Configured: aws.Bool(true)}
		}, "UnknownParameter"},
		{"dry run", func(in *sdk.RunInstancesInput) { in.DryRun = aws.Bool(true) }, "DryRunOperation"},
		{"dry run of what fails", func(in *sdk.RunInstancesInput) { in.DryRun, in.SubnetId = aws.Bool(true), aws.String("subnet-0") }, "InvalidSubnetID.NotFound"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := newCloud(t)
			_, err := c.RunInstances(t.Context(), launch(tt.edit))
			wantCode(t, err, tt.want)
			if n := len(c.list(t)); tt.want != "" && n != 0 {
				t.Errorf("%d instances after an error", n)
			}
			wantJournal := tt.want
			if e := c.journal.Since(0, "RunInstances"); len(e) != 1 || e[0].Code != wantJournal {
				t.Errorf("journal %+v", e)
			}
		})
	}
}

func TestLaunchesAtLeastAndAtMost(t *testing.T) {
	c := newCloud(t)
	in := launch(func(in *sdk.RunInstancesInput) {
		in.MaxCount = aws.Int32(100)
		in.SubnetId = aws.String(c.world.Catalog.Subnets[0].ID)
	})
	out, err := c.RunInstances(t.Context(), in)
	if err != nil {
		t.Fatal(err)
	}
	addresses := map[string]bool{}
	for _, i := range out.Instances {
		addresses[*i.PrivateIpAddress] = true
	}
	if len(out.Instances) != 59 || len(addresses) != 59 || addresses["10.9.0.1"] || addresses["10.9.0.3"] || addresses["10.9.0.63"] {
		t.Errorf("%d instances with %d addresses in a /26", len(out.Instances), len(addresses))
	}
	subnets, err := c.DescribeSubnets(t.Context(), &sdk.DescribeSubnetsInput{SubnetIds: []string{*in.SubnetId}})
	if err != nil {
		t.Fatal(err)
	}
	if free := *subnets.Subnets[0].AvailableIpAddressCount; free != 0 {
		t.Errorf("%d addresses left", free)
	}
}

func TestCapacityAndQuota(t *testing.T) {
	c := newCloud(t)
	inZone := func(i int) func(*sdk.RunInstancesInput) {
		return func(in *sdk.RunInstancesInput) { in.SubnetId = aws.String(c.world.Catalog.Subnets[i].ID) }
	}
	spot := func(in *sdk.RunInstancesInput) {
		in.InstanceMarketOptions = &types.InstanceMarketOptionsRequest{MarketType: types.MarketTypeSpot}
	}
	plan := faults.Plan{
		Capacity:   []faults.Dry{{InstanceType: "t3.*", Zone: "us-east-1a", Market: "on-demand"}},
		VCPULimits: map[string]int{"on-demand": 4, "spot": 2},
	}
	if err := c.faults.Replace(plan); err != nil {
		t.Fatal(err)
	}
	_, err := c.RunInstances(t.Context(), launch(inZone(0)))
	wantCode(t, err, "InsufficientInstanceCapacity")
	c.run(t, inZone(0), spot)
	_, err = c.RunInstances(t.Context(), launch(inZone(1), spot))
	wantCode(t, err, "MaxSpotInstanceCountExceeded")

	// Without a subnet the launch goes where there is capacity.
	if i := c.one(t, c.run(t)[0]); *i.Placement.AvailabilityZone != "us-east-1b" {
		t.Errorf("launched in the dry zone: %s", *i.Placement.AvailabilityZone)
	}
	id := c.run(t, inZone(1))[0]
	_, err = c.RunInstances(t.Context(), launch(inZone(1)))
	wantCode(t, err, "VcpuLimitExceeded")
	c.terminate(t, id)
	c.inState(t, id, types.InstanceStateNameTerminated)
	c.run(t, inZone(1))
}

func TestClientToken(t *testing.T) {
	c := newCloud(t)
	first := c.run(t, everything(c))
	if again := c.run(t, everything(c)); !slices.Equal(first, again) {
		t.Errorf("the same launch gave %v, then %v", first, again)
	}
	_, err := c.RunInstances(t.Context(), launch(everything(c), func(in *sdk.RunInstancesInput) { in.InstanceType = types.InstanceTypeT3Micro }))
	wantCode(t, err, "IdempotentParameterMismatch")
	var created int
	for _, e := range c.journal.Since(0, "RunInstances") {
		created += len(e.Created)
	}
	if created != 1 {
		t.Errorf("the journal counts %d launches that took effect", created)
	}
}

func TestParallelLaunches(t *testing.T) {
	c := newCloud(t)
	release := c.backend.Hold()
	defer release()
	var mu sync.Mutex
	ids := map[string]bool{}
	parallel := func(n int, token func(i int) string) {
		t.Helper()
		var wg sync.WaitGroup
		for i := range n {
			wg.Go(func() {
				out, err := c.RunInstances(t.Context(), launch(func(in *sdk.RunInstancesInput) { in.ClientToken = aws.String(token(i)) }))
				if err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				defer mu.Unlock()
				ids[*out.Instances[0].InstanceId] = true
			})
		}
		wg.Wait()
	}
	parallel(20, func(int) string { return "one" })
	if len(ids) != 1 {
		t.Errorf("20 launches with one token made %d instances", len(ids))
	}
	// No machine starts yet: a boot holds up nothing.
	parallel(100, func(i int) string { return fmt.Sprint(i) })
	if len(ids) != 101 || len(c.list(t, filter("instance-state-name", "pending"))) != 101 {
		t.Errorf("%d instances", len(ids))
	}
	release()
	eventually(t, func() bool { return len(c.list(t, filter("instance-state-name", "running"))) == 101 }, "101 running")
}
