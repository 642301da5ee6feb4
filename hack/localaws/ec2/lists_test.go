package ec2_test

import (
	"context"
	"net/netip"
	"slices"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"github.com/google/go-cmp/cmp"
)

// query is what every call that lists things can be asked.
type query struct {
	ids     []string
	filters []types.Filter
	max     *int32
	token   *string
	dry     *bool
}

// lister is one such call; ask gives the ids of what it lists. A new call that
// lists gets its line in listers, and with it every test of this file.
type lister struct {
	ask         func(ctx context.Context, c *cloud, q query) (ids []string, next *string, err error)
	least, most int32
	// idsOrMax calls refuse to be given ids and a page size at once.
	idsOrMax bool
	// unknown is the code for unknownID, an id that nothing has.
	unknownID, unknown string
}

func idsFrom[T any](items []T, id func(T) *string) []string {
	var out []string
	for _, i := range items {
		out = append(out, *id(i))
	}
	return out
}

func listers() map[string]lister {
	return map[string]lister{
		"DescribeInstances": {func(ctx context.Context, c *cloud, q query) ([]string, *string, error) {
			out, err := c.DescribeInstances(ctx, &sdk.DescribeInstancesInput{InstanceIds: q.ids, Filters: q.filters, MaxResults: q.max, NextToken: q.token, DryRun: q.dry})
			if err != nil {
				return nil, nil, err
			}
			return idsOf(out), out.NextToken, nil
		}, 5, 1000, true, "i-00000000", "InvalidInstanceID.NotFound"},
		"DescribeInstanceStatus": {func(ctx context.Context, c *cloud, q query) ([]string, *string, error) {
			out, err := c.DescribeInstanceStatus(ctx, &sdk.DescribeInstanceStatusInput{InstanceIds: q.ids, Filters: q.filters, MaxResults: q.max, NextToken: q.token, DryRun: q.dry, IncludeAllInstances: aws.Bool(true)})
			if err != nil {
				return nil, nil, err
			}
			return idsFrom(out.InstanceStatuses, func(i types.InstanceStatus) *string { return i.InstanceId }), out.NextToken, nil
		}, 5, 1000, true, "i-00000000", "InvalidInstanceID.NotFound"},
		"DescribeVolumes": {func(ctx context.Context, c *cloud, q query) ([]string, *string, error) {
			out, err := c.DescribeVolumes(ctx, &sdk.DescribeVolumesInput{VolumeIds: q.ids, Filters: q.filters, MaxResults: q.max, NextToken: q.token, DryRun: q.dry})
			if err != nil {
				return nil, nil, err
			}
			return idsFrom(out.Volumes, func(i types.Volume) *string { return i.VolumeId }), out.NextToken, nil
		}, 5, 1000, false, "vol-00000000", "InvalidVolume.NotFound"},
		"DescribeNetworkInterfaces": {func(ctx context.Context, c *cloud, q query) ([]string, *string, error) {
			out, err := c.DescribeNetworkInterfaces(ctx, &sdk.DescribeNetworkInterfacesInput{NetworkInterfaceIds: q.ids, Filters: q.filters, MaxResults: q.max, NextToken: q.token, DryRun: q.dry})
			if err != nil {
				return nil, nil, err
			}
			return idsFrom(out.NetworkInterfaces, func(i types.NetworkInterface) *string { return i.NetworkInterfaceId }), out.NextToken, nil
		}, 5, 1000, true, "eni-00000000", "InvalidNetworkInterfaceID.NotFound"},
		"DescribeSubnets": {func(ctx context.Context, c *cloud, q query) ([]string, *string, error) {
			out, err := c.DescribeSubnets(ctx, &sdk.DescribeSubnetsInput{SubnetIds: q.ids, Filters: q.filters, MaxResults: q.max, NextToken: q.token, DryRun: q.dry})
			if err != nil {
				return nil, nil, err
			}
			return idsFrom(out.Subnets, func(i types.Subnet) *string { return i.SubnetId }), out.NextToken, nil
		}, 5, 1000, false, "subnet-00000000", "InvalidSubnetID.NotFound"},
		"DescribeSecurityGroups": {func(ctx context.Context, c *cloud, q query) ([]string, *string, error) {
			out, err := c.DescribeSecurityGroups(ctx, &sdk.DescribeSecurityGroupsInput{GroupIds: q.ids, Filters: q.filters, MaxResults: q.max, NextToken: q.token, DryRun: q.dry})
			if err != nil {
				return nil, nil, err
			}
			return idsFrom(out.SecurityGroups, func(i types.SecurityGroup) *string { return i.GroupId }), out.NextToken, nil
		}, 5, 1000, false, "sg-00000000", "InvalidGroup.NotFound"},
		"DescribeRouteTables": {func(ctx context.Context, c *cloud, q query) ([]string, *string, error) {
			out, err := c.DescribeRouteTables(ctx, &sdk.DescribeRouteTablesInput{RouteTableIds: q.ids, Filters: q.filters, MaxResults: q.max, NextToken: q.token, DryRun: q.dry})
			if err != nil {
				return nil, nil, err
			}
			return idsFrom(out.RouteTables, func(i types.RouteTable) *string { return i.RouteTableId }), out.NextToken, nil
		}, 5, 100, false, "rtb-00000000", "InvalidRouteTableID.NotFound"},
		"DescribeImages": {func(ctx context.Context, c *cloud, q query) ([]string, *string, error) {
			out, err := c.DescribeImages(ctx, &sdk.DescribeImagesInput{ImageIds: q.ids, Filters: q.filters, MaxResults: q.max, NextToken: q.token, DryRun: q.dry})
			if err != nil {
				return nil, nil, err
			}
			return idsFrom(out.Images, func(i types.Image) *string { return i.ImageId }), out.NextToken, nil
		}, 1, 1000, true, "ami-00000000", "InvalidAMIID.NotFound"},
	}
}

