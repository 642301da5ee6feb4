package ec2_test

import (
	"fmt"
	"net/netip"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
)

const mainTable, ownTable = "rtb-0000000c0ffee0030", "rtb-0000000c0ffee0031"

// route finds the route of the main table for a destination.
func (c *cloud) route(t *testing.T, cidr string) (types.Route, bool) {
	t.Helper()
	out, err := c.DescribeRouteTables(t.Context(), &sdk.DescribeRouteTablesInput{RouteTableIds: []string{mainTable}})
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range out.RouteTables[0].Routes {
		if aws.ToString(r.DestinationCidrBlock) == cidr || aws.ToString(r.DestinationIpv6CidrBlock) == cidr {
			return r, true
		}
	}
	return types.Route{}, false
}

func (c *cloud) addRoute(t *testing.T, cidr, instance string) error {
	t.Helper()
	in := &sdk.CreateRouteInput{RouteTableId: aws.String(mainTable), InstanceId: aws.String(instance)}
	if p := netip.MustParsePrefix(cidr); p.Addr().Is4() {
		in.DestinationCidrBlock = aws.String(cidr)
	} else {
		in.DestinationIpv6CidrBlock = aws.String(cidr)
	}
	_, err := c.CreateRoute(t.Context(), in)
	return err
}

func (c *cloud) dropRoute(t *testing.T, cidr string) error {
	t.Helper()
	_, err := c.DeleteRoute(t.Context(), &sdk.DeleteRouteInput{RouteTableId: aws.String(mainTable), DestinationCidrBlock: aws.String(cidr)})
	return err
}

func TestRouteTables(t *testing.T) {
	c := newCloud(t)
	out, err := c.DescribeRouteTables(t.Context(), &sdk.DescribeRouteTablesInput{Filters: []types.Filter{filter("vpc-id", c.world.Catalog.VPC.ID)}})
	if err != nil || len(out.RouteTables) != 2 {
		t.Fatalf("%+v, %v", out, err)
	}
	whole, own := out.RouteTables[0], out.RouteTables[1]
	if a := whole.Associations[0]; !*a.Main || a.SubnetId != nil || a.AssociationState.State != types.RouteTableAssociationStateCodeAssociated {
		t.Errorf("main: %+v", a)
	}
	if a := own.Associations[0]; *a.Main || *a.SubnetId != c.world.Catalog.Subnets[1].ID || *a.RouteTableId != ownTable {
		t.Errorf("own: %+v", a)
	}
	if r := whole.Routes[0]; *r.GatewayId != "local" || *r.DestinationCidrBlock != "10.9.0.0/24" || r.Origin != types.RouteOriginCreateRouteTable || r.State != types.RouteStateActive {
		t.Errorf("local route: %+v", r)
	}
}

// A route lives from its call to its call, and is a black hole from the end of
// its instance on.
func TestRoutesToInstances(t *testing.T) {
	c := newCloud(t)
	id := c.run(t)[0]
	i := c.inState(t, id, types.InstanceStateNameRunning)
	for _, cidr := range []string{"192.0.2.0/24", "2001:db8::/64"} {
		if err := c.addRoute(t, cidr, id); err != nil {
			t.Fatal(err)
		}
		r, there := c.route(t, cidr)
		if !there || *r.InstanceId != id || *r.NetworkInterfaceId != *i.NetworkInterfaces[0].NetworkInterfaceId || r.State != types.RouteStateActive || r.Origin != types.RouteOriginCreateRoute {
			t.Errorf("%s: %+v", cidr, r)
		}
	}
	wantCode(t, c.addRoute(t, "192.0.2.0/24", id), "RouteAlreadyExists")
	// What is outside the mask does not count.
	wantCode(t, c.addRoute(t, "192.0.2.7/24", id), "RouteAlreadyExists")
	c.crash()
	c = openCloud(t, c.dir, c.backend)
	if r, there := c.route(t, "192.0.2.0/24"); !there || *r.InstanceId != id {
		t.Errorf("after a restart: %+v", r)
	}
	c.terminate(t, id)
	c.inState(t, id, types.InstanceStateNameTerminated)
	if r, there := c.route(t, "192.0.2.0/24"); !there || r.State != types.RouteStateBlackhole || r.InstanceId != nil || r.NetworkInterfaceId == nil {
		t.Errorf("of an instance that is gone: %+v", r)
	}
	wantCode(t, c.addRoute(t, "198.51.100.0/24", id), "IncorrectInstanceState")
	wantCode(t, c.dropRoute(t, "192.0.2.0/24"), "")
	if _, there := c.route(t, "192.0.2.0/24"); there {
		t.Error("deleted, and still there")
	}
	wantCode(t, c.dropRoute(t, "192.0.2.0/24"), "InvalidRoute.NotFound")
}

