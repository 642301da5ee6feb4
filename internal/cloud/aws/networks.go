package aws

import (
	"context"
	"net/netip"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"kip.elotl.co/internal/cloud"
)

// Subnets implements cloud.Networks.
func (c *Client) Subnets(ctx context.Context, ids []string) ([]cloud.Subnet, error) {
	if len(ids) == 0 {
		return nil, nil
	}
	found := map[string]cloud.Subnet{}
	pages := ec2.NewDescribeSubnetsPaginator(c.ec2, &ec2.DescribeSubnetsInput{SubnetIds: ids})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return nil, sorted("DescribeSubnets", err, ids...)
		}
		for _, s := range page.Subnets {
			found[aws.ToString(s.SubnetId)] = subnetOf(s)
		}
	}
	return inOrder("ec2:DescribeSubnets", ids, found)
}

// SecurityGroups implements cloud.Networks.
func (c *Client) SecurityGroups(ctx context.Context, ids []string) ([]cloud.SecurityGroup, error) {
	if len(ids) == 0 {
		return nil, nil
	}
	found := map[string]cloud.SecurityGroup{}
	pages := ec2.NewDescribeSecurityGroupsPaginator(c.ec2, &ec2.DescribeSecurityGroupsInput{GroupIds: ids})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return nil, sorted("DescribeSecurityGroups", err, ids...)
		}
		for _, g := range page.SecurityGroups {
			found[aws.ToString(g.GroupId)] = groupOf(g)
		}
	}
	return inOrder("ec2:DescribeSecurityGroups", ids, found)
}

// defaultGroup is the name of the group that each VPC has and keeps.
const defaultGroup = "default"

// DefaultSecurityGroup implements cloud.Networks.
func (c *Client) DefaultSecurityGroup(ctx context.Context, vpcID string) (cloud.SecurityGroup, error) {
	out, err := c.ec2.DescribeSecurityGroups(ctx, &ec2.DescribeSecurityGroupsInput{Filters: []types.Filter{
		{Name: aws.String("vpc-id"), Values: []string{vpcID}},
		{Name: aws.String("group-name"), Values: []string{defaultGroup}},
	}})
	if err != nil {
		return cloud.SecurityGroup{}, sorted("DescribeSecurityGroups", err, vpcID)
	}
	if len(out.SecurityGroups) == 0 {
		return cloud.SecurityGroup{}, cloud.NotFound("ec2:DescribeSecurityGroups", vpcID)
	}
	return groupOf(out.SecurityGroups[0]), nil
}

func groupOf(g types.SecurityGroup) cloud.SecurityGroup {
	return cloud.SecurityGroup{ID: aws.ToString(g.GroupId), Name: aws.ToString(g.GroupName), VPCID: aws.ToString(g.VpcId)}
}

func inOrder[T any](action string, ids []string, found map[string]T) ([]T, error) {
	out := make([]T, 0, len(ids))
	for _, id := range ids {
		item, ok := found[id]
		if !ok {
			return nil, cloud.NotFound(action, id)
		}
		out = append(out, item)
	}
	return out, nil
}

func subnetOf(s types.Subnet) cloud.Subnet {
	out := cloud.Subnet{
		ID:            aws.ToString(s.SubnetId),
		VPCID:         aws.ToString(s.VpcId),
		Zone:          aws.ToString(s.AvailabilityZone),
		FreeAddresses: int(aws.ToInt32(s.AvailableIpAddressCount)),
		Public:        aws.ToBool(s.MapPublicIpOnLaunch),
	}
	// A subnet with IPv6 only has no range, and no cell fits into it.
	if cidr, err := netip.ParsePrefix(aws.ToString(s.CidrBlock)); err == nil {
		out.CIDR = cidr
	}
	return out
}
