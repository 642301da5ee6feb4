package ec2

import (
	"context"
	"net/netip"
	"slices"
	"strings"

	"kip.elotl.co/hack/localaws/awserr"
	"kip.elotl.co/hack/localaws/catalog"
	"kip.elotl.co/hack/localaws/query"
	"kip.elotl.co/hack/localaws/world"
)

type describeRouteTablesResponse struct {
	header
	Tables    []routeTableXML `xml:"routeTableSet>item"`
	NextToken string          `xml:"nextToken,omitempty"`
}

type routeTableXML struct {
	ID           string          `xml:"routeTableId"`
	VPCID        string          `xml:"vpcId"`
	OwnerID      string          `xml:"ownerId"`
	Routes       []routeXML      `xml:"routeSet>item"`
	Associations []associationOf `xml:"associationSet>item"`
	Propagating  []struct{}      `xml:"propagatingVgwSet>item"`
	Tags         []tagXML        `xml:"tagSet>item"`
}

type routeXML struct {
	CIDR        string `xml:"destinationCidrBlock,omitempty"`
	IPv6CIDR    string `xml:"destinationIpv6CidrBlock,omitempty"`
	GatewayID   string `xml:"gatewayId,omitempty"`
	InstanceID  string `xml:"instanceId,omitempty"`
	OwnerID     string `xml:"instanceOwnerId,omitempty"`
	InterfaceID string `xml:"networkInterfaceId,omitempty"`
	State       string `xml:"state"`
	Origin      string `xml:"origin"`
}

type associationOf struct {
	ID       string `xml:"routeTableAssociationId"`
	TableID  string `xml:"routeTableId"`
	SubnetID string `xml:"subnetId,omitempty"`
	Main     bool   `xml:"main"`
	State    string `xml:"associationState>state"`
}

type routeTable = catalog.RouteTable

// routeTablesPage is the most that DescribeRouteTables lists at once.
const routeTablesPage = 100

func (s *Server) describeRouteTables(_ context.Context, c *Call) (response, error) {
	found, next, err := list(c, s.World.Catalog.RouteTables, listing[routeTable]{
		ids: "RouteTableId", least: 5, most: routeTablesPage,
		id:      func(t routeTable) string { return t.ID },
		tags:    func(t routeTable) map[string]string { return s.World.TagsOf(t.ID) },
		missing: func(ids []string) error { return world.NotFound("InvalidRouteTableID", "routeTable", ids) },
		fields:  s.routeTableFields(),
	})
	if err != nil {
		return nil, err
	}
	out := &describeRouteTablesResponse{NextToken: next}
	for _, t := range found {
		out.Tables = append(out.Tables, routeTableXML{
			ID: t.ID, VPCID: t.VPC, OwnerID: s.World.Catalog.Account, Routes: s.routes(t), Associations: associations(t), Tags: tagSet(s.World.TagsOf(t.ID)),
		})
	}
	return out, nil
}

func (s *Server) routeTableFields() fields[routeTable] {
	ofRoutes := func(value func(routeXML) string) func(routeTable) []string {
		return func(t routeTable) []string { return valuesOf(s.routes(t), value) }
	}
	ofAssociations := func(value func(associationOf) string) func(routeTable) []string {
		return func(t routeTable) []string { return valuesOf(associations(t), value) }
	}
	return fields[routeTable]{
		"route-table-id":                         one(func(t routeTable) string { return t.ID }),
		"vpc-id":                                 one(func(t routeTable) string { return t.VPC }),
		"owner-id":                               always[routeTable](s.World.Catalog.Account),
		"association.route-table-association-id": ofAssociations(func(a associationOf) string { return a.ID }),
		"association.route-table-id":             ofAssociations(func(a associationOf) string { return a.TableID }),
		"association.subnet-id":                  ofAssociations(func(a associationOf) string { return a.SubnetID }),
		"association.main":                       ofAssociations(func(a associationOf) string { return btoa(a.Main) }),
		"route.destination-cidr-block":           ofRoutes(func(r routeXML) string { return r.CIDR }),
		"route.destination-ipv6-cidr-block":      ofRoutes(func(r routeXML) string { return r.IPv6CIDR }),
		"route.gateway-id":                       ofRoutes(func(r routeXML) string { return r.GatewayID }),
		"route.instance-id":                      ofRoutes(func(r routeXML) string { return r.InstanceID }),
		"route.origin":                           ofRoutes(func(r routeXML) string { return r.Origin }),
		"route.state":                            ofRoutes(func(r routeXML) string { return r.State }),
	}
}

