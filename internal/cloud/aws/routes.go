package aws

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"kip.elotl.co/internal/cloud"
)

// RouteTables implements cloud.Routes.
func (c *Client) RouteTables(ctx context.Context, vpcID string, subnetIDs []string) ([]cloud.RouteTable, error) {
	all, err := c.describeRouteTables(ctx, exactly("vpc-id", vpcID))
	if err != nil {
		return nil, err
	}
	own := map[string]string{}
	main := ""
	for _, t := range all {
		for _, a := range t.Associations {
			if aws.ToBool(a.Main) {
				main = aws.ToString(t.RouteTableId)
			}
			own[aws.ToString(a.SubnetId)] = aws.ToString(t.RouteTableId)
		}
	}
	var tables []cloud.RouteTable
	seen := map[string]bool{"": true}
	for _, subnet := range subnetIDs {
		id, ok := own[subnet]
		if !ok {
			id = main
		}
		if !seen[id] {
			seen[id] = true
			tables = append(tables, cloud.RouteTable{ID: id, VPCID: vpcID})
		}
	}
	return tables, nil
}

func (c *Client) describeRouteTables(ctx context.Context, filter types.Filter) ([]types.RouteTable, error) {
	var tables []types.RouteTable
	pages := ec2.NewDescribeRouteTablesPaginator(c.ec2, &ec2.DescribeRouteTablesInput{
		Filters: []types.Filter{filter}, MaxResults: aws.Int32(min(c.pageSize, routeTablesPageSize)),
	})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return nil, sorted("DescribeRouteTables", err)
		}
		tables = append(tables, page.RouteTables...)
	}
	return tables, nil
}

// routeTablesPageSize is the most that DescribeRouteTables gives at once.
const routeTablesPageSize = 100

// CreateRoute implements cloud.Routes.
func (c *Client) CreateRoute(ctx context.Context, tableID string, cidr netip.Prefix, instanceID string) error {
	in := &ec2.CreateRouteInput{RouteTableId: aws.String(tableID), InstanceId: aws.String(instanceID)}
	if cidr.Addr().Is4() {
		in.DestinationCidrBlock = aws.String(cidr.String())
	} else {
		in.DestinationIpv6CidrBlock = aws.String(cidr.String())
	}
	_, err := c.ec2.CreateRoute(ctx, in)
	err = sorted("CreateRoute", err, tableID, instanceID)
	if cloud.KindOf(err) != cloud.KindConflict {
		return err
	}
	target, there, lookErr := c.routeTarget(ctx, tableID, cidr)
	if lookErr != nil {
		return lookErr
	}
	if there && target == instanceID {
		return nil
	}
	var conflict *cloud.Error
	if errors.As(err, &conflict) {
		conflict.Message = fmt.Sprintf("route table %s sends %s to %s already", tableID, cidr, target)
	}
	return err
}

// routeTarget is where a table sends a CIDR: an instance's ID, or what else
// there is, such as a gateway's.
func (c *Client) routeTarget(ctx context.Context, tableID string, cidr netip.Prefix) (target string, there bool, err error) {
	tables, err := c.describeRouteTables(ctx, exactly("route-table-id", tableID))
	if err != nil || len(tables) == 0 {
		return "", false, err
	}
	for _, r := range tables[0].Routes {
		if aws.ToString(r.DestinationCidrBlock) != cidr.String() && aws.ToString(r.DestinationIpv6CidrBlock) != cidr.String() {
			continue
		}
		for _, id := range []*string{r.InstanceId, r.GatewayId, r.NatGatewayId, r.TransitGatewayId, r.VpcPeeringConnectionId, r.NetworkInterfaceId} {
			if aws.ToString(id) != "" {
				return *id, true, nil
			}
		}
		return "something else", true, nil
	}
	return "", false, nil
}

// DeleteRoute implements cloud.Routes. When an instance is gone, a table only
// tells the interface that it had, which is gone as well.
func (c *Client) DeleteRoute(ctx context.Context, tableID string, cidr netip.Prefix, instanceID string) error {
	target, there, err := c.routeTarget(ctx, tableID, cidr)
	if err != nil || !there {
		return err
	}
	ours := target == instanceID
	if !ours && strings.HasPrefix(target, "eni-") {
		ours, err = c.interfaceGone(ctx, target)
	}
	if err != nil || !ours {
		return err
	}
	in := &ec2.DeleteRouteInput{RouteTableId: aws.String(tableID)}
	if cidr.Addr().Is4() {
		in.DestinationCidrBlock = aws.String(cidr.String())
	} else {
		in.DestinationIpv6CidrBlock = aws.String(cidr.String())
	}
	_, err = c.ec2.DeleteRoute(ctx, in)
	return cloud.IgnoreNotFound(sorted("DeleteRoute", err, tableID))
}

// interfaceGone says whether EC2 does not know an interface any more.
func (c *Client) interfaceGone(ctx context.Context, id string) (bool, error) {
	out, err := c.ec2.DescribeNetworkInterfaces(ctx, &ec2.DescribeNetworkInterfacesInput{Filters: []types.Filter{exactly("network-interface-id", id)}})
	if err != nil {
		return false, sorted("DescribeNetworkInterfaces", err, id)
	}
	return len(out.NetworkInterfaces) == 0, nil
}

// AllowForwarding implements cloud.Routes.
func (c *Client) AllowForwarding(ctx context.Context, instanceID string) error {
	if err := checkID("ModifyInstanceAttribute", instanceID); err != nil {
		return err
	}
	_, err := c.ec2.ModifyInstanceAttribute(ctx, &ec2.ModifyInstanceAttributeInput{
		InstanceId: aws.String(instanceID), SourceDestCheck: &types.AttributeBooleanValue{Value: aws.Bool(false)},
	})
	return sorted("ModifyInstanceAttribute", err, instanceID)
}