func TestRoutesRefuse(t *testing.T) {
	c := newCloud(t)
	id := c.run(t)[0]
	in := func(edit func(*sdk.CreateRouteInput)) *sdk.CreateRouteInput {
		out := &sdk.CreateRouteInput{RouteTableId: aws.String(ownTable), InstanceId: aws.String(id), DestinationCidrBlock: aws.String("192.0.2.0/24")}
		edit(out)
		return out
	}
	for name, test := range map[string]struct {
		edit func(*sdk.CreateRouteInput)
		code string
	}{
		"table":              {func(in *sdk.CreateRouteInput) { in.RouteTableId = aws.String("rtb-00000000") }, "InvalidRouteTableID.NotFound"},
		"instance":           {func(in *sdk.CreateRouteInput) { in.InstanceId = aws.String("i-00000000") }, "InvalidInstanceID.NotFound"},
		"malformed instance": {func(in *sdk.CreateRouteInput) { in.InstanceId = aws.String("cell") }, "InvalidInstanceID.Malformed"},
		"no target":          {func(in *sdk.CreateRouteInput) { in.InstanceId = nil }, "MissingParameter"},
		"no destination":     {func(in *sdk.CreateRouteInput) { in.DestinationCidrBlock = nil }, "MissingParameter"},
		"not a block":        {func(in *sdk.CreateRouteInput) { in.DestinationCidrBlock = aws.String("192.0.2.0") }, "InvalidParameterValue"},
		"wrong family":       {func(in *sdk.CreateRouteInput) { in.DestinationCidrBlock = aws.String("2001:db8::/64") }, "InvalidParameterValue"},
		"the VPC itself":     {func(in *sdk.CreateRouteInput) { in.DestinationCidrBlock = aws.String("10.9.0.0/24") }, "RouteAlreadyExists"},
		"dry run":            {func(in *sdk.CreateRouteInput) { in.DryRun = aws.Bool(true) }, "DryRunOperation"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := c.CreateRoute(t.Context(), in(test.edit))
			wantCode(t, err, test.code)
		})
	}
	for name, test := range map[string]struct{ table, cidr, code string }{
		"table": {"rtb-00000000", "192.0.2.0/24", "InvalidRouteTableID.NotFound"}, "local": {ownTable, "10.9.0.0/24", "InvalidParameterValue"},
		"route": {ownTable, "192.0.2.0/24", "InvalidRoute.NotFound"},
	} {
		_, err := c.DeleteRoute(t.Context(), &sdk.DeleteRouteInput{RouteTableId: aws.String(test.table), DestinationCidrBlock: aws.String(test.cidr)})
		t.Run("delete "+name, func(t *testing.T) { wantCode(t, err, test.code) })
	}
	// The route to the internet gateway counts as one.
	for n := range 49 {
		if err := c.addRoute(t, fmt.Sprintf("192.168.%d.0/24", n), id); err != nil {
			t.Fatal(err)
		}
	}
	wantCode(t, c.addRoute(t, "192.168.49.0/24", id), "RouteLimitExceeded")
}

func TestSourceDestCheck(t *testing.T) {
	c := newCloud(t)
	id := c.run(t)[0]
	modify := func(in sdk.ModifyInstanceAttributeInput) error {
		in.InstanceId = aws.String(id)
		_, err := c.ModifyInstanceAttribute(t.Context(), &in)
		return err
	}
	off := &types.AttributeBooleanValue{Value: aws.Bool(false)}
	if i := c.one(t, id); !*i.SourceDestCheck {
		t.Error("off from the start")
	}
	wantCode(t, modify(sdk.ModifyInstanceAttributeInput{SourceDestCheck: off}), "")
	if i := c.one(t, id); *i.SourceDestCheck || *i.NetworkInterfaces[0].SourceDestCheck {
		t.Error("still on")
	}
	wantCode(t, modify(sdk.ModifyInstanceAttributeInput{}), "InvalidParameterCombination")
	wantCode(t, modify(sdk.ModifyInstanceAttributeInput{SourceDestCheck: off, DisableApiTermination: off}), "InvalidParameterCombination")
	wantCode(t, modify(sdk.ModifyInstanceAttributeInput{DisableApiTermination: &types.AttributeBooleanValue{Value: aws.Bool(true)}}), "")
	_, err := c.TerminateInstances(t.Context(), &sdk.TerminateInstancesInput{InstanceIds: []string{id}})
	wantCode(t, err, "OperationNotPermitted")
	wantCode(t, modify(sdk.ModifyInstanceAttributeInput{DisableApiTermination: off}), "")
	c.terminate(t, id)
	c.inState(t, id, types.InstanceStateNameTerminated)
	wantCode(t, modify(sdk.ModifyInstanceAttributeInput{SourceDestCheck: off}), "IncorrectInstanceState")
	id = "i-00000000"
	wantCode(t, modify(sdk.ModifyInstanceAttributeInput{SourceDestCheck: off}), "InvalidInstanceID.NotFound")
}