// fleet is a cloud with instances enough for three pages.
func fleet(t *testing.T) *cloud {
	t.Helper()
	c := newCloud(t)
	c.run(t, count(7))
	c.run(t, count(5), inSubnet(c, 1))
	return c
}

func TestListsComeInPages(t *testing.T) {
	c := fleet(t)
	for name, l := range listers() {
		t.Run(name, func(t *testing.T) {
			all, next, err := l.ask(t.Context(), c, query{})
			if err != nil || next != nil {
				t.Fatalf("unasked: next %v, %v", next, err)
			}
			var got []string
			q := query{max: aws.Int32(max(5, l.least))}
			for {
				part, next, err := l.ask(t.Context(), c, q)
				if err != nil || len(part) > int(*q.max) {
					t.Fatalf("%d items, %v", len(part), err)
				}
				got = append(got, part...)
				if q.token = next; next == nil {
					break
				}
			}
			if diff := cmp.Diff(all, got); diff != "" {
				t.Errorf("pages are not the list (-list +pages):\n%s", diff)
			}
		})
	}
}

func TestListsRefuse(t *testing.T) {
	c := fleet(t)
	for name, l := range listers() {
		t.Run(name, func(t *testing.T) {
			all, _, err := l.ask(t.Context(), c, query{})
			if err != nil {
				t.Fatal(err)
			}
			both := ""
			if l.idsOrMax {
				both = "InvalidParameterCombination"
			}
			many := slices.Repeat([]string{"x"}, 201)
			for what, test := range map[string]struct {
				q    query
				code string
			}{
				"least":             {query{max: &l.least}, ""},
				"less":              {query{max: aws.Int32(l.least - 1)}, "InvalidParameterValue"},
				"most":              {query{max: &l.most}, ""},
				"more":              {query{max: aws.Int32(l.most + 1)}, "InvalidParameterValue"},
				"token of nobody":   {query{token: aws.String("bm90IG91cnM")}, "InvalidParameterValue"},
				"ids and page size": {query{ids: all[:1], max: aws.Int32(5)}, both},
				"unknown id":        {query{ids: []string{all[0], l.unknownID}}, l.unknown},
				"unknown filter":    {query{filters: []types.Filter{filter("colour", "red")}}, "InvalidParameterValue"},
				"case of a filter":  {query{filters: []types.Filter{filter("Availability-Zone", "*")}}, "InvalidParameterValue"},
				"filter of nothing": {query{filters: []types.Filter{filter("owner-id")}}, "InvalidParameterValue"},
				"filter of 201":     {query{filters: []types.Filter{filter("owner-id", many...)}}, "InvalidParameterValue"},
				"filter no name":    {query{filters: []types.Filter{{Values: []string{"x"}}}}, "InvalidParameterValue"},
				"dry run":           {query{dry: aws.Bool(true)}, "DryRunOperation"},
			} {
				t.Run(what, func(t *testing.T) {
					_, _, err := l.ask(t.Context(), c, test.q)
					wantCode(t, err, test.code)
				})
			}
		})
	}
}

