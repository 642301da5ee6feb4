package aws

import (
	"context"
	"net/netip"
	"slices"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"kip.elotl.co/internal/cloud"
)

// filterValues is how many values a filter takes at most
// (docs.aws.amazon.com/AWSEC2/latest/APIReference/API_Filter.html).
const filterValues = 200

// Leftovers implements cloud.Leftovers.
func (c *Client) Leftovers(ctx context.Context, kind cloud.LeftoverKind, tags map[string]string) ([]cloud.Leftover, error) {
	filters := tagFilters(tags)
	if len(filters) == 0 {
		return nil, &cloud.Error{Kind: cloud.KindInvalid, Message: "no tags to find what is left by"}
	}
	switch kind {
	case cloud.LeftoverVolume:
		return c.looseVolumes(ctx, filters)
	case cloud.LeftoverInterface:
		return c.looseInterfaces(ctx, filters)
	case cloud.LeftoverGroup:
		return c.taggedGroups(ctx, filters)
	}
	return nil, unknownLeftover(kind)
}

func unknownLeftover(kind cloud.LeftoverKind) error {
	return &cloud.Error{Kind: cloud.KindInvalid, Message: "nothing of the kind " + string(kind) + " is ever left"}
}

func (c *Client) looseVolumes(ctx context.Context, filters []types.Filter) ([]cloud.Leftover, error) {
	var found []cloud.Leftover
	pages := ec2.NewDescribeVolumesPaginator(c.ec2, &ec2.DescribeVolumesInput{
		Filters: append(filters, exactly("status", string(types.VolumeStateAvailable))), MaxResults: aws.Int32(c.pageSize),
	})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return nil, sorted("DescribeVolumes", err)
		}
		for _, v := range page.Volumes {
			found = append(found, cloud.Leftover{ID: aws.ToString(v.VolumeId), Created: aws.ToTime(v.CreateTime), Tags: tagsOf(v.Tags)})
		}
	}
	return found, nil
}

func (c *Client) looseInterfaces(ctx context.Context, filters []types.Filter) ([]cloud.Leftover, error) {
	var found []cloud.Leftover
	pages := ec2.NewDescribeNetworkInterfacesPaginator(c.ec2, &ec2.DescribeNetworkInterfacesInput{
		Filters: append(filters, exactly("status", string(types.NetworkInterfaceStatusAvailable))), MaxResults: aws.Int32(c.pageSize),
	})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return nil, sorted("DescribeNetworkInterfaces", err)
		}
		for _, n := range page.NetworkInterfaces {
			found = append(found, cloud.Leftover{ID: aws.ToString(n.NetworkInterfaceId), Tags: tagsOf(n.TagSet)})
		}
	}
	return found, nil
}

func (c *Client) taggedGroups(ctx context.Context, filters []types.Filter) ([]cloud.Leftover, error) {
	var found []cloud.Leftover
	pages := ec2.NewDescribeSecurityGroupsPaginator(c.ec2, &ec2.DescribeSecurityGroupsInput{Filters: filters, MaxResults: aws.Int32(c.pageSize)})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return nil, sorted("DescribeSecurityGroups", err)
		}
		for _, g := range page.SecurityGroups {
			found = append(found, cloud.Leftover{ID: aws.ToString(g.GroupId), Tags: tagsOf(g.Tags)})
		}
	}
	return found, nil
}

// DeleteLeftover implements cloud.Leftovers.
func (c *Client) DeleteLeftover(ctx context.Context, kind cloud.LeftoverKind, id string) error {
	action, err := "", error(nil)
	switch kind {
	case cloud.LeftoverVolume:
		action = "DeleteVolume"
		_, err = c.ec2.DeleteVolume(ctx, &ec2.DeleteVolumeInput{VolumeId: aws.String(id)})
	case cloud.LeftoverInterface:
		action = "DeleteNetworkInterface"
		_, err = c.ec2.DeleteNetworkInterface(ctx, &ec2.DeleteNetworkInterfaceInput{NetworkInterfaceId: aws.String(id)})
	case cloud.LeftoverGroup:
		action = "DeleteSecurityGroup"
		_, err = c.ec2.DeleteSecurityGroup(ctx, &ec2.DeleteSecurityGroupInput{GroupId: aws.String(id)})
	default:
		return unknownLeftover(kind)
	}
	return cloud.IgnoreNotFound(sorted(action, err, id))
}

// RoutesTo implements cloud.Leftovers.
func (c *Client) RoutesTo(ctx context.Context, instanceIDs []string) ([]cloud.Route, error) {
	var found []cloud.Route
	for chunk := range slices.Chunk(instanceIDs, filterValues) {
		for _, id := range chunk { // in a filter what has another form might be a pattern
			if err := checkID("DescribeRouteTables", id); err != nil {
				return nil, err
			}
		}
		tables, err := c.describeRouteTables(ctx, types.Filter{Name: aws.String("route.instance-id"), Values: chunk})
		if err != nil {
			return nil, err
		}
		for _, table := range tables {
			found = append(found, routesTo(table, chunk)...)
		}
	}
	return found, nil
}

// routesTo are the routes of a table that lead to one of the instances.
func routesTo(table types.RouteTable, instanceIDs []string) []cloud.Route {
	var found []cloud.Route
	for _, r := range table.Routes {
		target := aws.ToString(r.InstanceId)
		cidr, err := netip.ParsePrefix(aws.ToString(r.DestinationCidrBlock) + aws.ToString(r.DestinationIpv6CidrBlock))
		if err == nil && slices.Contains(instanceIDs, target) { // a prefix list is no route of Kip's
			found = append(found, cloud.Route{TableID: aws.ToString(table.RouteTableId), CIDR: cidr, InstanceID: target})
		}
	}
	return found
}