// valuesOf are the values that items have; "" is none.
func valuesOf[T any](items []T, value func(T) string) []string {
	var out []string
	for _, item := range items {
		if v := value(item); v != "" {
			out = append(out, v)
		}
	}
	return out
}

func associations(t routeTable) []associationOf {
	var out []associationOf
	for subnet, id := range t.Associations {
		out = append(out, associationOf{ID: id, TableID: t.ID, SubnetID: subnet, Main: t.Main && subnet == "", State: "associated"})
	}
	slices.SortFunc(out, func(a, b associationOf) int { return strings.Compare(a.ID, b.ID) })
	return out
}

// routes are all entries of a table. One that leads to an instance that is
// gone has the interface alone, and is a black hole.
func (s *Server) routes(t routeTable) []routeXML {
	var out []routeXML
	for _, r := range s.World.Catalog.FixedRoutes(t) {
		out = append(out, routeXML{CIDR: r.CIDR.String(), GatewayID: r.Gateway, State: "active", Origin: r.Origin})
	}
	for _, r := range s.World.Routes(t.ID) {
		x := routeXML{InterfaceID: r.InterfaceID, State: "active", Origin: "CreateRoute"}
		if r.CIDR.Addr().Is4() {
			x.CIDR = r.CIDR.String()
		} else {
			x.IPv6CIDR = r.CIDR.String()
		}
		if r.Blackhole {
			x.State = "blackhole"
		} else {
			x.InstanceID, x.OwnerID = r.InstanceID, s.World.Catalog.Account
		}
		out = append(out, x)
	}
	return out
}

func (s *Server) createRoute(_ context.Context, c *Call) (response, error) {
	table, instance := c.Params.Required("RouteTableId"), c.Params.String("InstanceId")
	cidr, err := destination(c.Params)
	if err != nil {
		return nil, err
	}
	if err := c.finish(); err != nil {
		return nil, err
	}
	if instance == "" {
		return nil, awserr.New("MissingParameter", "The request must contain exactly one of the targets; this emulator knows InstanceId")
	}
	if err := checkInstanceIDs([]string{instance}); err != nil {
		return nil, err
	}
	if err := s.World.CreateRoute(table, cidr, instance); err != nil {
		return nil, err
	}
	return &done{Return: true}, nil
}

func (s *Server) deleteRoute(_ context.Context, c *Call) (response, error) {
	table := c.Params.Required("RouteTableId")
	cidr, err := destination(c.Params)
	if err != nil {
		return nil, err
	}
	if err := c.finish(); err != nil {
		return nil, err
	}
	if err := s.World.DeleteRoute(table, cidr); err != nil {
		return nil, err
	}
	return &done{Return: true}, nil
}

// destination reads what a route is for: one block of addresses of either
// family.
func destination(p query.Params) (netip.Prefix, error) {
	v4, v6 := p.String("DestinationCidrBlock"), p.String("DestinationIpv6CidrBlock")
	if (v4 == "") == (v6 == "") {
		return netip.Prefix{}, awserr.New("MissingParameter", "The request must contain either destinationCidrBlock or destinationIpv6CidrBlock")
	}
	cidr, err := netip.ParsePrefix(v4 + v6)
	if err != nil || cidr.Addr().Is4() != (v4 != "") {
		name := "destinationCidrBlock"
		if v6 != "" {
			name = "destinationIpv6CidrBlock"
		}
		return cidr, awserr.New("InvalidParameterValue", "Value (%s) for parameter %s is invalid. This is not a valid CIDR block.", v4+v6, name)
	}
	return cidr, nil
}

func (s *Server) modifyInstanceAttribute(_ context.Context, c *Call) (response, error) {
	id := c.Params.Required("InstanceId")
	var a world.Attributes
	given := 0
	for _, attribute := range []struct {
		name string
		into **bool
	}{{"SourceDestCheck", &a.SourceDestCheck}, {"DisableApiTermination", &a.DisableAPITermination}} {
		value, ok := c.Params.Struct(attribute.name)
		if !ok {
			continue
		}
		given++
		*attribute.into = value.Bool("Value")
	}
	if err := c.finish(); err != nil {
		return nil, err
	}
	if given != 1 {
		return nil, awserr.New("InvalidParameterCombination", "Exactly one attribute can be modified at once, not %d", given)
	}
	if err := checkInstanceIDs([]string{id}); err != nil {
		return nil, err
	}
	if err := s.World.Modify(id, a); err != nil {
		return nil, err
	}
	return &done{Return: true}, nil
}