// What a call shows of a thing finds it by the filter of that name, and
// another value does not.
func TestFiltersFindWhatIsShown(t *testing.T) {
	c := newCloud(t)
	id := c.run(t, everything(c))[0]
	i := c.inState(t, id, types.InstanceStateNameRunning)
	nic, volume := i.NetworkInterfaces[0], *i.BlockDeviceMappings[0].Ebs.VolumeId
	subnet, zone := c.world.Catalog.Subnets[1], c.world.Catalog.Zones[1]
	table := c.world.Catalog.RouteTables[1]
	for _, cidr := range []string{"192.0.2.0/24", "2001:db8::/64"} {
		if err := c.world.CreateRoute(table.ID, netip.MustParsePrefix(cidr), id); err != nil {
			t.Fatal(err)
		}
	}
	if err := c.world.SetTags([]string{table.ID}, map[string]string{"r": "s"}); err != nil {
		t.Fatal(err)
	}
	for call, test := range map[string]struct {
		id     string
		values map[string]string
	}{
		"DescribeInstances": {id, map[string]string{
			"instance-id": id, "instance-state-name": "running", "instance-state-code": "16", "client-token": *i.ClientToken, "image-id": *i.ImageId,
			"instance-type": string(i.InstanceType), "architecture": string(i.Architecture), "availability-zone": zone.Name,
			"iam-instance-profile.arn": *i.IamInstanceProfile.Arn, "launch-time": i.LaunchTime.Format("2006-01-02T15:04:05.000Z"),
			"spot-instance-request-id": *i.SpotInstanceRequestId, "metadata-options.http-tokens": "required", "owner-id": "123456789012",
			"virtualization-type": "hvm", "root-device-type": "ebs", "tenancy": "default", "instance-lifecycle": "spot", "subnet-id": subnet.ID,
			"vpc-id": *i.VpcId, "private-ip-address": *i.PrivateIpAddress, "private-dns-name": *i.PrivateDnsName, "ip-address": *i.PublicIpAddress,
			"instance.group-id": *i.SecurityGroups[0].GroupId, "network-interface.subnet-id": subnet.ID,
			"network-interface.addresses.private-ip-address": *nic.PrivateIpAddresses[1].PrivateIpAddress, "tag:a": "1 & <2>", "tag-key": "a",
		}},
		"DescribeNetworkInterfaces": {*nic.NetworkInterfaceId, map[string]string{
			"network-interface-id": *nic.NetworkInterfaceId, "attachment.instance-id": id, "subnet-id": subnet.ID, "vpc-id": *nic.VpcId,
			"availability-zone": zone.Name, "status": "in-use", "mac-address": *nic.MacAddress, "private-ip-address": *nic.PrivateIpAddress,
			"addresses.private-ip-address": *nic.PrivateIpAddresses[1].PrivateIpAddress, "group-id": *nic.Groups[0].GroupId, "tag:c": "3", "tag-key": "c",
		}},
		"DescribeVolumes": {volume, map[string]string{
			"volume-id": volume, "attachment.instance-id": id, "attachment.device": "/dev/xvda", "availability-zone": zone.Name, "volume-type": "gp3",
			"size": "12", "encrypted": "true", "status": "in-use", "tag:b": "", "tag-key": "b",
		}},
		"DescribeRouteTables": {table.ID, map[string]string{
			"route-table-id": table.ID, "association.subnet-id": subnet.ID, "association.route-table-id": table.ID, "association.main": "false",
			"association.route-table-association-id": table.Associations[subnet.ID], "vpc-id": subnet.VPC, "owner-id": "123456789012",
			"route.destination-cidr-block": "192.0.2.0/24", "route.destination-ipv6-cidr-block": "2001:db8::/64", "route.instance-id": id,
			"route.state": "active", "route.origin": "CreateRoute", "route.gateway-id": "local", "tag:r": "s", "tag-key": "r",
		}},
		"DescribeSubnets": {subnet.ID, map[string]string{
			"subnet-id": subnet.ID, "vpc-id": subnet.VPC, "availability-zone": zone.Name, "availability-zone-id": zone.ID, "cidr-block": subnet.CIDR.String(),
			"available-ip-address-count": "57", "state": "available", "default-for-az": "true", "map-public-ip-on-launch": "false", "owner-id": "123456789012",
		}},
	} {
		for name, value := range test.values {
			t.Run(call+" "+name, func(t *testing.T) {
				ask := func(v string) []string {
					t.Helper()
					got, _, err := listers()[call].ask(t.Context(), c, query{filters: []types.Filter{filter(name, v)}})
					if err != nil {
						t.Fatal(err)
					}
					return got
				}
				if got := ask(value); !slices.Contains(got, test.id) {
					t.Errorf("%q does not find it", value)
				}
				if got := ask("other-" + value); len(got) != 0 {
					t.Errorf("another value finds %v", got)
				}
			})
		}
	}
}
